"""A country through which releases are rolled out, in virtual time: thousands of schools' PCs and one centre.

Real are every service of the centre that a check-in, a letter, a tick and an admin's action call, the documents on the
wire with their signatures, the tables and their rules. Simulated are links, couriers, power, fetching, the releases'
behaviour and the teachers' stars. Rhythms are those of `tests.country.rhythms`: assumptions, not measurements.

Most contacts have nothing new to say on either side. Those are written into the school's rhythm in one go each day and
are not asked one by one; one in fifty is asked all the same, and must be told nothing new.
"""

NAMES = ("good", "hardware", "ratings", "restarts", "workers")
