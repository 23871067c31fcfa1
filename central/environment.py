"""Every SORO_CENTRAL_* setting, read in one place: what each may be, its default, and a sentence for each mistake.

Pure: takes the environment as a mapping and touches neither disk nor network. The rules, in order:
1. All mistakes are found at once. A mistaken setting has its default until it is mended, and nothing starts before:
   `central.checks` shows the mistakes to commands, `settings_expect` ends web processes and workers.
2. A mistaken database is none: on its default, SQLite, a centre would seem to have lost everything.
3. A sentence never repeats a value that may hold a password.
4. A name that begins like ours and is none is a mistake too: nobody would see a door left open by a typing error.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from central.database_url import NO_DATABASE, database_settings, replica_settings
from central.superlinks import superlinks_read

PREFIX = "SORO_CENTRAL_"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
BROKERS = ("filesystem", "redis", "rediss", "amqp", "amqps", "memory")
"""The last is for tests: messages go from a process to itself."""
MONTH_SECONDS = 30 * 24 * 3600
_HOUR_SECONDS = 3600
_DAY_SECONDS = 24 * _HOUR_SECONDS
_AGE_MONTHS = 50 * 12
_LAST_PORT = 65_535
_HOST = re.compile(r"\*|\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^\s?#]*)?")
_ACCEL = re.compile(r"/([\w.-]+/)+")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One setting that cannot be: the stable id of Django's check, and one sentence that says what to do."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreEnvironment:
    """The settings of the machine, typed; docs/operations.md says what each is for."""

    database: Mapping[str, Any]
    replica: Mapping[str, Any] | None
    replica_lag_seconds: int
    broker_url: str
    queue: str
    hosts: tuple[str, ...]
    is_debug: bool
    is_tls: bool
    hsts_seconds: int
    proxies: int
    address: str
    authority: Path | None
    fleet: str
    is_approval_manual: bool
    is_second_factor_required: bool
    checkin_seconds: int
    tick_seconds: float
    web_processes: int
    """0: as many as the machine has cores, up to a number of the supervisor's."""
    suites: Path | None
    sticks: tuple[Path, ...]
    build_work: Path
    backup: Path | None
    blobs: str
    s3_endpoint: str
    blobs_accel: str
    parcel_months: int
    update_months: int
    metrics: str
    is_log_json: bool
    mistakes: tuple[Mistake, ...]


