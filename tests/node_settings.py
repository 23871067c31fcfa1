"""The node's own settings for a run without the centre, as on a school's PC (tests/test_lean_node.py)."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

SCRATCH = Path(tempfile.mkdtemp(prefix="soro-node-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
os.environ["SORO_NODE_ROOT"] = str(SCRATCH)

from node.settings import *  # noqa: E402, F403 - the root must be named first

NODE_OVERRIDES: dict[str, object] = {}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True
