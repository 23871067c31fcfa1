"""Releases: built, judged by the gate, signed, published as TUF targets, and served."""