def environment_read(environ: Mapping[str, str], *, root: Path) -> CentreEnvironment:
    """Return the settings of `environ` for a centre that keeps everything under `root`, with all mistakes in them."""
    reader = _Reader(environ)
    reader.text("ROOT")  # central.root has read it already, together with `--root`.
    address = reader.matched("ADDRESS", code="central.E007", refusal=_address_refusal)
    blobs = reader.matched("BLOBS", code="central.E009", refusal=_bucket_refusal)
    endpoint = reader.matched("S3_ENDPOINT", code="central.E007", refusal=_address_refusal)
    accel = reader.matched("BLOBS_ACCEL", code="central.E009", refusal=_accel_refusal)
    is_tls = reader.choice("TLS", ("0", "1")) == "1"
    hsts_seconds = reader.number("HSTS_SECONDS", default=MONTH_SECONDS, least=0, most=2 * 366 * _DAY_SECONDS)
    proxies = reader.number("PROXIES", default=0, least=0, most=8)
    database = reader.database(root / "central.sqlite3")
    replica = reader.replica()
    environment = CentreEnvironment(
        database=database,
        replica=replica,
        replica_lag_seconds=reader.number("REPLICA_LAG_SECONDS", default=30, least=1, most=_HOUR_SECONDS),
        broker_url=reader.matched(
            "BROKER_URL", code="central.E005", refusal=_broker_refusal, default="filesystem://localhost"
        ),
        queue=reader.text("QUEUE", "central"),
        hosts=reader.hosts(),
        is_debug=reader.choice("DEBUG", ("0", "1")) == "1",
        is_tls=is_tls,
        hsts_seconds=hsts_seconds if is_tls else 0,
        proxies=proxies,
        address=address,
        authority=reader.path("AUTHORITY"),
        fleet=reader.matched("FLEET", code="central.E008", refusal=_fleet_refusal),
        is_approval_manual=reader.choice("APPROVAL", ("automatic", "manual")) == "manual",
        is_second_factor_required=reader.choice("SECOND_FACTOR", ("optional", "required")) == "required",
        checkin_seconds=reader.number("CHECKIN_SECONDS", default=300, least=1, most=_DAY_SECONDS),
        tick_seconds=reader.number("TICK_SECONDS", default=3.0, least=0.1, most=60.0),
        web_processes=reader.number("WEB_PROCESSES", default=0, least=0, most=64),
        suites=reader.path("SUITES"),
        sticks=tuple(Path(name) for name in reader.text("STICKS").split(os.pathsep) if name),
        build_work=reader.path("BUILD_WORK") or (root / "builds" / "steps").absolute(),
        backup=reader.path("BACKUP"),
        blobs=blobs,
        s3_endpoint=endpoint,
        blobs_accel=accel,
        parcel_months=reader.number("PARCEL_MONTHS", default=24, least=3, most=_AGE_MONTHS),
        update_months=reader.number("UPDATE_MONTHS", default=12, least=3, most=_AGE_MONTHS),
        metrics=reader.matched("METRICS", code="central.E007", refusal=_listen_refusal),
        is_log_json=reader.choice("LOG", ("text", "json")) == "json",
        mistakes=(),
    )
    # Of a mistaken database it is enough to say that.
    is_other = database is not NO_DATABASE and replica is not None and _place(replica) != _place(database)
    reader.together(is_bad=is_other, text=_OTHER_DATABASE)
    reader.together(is_bad=is_tls and not proxies, text=_TLS_ALONE)
    reader.together(is_bad=is_tls and address.startswith("http://"), text=_ADDRESS_OPEN)
    reader.together(is_bad=bool(endpoint) and not blobs, text=_ENDPOINT_ALONE)
    reader.together(is_bad=bool(accel) and bool(blobs), text=_TWO_STORES)
    return replace(environment, mistakes=reader.all_mistakes())


def settings_expect(mistakes: tuple[Mistake, ...]) -> None:
    """Refuse to serve or to work with mistaken settings; a command hears of them from Django's checks.

    Raises:
        ImproperlyConfigured: with one line for each mistake.
    """
    if mistakes:
        raise ImproperlyConfigured("\n".join(f"{each.code}: {each.text}" for each in mistakes))


_OTHER_DATABASE = (
    "SORO_CENTRAL_DATABASE_REPLICA_URL must end with the name of the database in SORO_CENTRAL_DATABASE_URL; SQLite has "
    "no replica."
)
_TLS_ALONE = (
    "SORO_CENTRAL_TLS=1 needs SORO_CENTRAL_PROXIES: the centre speaks no TLS itself, and believes only a counted proxy "
    "that a request came over it. Set SORO_CENTRAL_PROXIES=1 for one nginx in front."
)
_ADDRESS_OPEN = "SORO_CENTRAL_ADDRESS begins with http:// though SORO_CENTRAL_TLS=1; print https:// on the sheets."
_ENDPOINT_ALONE = "SORO_CENTRAL_S3_ENDPOINT is set and SORO_CENTRAL_BLOBS is not; set both or neither."
_TWO_STORES = "SORO_CENTRAL_BLOBS and SORO_CENTRAL_BLOBS_ACCEL are both set; nginx sends no files out of a bucket."


