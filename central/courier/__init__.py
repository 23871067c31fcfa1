"""USB sticks at the centre: written for schools, and read when they come back; the last station, over all others."""
