"""Benchmarks: figures with bars, written to var/bench/. Run by `make bench-*`, never by the test suite."""
