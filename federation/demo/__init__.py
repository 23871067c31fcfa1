"""The whole journey, played once on one machine through the two command lines and the schools' own pages.

Imports neither project: whatever it does to centre and schools, an operator or a browser could do.
"""
