"""Figures for Prometheus: what processes count while they work (`counters`), and what the tables say (`figures`).

Web processes and workers count into files (`store`) and know no station; one process serves the figures (`serving`), on
an address of its own that no web server in front publishes, and stands with `figures` over all stations.
"""
