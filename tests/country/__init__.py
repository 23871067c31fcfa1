"""A simulated country: thousands of schools' PCs and one centre, on a virtual clock.

Real are the loop of the ServerApp, every service of the centre, its tables and files, and the signed bytes of every
update. Simulated are the SuperLink (`tests.simulated_grid`), links, power, couriers, teachers and the learning itself,
whose arrays are small. What the rhythms are made of are assumptions, stated in `rhythms`, not measurements.
"""
