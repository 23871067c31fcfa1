"""Plays the self-test's child process: does what the file `behaviour` in the package says."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--package", type=Path, required=True)
parser.add_argument("--adapter", type=Path)
parser.add_argument("--memory-bytes", type=int)
arguments = parser.parse_args()
behaviour = (arguments.package / "behaviour").read_text()
if behaviour == "hang":
    time.sleep(60)
if behaviour == "die":
    os.abort()
sys.stdout.write("loading\n")
sys.stdout.write(
    json.dumps({"has_passed": behaviour == "pass", "code": "" if behaviour == "pass" else behaviour, "detail": "d"})
)
