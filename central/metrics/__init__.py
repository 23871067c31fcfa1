"""Figures for Prometheus: what processes count while they work (`counters`), and what the tables say (`figures`).

Stands over all stations. Web processes and workers count into files (`store`), one process serves them (`serving`), on
an address of its own that no web server in front publishes.
"""
