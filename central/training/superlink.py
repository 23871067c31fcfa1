"""The centre's side of a SuperLink: its processes for the supervisor, its nodes and its runs.

Needs no Django. Every call is one child process of Flower's own `flwr` program that answers in JSON, so that Celery
workers and web processes never import Flower. The rules, in order:
1. The Control API has no password, so it is reached over loopback only; a proxy lets schools through to `/v1/fleet/`
   alone.
2. Ids of nodes and runs are unsigned 64-bit numbers and are always strings here.
3. A call may be repeated: the same key registered twice keeps its id, a stopped run may be stopped again.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from federation.errors import CapacityError, TransportError, TrustError
from federation.learning.flower.keys import (
    private_write,
    public_key_canonical,
    public_key_openssh,
    tls_create,
    tls_is_current,
)
from federation.learning.flower.processes import (
    HealthCheck,
    ProcessSpec,
    SuperLinkConfig,
    connection_toml,
    flower_env,
    node_list_argv,
    node_register_argv,
    node_unregister_argv,
    run_list_argv,
    run_start_argv,
    run_stop_argv,
    superlink_specs,
)

_CALL_SECONDS = 30.0
_UNREACHABLE = re.compile(r"unavailable|connect|refused|timed out|timeout|unreachable", re.IGNORECASE)
_MAX_MESSAGE = 400


class SuperLinkUnreachable(TransportError):
    """The SuperLink does not answer on loopback. Fields: address, reason."""

    code = "superlink_unreachable"


class SuperLinkRefused(CapacityError):
    """The SuperLink or the `flwr` program refused a call. Fields: call, reason."""

    code = "superlink_refused"


class FlowerKeyBurnt(TrustError):
    """The node's key was unregistered once, which is final. Fields: flower_node_id."""

    code = "flower_key_burnt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run as the SuperLink sees it.

    `state` is pending, starting, running, `finished:completed`, `finished:failed` or `finished:stopped`.
    """

    run_id: str
    state: str
    details: str

    @property
    def is_finished(self) -> bool:
        """Return whether the run has ended, well or not."""
        return self.state.startswith("finished")


def superlink_prepare(*, root: Path, port: int, hosts: Iterable[str], now: datetime, host: str = "127.0.0.1") -> None:
    """Leave in `root` what the processes need: TLS files, SuperExec secret, Flower's connection; safe to repeat.

    TLS files are made anew when they end within 30 days or lack one of `hosts`, the names by which schools call the
    SuperLink; schools then need the new `tls/ca.pem`.
    """
    config = superlink_config(root=root, port=port, host=host)
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (root / "logs").mkdir(exist_ok=True)
    names = list(hosts)
    if not tls_is_current(folder=config.authority.parent, hosts=names, now=now):
        tls_create(folder=config.authority.parent, hosts=names, now=now)
    if not config.superexec_secret.exists():
        private_write(config.superexec_secret, secrets.token_hex(32).encode())
    (config.home / "config.toml").write_text(connection_toml(config))


def superlink_config(*, root: Path, port: int, host: str = "127.0.0.1") -> SuperLinkConfig:
    """Return where everything of the SuperLink under `root` lies; touches no disk."""
    root = root.absolute()
    return SuperLinkConfig(
        home=root / "home",
        host=host,
        port=port,
        database=root / "superlink.sqlite3",
        authority=root / "tls" / "ca.pem",
        certificate=root / "tls" / "server.pem",
        key=root / "tls" / "server.key",
        superexec_secret=root / "superexec.secret",
    )


def superlink_commands(root: Path, port: int, host: str = "127.0.0.1") -> list[ProcessSpec]:
    """Return the SuperLink and the SuperExec for a supervisor; `superlink_prepare` must have run.

    Restart either when it ends. End them with SIGINT to the process group; a run outlives a restart of under a minute.
    """
    return superlink_specs(superlink_config(root=root, port=port, host=host), logs=root.absolute() / "logs")


def superlink_is_healthy(check: HealthCheck, *, timeout_seconds: float = 2.0) -> bool:
    """Return whether the SuperLink answers 200 at its health URL now."""
    context = ssl.create_default_context(cafile=str(check.authority))
    try:
        # Always https on loopback: `superlink_config` builds the address.
        with urllib.request.urlopen(check.url, timeout=timeout_seconds, context=context) as answer:  # nosec B310 # noqa: S310
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def node_register(*, root: Path, port: int, node_id: str, public_pem: bytes) -> str:
    """Return the id under which the SuperLink knows this node's key; registered already or not, the answer is the same.

    `node_id` is the platform's, and becomes the first part of the names of this node's update files.

    Raises:
        FlowerKeyBurnt: this key was unregistered before; the node must enrol again with a new one.
        FlowerKeyRefused: the key is not P-384.
        SuperLinkUnreachable, SuperLinkRefused: the call failed.
    """
    config = superlink_config(root=root, port=port)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "node.pub"
        path.write_bytes(public_key_openssh(public_pem))
        try:
            answer = _call(config, node_register_argv(openssh_public_key=path, name=node_id))
        except SuperLinkRefused as refusal:
            return _registered_id(config, public_pem, refusal)
    return str(answer["node-id"])


def node_unregister(*, root: Path, port: int, flower_node_id: str) -> None:
    """Leave the node refused by the SuperLink from now on, for good: its key can never be registered again.

    Raises:
        SuperLinkUnreachable, SuperLinkRefused: the call failed and the node is not unregistered.
    """
    config = superlink_config(root=root, port=port)
    try:
        _call(config, node_unregister_argv(flower_node_id=flower_node_id))
    except SuperLinkRefused:
        states = {node["node-id"]: node["status"] for node in _nodes(config)}
        if states.get(flower_node_id) != "unregistered":
            raise


def run_start(
    *, root: Path, port: int, season_id: str, round_id: str, inbox: Path, wanted: int, duration_seconds: float
) -> str:
    """Return the id of a submitted run that collects updates to the season of `wanted` nodes into `inbox/<round_id>/`.

    A run started again for the same round goes on from the files that lie there. It ends by itself and then leaves
    `run-<run id>.json` there; an empty file `inbox/<round_id>/close` asks for its end.

    Raises:
        SuperLinkUnreachable, SuperLinkRefused: the call failed.
    """
    settings: dict[str, str | int | float] = {
        "season-id": season_id,
        "round-id": round_id,
        "inbox": str(inbox.absolute()),
        "wanted": wanted,
        "duration-s": float(duration_seconds),
    }
    return str(_call(superlink_config(root=root, port=port), run_start_argv(run_config=settings))["run-id"])


def run_status(*, root: Path, port: int, run_id: str) -> RunStatus:
    """Return how the SuperLink sees the run now.

    Raises:
        SuperLinkUnreachable, SuperLinkRefused: the call failed, or there is no such run.
    """
    config = superlink_config(root=root, port=port)
    runs = _call(config, run_list_argv(run_id=run_id)).get("runs")
    if not isinstance(runs, list) or not runs:
        raise SuperLinkRefused(call="list", reason=f"no run {run_id}")
    return RunStatus(run_id=run_id, state=str(runs[0]["status"]), details=str(runs[0]["status-details"]))


def run_stop(*, root: Path, port: int, run_id: str) -> None:
    """Leave the run finished; updates that were read lie in the inbox, schools keep the others.

    Raises:
        SuperLinkUnreachable, SuperLinkRefused: the call failed and the run is still under way.
    """
    try:
        _call(superlink_config(root=root, port=port), run_stop_argv(run_id=run_id))
    except SuperLinkRefused:
        if not run_status(root=root, port=port, run_id=run_id).is_finished:
            raise


def _registered_id(config: SuperLinkConfig, public_pem: bytes, refusal: SuperLinkRefused) -> str:
    wanted = public_key_canonical(public_pem).decode().strip()
    for node in _nodes(config):
        if node["public-key"].strip() != wanted:
            continue
        if node["status"] == "unregistered":
            raise FlowerKeyBurnt(flower_node_id=node["node-id"])
        return node["node-id"]
    raise refusal


def _nodes(config: SuperLinkConfig) -> list[dict[str, str]]:
    argv = node_list_argv(local_address=config.local_address, authority=config.authority)
    nodes = _call(config, argv)["nodes"]
    if not isinstance(nodes, list):
        raise SuperLinkRefused(call="nodes", reason="no list of nodes")
    return nodes


def _call(config: SuperLinkConfig, argv: Sequence[str]) -> dict[str, object]:
    call = " ".join(argv[1:3])
    try:
        done = subprocess.run(  # noqa: PLW1510  the answer itself says whether it worked
            argv, capture_output=True, env=flower_env(home=config.home), text=True, timeout=_CALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise SuperLinkUnreachable(address=config.local_address, reason="timeout") from error
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        answer = {"error-message": (done.stderr or done.stdout)[-_MAX_MESSAGE:]}
    if isinstance(answer, dict) and answer.get("success") is True:
        return answer
    reason = str(answer.get("error-message", answer))[-_MAX_MESSAGE:].strip()
    if _UNREACHABLE.search(reason):
        raise SuperLinkUnreachable(address=config.local_address, reason=reason)
    raise SuperLinkRefused(call=call, reason=reason)
