"""A bundle for whoever helps a school from afar: what this PC is, runs and failed at, and no word of any person."""
