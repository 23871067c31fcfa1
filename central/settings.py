"""Settings of the centre; every machine-dependent value comes from the environment, and each has an embedded default.

`central.environment` reads and judges all SORO_CENTRAL_* variables; docs/operations.md says what each is for. A trial
on one machine and a production behind nginx go through the same lines: what differs are the values.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from central.admin_menu import SIDEBAR
from central.database_url import REPLICA
from central.environment import LOOPBACK_NAMES, environment_read
from central.root import root_find
from central.secret_key import secret_key_keep

PROJECT = Path(__file__).resolve().parent
CENTRAL_ROOT: Path = root_find(argv=sys.argv, environ=os.environ)
CENTRAL_ROOT.mkdir(parents=True, exist_ok=True)
# Lower case: Django's debug page shows what is in capitals, and this holds passwords.
_environment = environment_read(os.environ, root=CENTRAL_ROOT)
SETTINGS_MISTAKES = _environment.mistakes

SECRET_KEY_FILE = CENTRAL_ROOT / "keys" / "secret_key"
SECRET_KEY = secret_key_keep(SECRET_KEY_FILE)
DEBUG = _environment.is_debug
# Who asks on the machine itself, such as a watchdog, names it by loopback.
ALLOWED_HOSTS = [*dict.fromkeys((*_environment.hosts, *LOOPBACK_NAMES))]

INSTALLED_APPS = [
    "central.admin_config.CentreAdminConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "rest_framework",
    "central",
    "central.schools",
    "central.signin",
    "central.releases",
    "central.programs",
    "central.feedback",
    "central.training",
    "central.rollouts",
    "central.courier",
    "central.retention",
    "central.dashboard",
]
MIDDLEWARE = [
    "central.metrics.requests.RequestWatch",
    "django.middleware.security.SecurityMiddleware",
    "central.static_files.StaticFiles",
    "central.content_policy.ContentPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "central.urls"
ASGI_APPLICATION = "central.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the apps' own, so that a page of unfold's can be put right here; the admin's first page is ours.
        "DIRS": [PROJECT / "templates", PROJECT / "dashboard" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": dict(_environment.database)}
if _environment.replica is not None:
    # Reports alone are read there (central.reports).
    DATABASES[REPLICA] = dict(_environment.replica)
    DATABASE_ROUTERS = ["central.reports.ReportRouter"]
REPLICA_LAG_SECONDS: int = _environment.replica_lag_seconds
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Only counters of requests are in them. What stops guessing is counted in a table that all web processes share; on
# SQLite there is one. Nodes' knocks each process counts for itself: they are in every check-in (decision 0083).
_LOCAL_CACHE = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
_TABLE_CACHE = {
    "BACKEND": "django.core.cache.backends.db.DatabaseCache",
    "LOCATION": "central_cache",
    "OPTIONS": {"MAX_ENTRIES": 20_000},
}
IS_SQLITE: bool = DATABASES["default"]["ENGINE"].endswith("sqlite3")
CACHES = {
    "default": _LOCAL_CACHE if IS_SQLITE else _TABLE_CACHE,
    "knocks": {**_LOCAL_CACHE, "LOCATION": "knocks", "OPTIONS": {"MAX_ENTRIES": 20_000}},
}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_HTTPONLY = True
IS_TLS: bool = _environment.is_tls
# TLS ends at the web server in front, which also sends people who come without it to the right address.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_TLS
SECURE_HSTS_SECONDS = _environment.hsts_seconds
# Only where a proxy is counted, which writes this header itself; else it would be anybody's word.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_TLS and _environment.proxies else None
# W008: nginx redirects (deploy/nginx). W005, W021: other names under the ministry's domain are not ours to bind.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
IS_SECOND_FACTOR_REQUIRED: bool = _environment.is_second_factor_required
OTP_TOTP_ISSUER = "Soro"
SECURE_CONTENT_TYPE_NOSNIFF = True
# Scripts come from this server's files alone, never from within a page. Unfold's Alpine makes functions of the words in
# its attributes, and writes some styles as text: decision 0106 says why neither can be spared.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        # The square that a telephone scans is in its page alone.
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

LANGUAGE_CODE = "tg"
LANGUAGES = [("tg", "Тоҷикӣ"), ("ru", "Русский"), ("en", "English")]
LOCALE_PATHS = [PROJECT / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Dushanbe"

STATIC_URL = "static/"
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600
MEDIA_ROOT = CENTRAL_ROOT / "media"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["central.http.NodeAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["central.http.IsNode"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "EXCEPTION_HANDLER": "central.http.error_answer",
    "UNAUTHENTICATED_USER": None,
    # Many schools may share one public address, so the first three, by address, only stop guessing.
    # The others are a node's.
    "DEFAULT_THROTTLE_RATES": {
        "addresses": "100/sec",
        "enrolments": "60/min",
        "sessions": "1200/min",
        "check-ins": "60/min",
        "parcels": "120/min",
        "leases": "30/min",
        "updates": "240/min",
    },
    # Proxies in front whose X-Forwarded-For is believed; with none the header is anybody's word.
    "NUM_PROXIES": _environment.proxies,
}

# Finished steps of release builds are kept here, so that a build that was cut goes on where it was.
BUILD_WORK: Path = _environment.build_work
# Beside the shipped suites; None: those alone (docs/suites.md).
SUITES: Path | None = _environment.suites
# Empty: under the root. Or s3://bucket/prefix, at S3_ENDPOINT; its credentials come by boto3's own variables.
BLOBS_ADDRESS: str = _environment.blobs
S3_ENDPOINT: str = _environment.s3_endpoint
# The internal address under which nginx finds the blobs' folder, such as /_blobs/; empty: the centre sends the bytes.
BLOBS_ACCEL: str = _environment.blobs_accel
# Folders beside the mounted removable media in which a stick may lie.
STICK_FOLDERS: list[Path] = list(_environment.sticks)
# Where its copies lie (deploy/backup), so that one that is too old raises an alarm; None: nobody looks.
BACKUP_PLACE: Path | None = _environment.backup
SESSION_TOKEN_SECONDS: int = 45 * 60
NEXT_CHECKIN_SECONDS = _environment.checkin_seconds
# On PostgreSQL; 0: as many as cores, four at most.
WEB_PROCESSES: int = _environment.web_processes
LEASE_CAP: int = 100
PUBLIC_ADDRESS: str = _environment.address
WEB_AUTHORITY: Path | None = _environment.authority
NODES_WAIT_FOR_APPROVAL: bool = _environment.is_approval_manual
FLEET_ADDRESS: str = _environment.fleet
# What one update may have at most, by whichever way it comes.
UPDATE_MAX_BYTES: int = 16 * 1024 * 1024

CELERY_BROKER_URL = _environment.broker_url
IS_BROKER_EMBEDDED: bool = CELERY_BROKER_URL.startswith("filesystem:")
BROKER_ROOT: Path = CENTRAL_ROOT / "broker"
if IS_BROKER_EMBEDDED:
    # Also a command or the web process, started before any worker, sends messages.
    (BROKER_ROOT / "queue").mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT = "central.broker_folder:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(BROKER_ROOT / "queue"),
        "data_folder_out": str(BROKER_ROOT / "queue"),
        "control_folder": str(BROKER_ROOT / "control"),
    }
CELERY_WORKER_POOL = "solo" if IS_BROKER_EMBEDDED else "prefork"
CELERY_TASK_DEFAULT_QUEUE = _environment.queue
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
TICK_SECONDS = _environment.tick_seconds
# Every entry is a sweep that looks in the tables for due work: a lost broker delays work by one tick and loses none.
CELERY_BEAT_SCHEDULE = {
    "rounds": {"task": "central.training.tasks.round_tick", "schedule": TICK_SECONDS},
    "rollouts": {"task": "central.rollouts.tasks.rollouts_tick", "schedule": TICK_SECONDS},
    "fleet": {"task": "central.training.tasks.fleet_sweep", "schedule": 10.0},
    "runs": {"task": "central.training.tasks.fleet_runs_check", "schedule": 60.0},
    "releases": {"task": "central.releases.tasks.releases_sweep", "schedule": 60.0},
    "programs": {"task": "central.programs.tasks.programs_sweep", "schedule": 60.0},
    "timestamp": {"task": "central.releases.tasks.timestamp_refresh", "schedule": 3600.0},
    "uploads": {"task": "central.training.tasks.uploads_sweep", "schedule": 3600.0},
    "audit": {"task": "central.schools.tasks.audit_sweep", "schedule": TICK_SECONDS},
    "audit-late": {"task": "central.schools.tasks.audit_late_sweep", "schedule": 3600.0},
    "sign-ins": {"task": "central.signin.tasks.signin_sweep", "schedule": 3600.0},
    "ratings": {"task": "central.feedback.tasks.ratings_count", "schedule": 300.0},
    "agreement": {"task": "central.feedback.tasks.agreement_recount", "schedule": 3600.0},
    "retention": {"task": "central.retention.tasks.retention_sweep", "schedule": 3600.0},
    "credentials": {"task": "central.schools.tasks.credentials_sweep", "schedule": 3600.0},
}

# For how long what is done with is kept (central.retention.rules).
PARCEL_MONTHS: int = _environment.parcel_months
UPDATE_MONTHS: int = _environment.update_months

# Where `central metrics` serves figures for Prometheus; empty: nowhere.
METRICS_ADDRESS: str = _environment.metrics
IS_LOG_JSON: bool = _environment.is_log_json
_OWN_LINES: dict[str, Any] = {"handlers": ["stderr"], "propagate": False}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "{asctime} {levelname} {name} {message}", "style": "{"},
        "json": {"()": "central.log_lines.JsonLines"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json" if IS_LOG_JSON else "text"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        # It says of each key that has not signed that it has not, also where two of three are enough.
        "tuf": {"level": "WARNING"},
        # central.http logs each refusal with its code; TUF's clients ask for the next root with every refresh.
        "django.request": {"level": "ERROR"},
        # A line for each request is for machines; in the trial's text uvicorn has its own.
        "central.metrics.requests": {"level": "INFO" if IS_LOG_JSON else "WARNING"},
        # The servers' own handlers write text.
        **({"uvicorn": _OWN_LINES, "gunicorn.error": _OWN_LINES} if IS_LOG_JSON else {}),
        **({"uvicorn.access": {"level": "WARNING"}} if IS_LOG_JSON else {}),
        # Ticks every few seconds would bury everything else.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}

UNFOLD = {
    "SITE_TITLE": _("Soro: the centre"),
    "SITE_HEADER": _("Soro: the centre"),
    "SITE_SYMBOL": "school",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"/{STATIC_URL}central/favicon.svg"}],
    "STYLES": [f"/{STATIC_URL}central/admin.css"],
    "ENVIRONMENT": "central.dashboard.alarms.environment_badge",
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": SIDEBAR,
    "LOGIN": {"form": "central.signin.forms.SignInForm"},
    "ACCOUNT": {
        "navigation": [{"title": _("Second factor"), "link": reverse_lazy("admin:second_factor_enrol")}],
    },
    "DASHBOARD_CALLBACK": "central.dashboard.page.dashboard_context",
}
