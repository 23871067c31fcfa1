"""Command lines and environments of Flower's processes, as plain values; nothing is started here.

Imports no Flower, so that a supervisor or a school's launcher stays small until the child starts. All of them keep
three rules: the virtual environment's programs come first on PATH, because Flower's processes start each other by name;
telemetry, update checks and dependency installation are off; the Control API, which asks for no password, stays on
loopback.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import federation

FAB_FOLDER = Path(__file__).parent / "app"
CONNECTION = "centre"

_PROGRAMS = Path(sys.executable).parent
_TREE = Path(federation.__file__).parent.parent
_POLL_SECONDS = "0.1"
_PIECE_BYTES = str(256 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A URL that answers 200 over TLS, signed by `authority`, once the process serves."""

    url: str
    authority: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process for a supervisor to keep running. No `health` means that being alive is all that can be seen."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_path: Path
    health: HealthCheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkConfig:
    """Where a SuperLink keeps its state and listens. All paths are absolute; `home` becomes FLWR_HOME."""

    home: Path
    host: str
    port: int
    database: Path
    authority: Path
    certificate: Path
    key: Path
    superexec_secret: Path

    @property
    def local_address(self) -> str:
        """Return the address for processes on this machine."""
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperNodeConfig:
    """One contact of a school with a SuperLink; `home` becomes FLWR_HOME, `port` is the SuperNode's own on loopback."""

    home: Path
    superlink: str
    authority: Path
    openssh_key: Path
    outbox: Path
    port: int


def flower_env(*, home: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for any Flower process: `base` (this process's if None) with the three rules applied."""
    inherited = dict(os.environ if base is None else base)
    return inherited | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        # The SuperExec asks once a second by default; a round of seconds is worth ten small loopback requests instead.
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": _POLL_SECONDS,
        # An upload's session ends 180 s after its last piece. 5 MB, the default, take 11 minutes at 64 kbit/s.
        "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE": _PIECE_BYTES,
        "PATH": os.pathsep.join([str(_PROGRAMS), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_TREE), inherited.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
    }


def superlink_argv(config: SuperLinkConfig) -> tuple[str, ...]:
    """Return the command of a SuperLink with TLS, node authentication and state on disk."""
    return (
        str(_PROGRAMS / "flower-superlink"),
        *("--host", config.host, "--port", str(config.port)),
        *("--database", str(config.database), "--enable-supernode-auth"),
        *("--ssl-certfile", str(config.certificate), "--ssl-keyfile", str(config.key)),
        *("--ssl-ca-certfile", str(config.authority)),
        *("--isolation", "process", "--superexec-auth-secret-file", str(config.superexec_secret)),
        "--disable-runtime-dependency-installation",
    )


def superexec_argv(config: SuperLinkConfig) -> tuple[str, ...]:
    """Return the command of the SuperExec that starts the centre's ServerApps."""
    return (
        str(_PROGRAMS / "flower-superexec"),
        *("--runtime-api-address", config.local_address, "--root-certificates", str(config.authority)),
        *("--superexec-auth-secret-file", str(config.superexec_secret)),
    )


def superlink_specs(config: SuperLinkConfig, *, logs: Path) -> list[ProcessSpec]:
    """Return the SuperLink and its SuperExec, in the order in which to start them.

    They are two processes so that a run outlives a restart of the SuperLink of less than 60 seconds.
    """
    env = flower_env(home=config.home)
    health = HealthCheck(url=f"https://{config.local_address}/health", authority=config.authority)
    return [
        ProcessSpec(
            name="superlink", argv=superlink_argv(config), env=env, log_path=logs / "superlink.log", health=health
        ),
        ProcessSpec(name="superexec", argv=superexec_argv(config), env=env, log_path=logs / "superexec.log"),
    ]


def supernode_argv(config: SuperNodeConfig) -> tuple[str, ...]:
    """Return the command of a SuperNode; without `--max-*`, with which it would stay for ever after giving up."""
    return (
        str(_PROGRAMS / "flower-supernode"),
        *("--superlink", config.superlink, "--root-certificates", str(config.authority)),
        *("--auth-supernode-private-key", str(config.openssh_key)),
        *("--host", "127.0.0.1", "--port", str(config.port)),
        *("--node-config", f"outbox={json.dumps(str(config.outbox), ensure_ascii=False)}"),
    )


def connection_toml(config: SuperLinkConfig) -> str:
    """Return `config.toml` of FLWR_HOME, by which the `flwr` program finds the SuperLink."""
    return (
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
        f"address = {json.dumps(config.local_address)}\nroot-certificates = {json.dumps(str(config.authority))}\n"
    )


def run_start_argv(*, run_config: Mapping[str, str | int | float]) -> tuple[str, ...]:
    """Return the command that submits a run; the keys must stand in the bundle's `[tool.flwr.app.config]`."""
    # A JSON string, number or boolean of this kind is also valid TOML, which Flower parses here.
    pairs = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in run_config.items())
    return _flwr("run", str(FAB_FOLDER), CONNECTION, "--run-config", pairs)


def run_list_argv(*, run_id: str) -> tuple[str, ...]:
    """Return the command that shows one run."""
    return _flwr("list", CONNECTION, "--run-id", run_id)


def run_stop_argv(*, run_id: str) -> tuple[str, ...]:
    """Return the command that stops one run."""
    return _flwr("stop", run_id, CONNECTION)


def node_register_argv(*, openssh_public_key: Path, name: str) -> tuple[str, ...]:
    """Return the command that registers a node's public key under `name`."""
    return _flwr("supernode", "register", str(openssh_public_key), CONNECTION, "--name", name)


def node_unregister_argv(*, flower_node_id: str) -> tuple[str, ...]:
    """Return the command that unregisters a node; its key can never be registered again."""
    return _flwr("supernode", "unregister", flower_node_id, CONNECTION)


def node_list_argv(*, local_address: str, authority: Path) -> tuple[str, ...]:
    """Return the command that lists the nodes with names and keys, which `flwr supernode list` leaves out."""
    module = "federation.learning.flower.registry"
    return (sys.executable, "-m", module, "--superlink", local_address, "--root-certificates", str(authority))


def _flwr(*words: str) -> tuple[str, ...]:
    return (str(_PROGRAMS / "flwr"), *words, "--format", "json")
