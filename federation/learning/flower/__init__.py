"""The Flower station: carries signed updates from schools to the centre's inbox, and never judges them.

Knows nothing of models, Django or signatures: an update is opaque bytes. The rules it keeps, in order:
1. Only a node that stays online for some seconds more is asked or read from, because reading from an absent node
   makes the SuperLink delete its answer.
2. What a school runs is its own installed release: a bundle from the server only names this package's apps.
3. Nothing leaves for the internet: telemetry, update checks and dependency installation are off everywhere.
"""
