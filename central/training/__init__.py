"""Rounds at the centre: plans, runs, updates taken in and what became of them."""
