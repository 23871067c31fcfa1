"""The floor that centre and school both stand on: documents, trust, inference and learning.

Knows neither Django project. Its inner layers, each importing only those before it: `wire`, `trust`,
then `inference` and `learning` side by side.
"""

__version__ = "0.1.0"
