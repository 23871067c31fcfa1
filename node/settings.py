"""Settings of the node's Django project; everything that differs between schools follows from the root directory.

Environment: SORO_NODE_ROOT (directory, default var/node), SORO_NODE_HOSTS (comma-separated names under which the
page is reached; default any, because a school's network names its PCs as it likes), SORO_NODE_TRAINS_AT_NIGHT (0: only
`node train` starts the learning), SORO_NODE_FLOWER (`supernode` or `durable`), SORO_NODE_STICKS (further folders for
USB sticks, colon-separated), SORO_NODE_PROXIES (how many proxies before the page name the device, default 0),
SORO_NODE_DEBUG (1 in development).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from csp.constants import NONE, SELF

from node.root import DATABASE_NAME, root_find, secret_read

NODE_ROOT = root_find(argv=sys.argv, environ=os.environ)
NODE_PACKAGE = Path(__file__).parent

# Folders beside the mounted removable media in which a stick may lie, for a PC that mounts it elsewhere.
NODE_STICK_FOLDERS = [Path(name) for name in os.environ.get("SORO_NODE_STICKS", "").split(os.pathsep) if name]

# The program that hands updates in: Flower's own SuperNode, or the durable client (node.rounds.supernode).
NODE_FLOWER_CLIENT = os.environ.get("SORO_NODE_FLOWER", "supernode")
# How long a question waits for an engine that is starting again before the page gives up.
NODE_ENGINE_WAIT_SECONDS = 90.0
# With none, X-Forwarded-For is anybody's word.
NODE_PROXIES = int(os.environ.get("SORO_NODE_PROXIES", "0"))
NODE_TRAINS_AT_NIGHT = os.environ.get("SORO_NODE_TRAINS_AT_NIGHT", "1") == "1"

DEBUG = os.environ.get("SORO_NODE_DEBUG") == "1"
SECRET_KEY = secret_read(NODE_ROOT / "keys" / "django.secret")
ALLOWED_HOSTS = os.environ.get("SORO_NODE_HOSTS", "*").split(",")
ROOT_URLCONF = "node.urls"
ASGI_APPLICATION = "node.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "node",
    "node.installed",
    "node.outbox",
    "node.people",
    "node.textbooks",
    "node.chat",
    "node.ratings",
    "node.rounds",
    "node.sync",
    "node.stick",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "node.compression.CompressionMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "node.language.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "node.people.guests.GuestsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "node.pages.page_context",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": NODE_ROOT / DATABASE_NAME,
        "OPTIONS": {
            # FULL costs half a millisecond and keeps the last commit through a power cut; NORMAL may lose it.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    },
}

LANGUAGE_CODE = "tg"
LANGUAGES = [("tg", "Тоҷикӣ"), ("ru", "Русский"), ("en", "English")]
LOCALE_PATHS = [NODE_PACKAGE / "locale"]
TIME_ZONE = "Asia/Dushanbe"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

# Twice what the longest form takes; programs have a limit of their own (node.chat.openai_request).
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

CSRF_FAILURE_VIEW = "node.views.forbidden"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "chat"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 30 * 24 * 3600
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Pupils reach the page by plain HTTP inside the school; telephones may come by HTTPS beside it (node.https). The name
# serves both, so nobody is told to come by HTTPS alone, and cookies become Secure at that door (node.https.cookies).
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W012", "security.W016"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "worker-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"node": {"level": "INFO"}, "federation": {"level": "INFO"}},
}
