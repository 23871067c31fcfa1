"""What `make bench-centre` is made of: a fleet in a centre's tables, and a load generator that is its schools."""
