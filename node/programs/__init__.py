"""The program that this PC runs: which version, how an update stands, and fetching a newer one (decision 0111)."""
