"""Settings that join both projects in one process, so that one test run covers both.

They are the centre's with the node's apps beside them; tests/conftest.py gives tests/node the node's own on top.
SORO_TEST_ENGINES=production runs the centre on PostgreSQL, RabbitMQ and a bucket (tests/services.py).
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from tests.services import BROKERS, IS_ON_PRODUCTION_ENGINES, POSTGRESQL

SCRATCH = Path(tempfile.mkdtemp(prefix="soro-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
os.environ["SORO_CENTRAL_ROOT"] = str(SCRATCH / "central")
os.environ["SORO_NODE_ROOT"] = str(SCRATCH / "node")
os.environ["SORO_CENTRAL_DATABASE_URL"] = POSTGRESQL if IS_ON_PRODUCTION_ENGINES else ""
os.environ["SORO_CENTRAL_BROKER_URL"] = BROKERS["rabbitmq"] if IS_ON_PRODUCTION_ENGINES else "memory://"
os.environ["SORO_CENTRAL_FLEET"] = ""
if IS_ON_PRODUCTION_ENGINES:
    # A broker of others' may have a queue of the usual name; centres that tests start have brokers of their own.
    os.environ["SORO_CENTRAL_QUEUE"] = SCRATCH.name

from central import settings as central_settings  # noqa: E402 - the roots must be named first
from central.settings import *  # noqa: E402, F403
from node import settings as node_settings  # noqa: E402

_SHARED = {"DATABASES", "INSTALLED_APPS", "LOCALE_PATHS", "LOGGING", "SECRET_KEY"}
NODE_OVERRIDES = {name: value for name, value in vars(node_settings).items() if name.isupper() and name not in _SHARED}

globals().update({name: value for name, value in NODE_OVERRIDES.items() if not hasattr(central_settings, name)})

# Named once more, so that the type checker sees them.
NODE_ROOT = node_settings.NODE_ROOT
NODE_TRAINS_AT_NIGHT = node_settings.NODE_TRAINS_AT_NIGHT
NODE_FLOWER_CLIENT = node_settings.NODE_FLOWER_CLIENT
NODE_PROXIES = node_settings.NODE_PROXIES
NODE_ENGINE_WAIT_SECONDS = node_settings.NODE_ENGINE_WAIT_SECONDS
NODE_STICK_FOLDERS = node_settings.NODE_STICK_FOLDERS

INSTALLED_APPS = list(dict.fromkeys([*central_settings.INSTALLED_APPS, *node_settings.INSTALLED_APPS]))
LOCALE_PATHS = [*central_settings.LOCALE_PATHS, *node_settings.LOCALE_PATHS]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
REST_FRAMEWORK = {
    **central_settings.REST_FRAMEWORK,
    "DEFAULT_THROTTLE_RATES": dict.fromkeys(central_settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]),
}
# Otherwise each test client would first look up every static file of both projects.
WHITENOISE_AUTOREFRESH = True
