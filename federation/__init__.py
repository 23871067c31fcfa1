"""The floor that centre and school both stand on: documents, trust, inference and learning.

Knows neither Django project. Its inner layers, each importing only those before it: `wire`, `trust`,
then `inference` and `learning` side by side, over `basis` and `adapter_file`, which both read.
"""

import os

# From 1.29 on ONNX Runtime tells Microsoft of every session, with the names of the model and the program, and keeps
# what it could not send under ~/.cache. It asks once, when it is loaded, so this stands where whoever loads it has
# passed; child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