class _Reader:
    """Reads one variable after the other, and notes what is wrong with each."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: set[str] = set()
        self._mistakes: list[Mistake] = []

    def text(self, name: str, default: str = "") -> str:
        self._known.add(PREFIX + name)
        return self._environ.get(PREFIX + name, "").strip() or default

    def matched(self, name: str, *, code: str, refusal: Callable[[str], str], default: str = "") -> str:
        """Return the text of `name` unless `refusal` says something of it, which is what follows the name."""
        value = self.text(name, default)
        return value if self._is_good(name, code, refusal(value) if value else "") else default

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of `choices`, of which the first is the default."""
        value = self.text(name, choices[0])
        refusal = "" if value in choices else f"must be {' or '.join(choices)}, not {value!r}"
        return value if self._is_good(name, "central.E002", refusal) else choices[0]

    def number(self, name: str, *, default: ValueT, least: float, most: float) -> ValueT:
        """Return a number of the kind of `default`."""
        kind: Any = type(default)
        text = self.text(name, str(default))
        try:
            value = kind(text)
        except ValueError:
            value = None
        words = "a whole number" if kind is int else "a number"
        refusal = f"must be {words} from {least} to {most}, not {text!r}"
        is_fit = value is not None and least <= value <= most
        return value if self._is_good(name, "central.E003", "" if is_fit else refusal) else default

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text).absolute() if text else None

    def database(self, sqlite_file: Path) -> Mapping[str, Any]:
        try:
            return database_settings(self.text("DATABASE_URL"), sqlite_file=sqlite_file)
        except ImproperlyConfigured as error:
            self._mistakes.append(Mistake(code="central.E004", text=f"{error}."))
            return NO_DATABASE

    def replica(self) -> Mapping[str, Any] | None:
        """Return the replica that is named; a mistaken one is none, and reports have their usual database."""
        url = self.text("DATABASE_REPLICA_URL")
        try:
            return replica_settings(url) if url else None
        except ImproperlyConfigured as error:
            self._mistakes.append(Mistake(code="central.E004", text=f"{error}."))
            return None

    def hosts(self) -> tuple[str, ...]:
        names = tuple(name.strip() for name in self.text("HOSTS", ",".join(LOOPBACK_NAMES)).split(",") if name.strip())
        odd = [name for name in names if not _HOST.fullmatch(name)]
        refusal = f"must be names without https://, port or path, not {', '.join(odd)}" if odd else ""
        return names if self._is_good("HOSTS", "central.E006", refusal) else LOOPBACK_NAMES

    def together(self, *, is_bad: bool, text: str) -> None:
        """Note that settings contradict one another."""
        if is_bad:
            self._mistakes.append(Mistake(code="central.E010", text=text))

    def all_mistakes(self) -> tuple[Mistake, ...]:
        """Return every mistake noted, and one for each name that is no setting."""
        odd = sorted(name for name in self._environ if name.startswith(PREFIX) and name not in self._known)
        return (*(_unknown(name, self._known) for name in odd), *self._mistakes)

    def _is_good(self, name: str, code: str, refusal: str) -> bool:
        if refusal:
            self._mistakes.append(Mistake(code=code, text=f"{PREFIX}{name} {refusal}."))
        return not refusal


def _unknown(name: str, known: set[str]) -> Mistake:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "take it away; docs/operations.md lists all."
    return Mistake(code="central.E001", text=f"{name} is no setting; {hint}")


def _place(database: Mapping[str, Any]) -> tuple[object, object]:
    return database["ENGINE"], database["NAME"]


def _address_refusal(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fit = False
    is_bare = is_fit and not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    return "" if is_bare else "must be http:// or https:// with a name and, where needed, a port, and nothing behind it"


def _listen_refusal(value: str) -> str:
    host, _colon, port = value.rpartition(":")
    is_fit = bool(host) and "/" not in value and port.isdecimal() and 0 < int(port) <= _LAST_PORT
    return "" if is_fit else "must be HOST:PORT, such as 127.0.0.1:9464"


def _broker_refusal(value: str) -> str:
    scheme = value.partition("://")[0]
    named = ", ".join(f"{each}://" for each in BROKERS[:-1])
    return "" if "://" in value and scheme in BROKERS else f"must begin with one of {named}"


def _bucket_refusal(value: str) -> str:
    return "" if _BUCKET.fullmatch(value) else "must be s3://bucket or s3://bucket/prefix"


def _accel_refusal(value: str) -> str:
    return "" if _ACCEL.fullmatch(value) else "must be a path that begins and ends with /, such as /_blobs/"


def _fleet_refusal(value: str) -> str:
    try:
        superlinks_read(value)
    except ImproperlyConfigured as error:
        return str(error).removeprefix(f"{PREFIX}FLEET ")
    return ""
