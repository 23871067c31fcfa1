"""Forgets what the centre needs no more, by rules that stand in one table (`rules`), and says what it did."""
