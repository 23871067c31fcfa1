"""A real centre for tests of the link: its own settings, database, keys and doors in one child process, over real HTTP.

No worker, no SuperLink: what a school's PC sees of a centre is all here, and it starts in a few seconds. The test
steers it by lines of JSON: invite a school, offer a folder as a release to all schools, revoke a release, store blobs,
write a stick and take it in.
The gate is left out: a release is signed as soon as it is built, because what it says does not matter to the link.
"""

# ruff: noqa: PLC0415 - the centre is imported once its settings are known, and by its own process only
from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.stations import EMBEDDED, free_port

TREE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RealCentre:
    """A running centre."""

    root: Path
    url: str
    _process: subprocess.Popen[str]
    database_url: str = ""
    """Of PostgreSQL; empty for the embedded one."""

    def ask(self, command: str, **options: object) -> dict[str, Any]:
        """Return what the centre's process answers to a command."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, (self.root / "centre.log").read_text(encoding="utf-8")[-3000:]
        return json.loads(line)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return rows of the centre's own database."""
        if self.database_url:
            # A school's PC has none (tests/test_lean_node.py).
            import psycopg

            with psycopg.connect(self.database_url) as database:
                return database.execute(query.replace("?", "%s").encode(), arguments).fetchall()
        with closing(sqlite3.connect(self.root / "central.sqlite3", timeout=20)) as database:
            return database.execute(query, arguments).fetchall()

    def ratings(self, node_id: str) -> dict[str, tuple[int, int | None, bool]]:
        """Return revision, stars and whether it is deleted of each of the node's ratings."""
        query = "SELECT record_id, revision, stars, is_deleted FROM feedback_rating WHERE node_id = ?"
        found = self.rows(query, node_id if self.database_url else node_id.replace("-", ""))
        assert len(found) == len({row[0] for row in found})
        return {record_id: (revision, stars, bool(is_deleted)) for record_id, revision, stars, is_deleted in found}


@contextmanager
def real_centre(
    root: Path, *, tls: tuple[Path, Path] | None = None, port: int | None = None, **environment: str
) -> Iterator[RealCentre]:
    """Yield a centre at `root`, which speaks TLS where it has a certificate and its key, at any free port or `port`.

    Without the centre's code, as on a school's PC, the test is skipped.
    """
    pytest.importorskip("central", reason="a real centre needs the centre's code")
    root.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    settings = {"SORO_CENTRAL_ROOT": str(root), "DJANGO_SETTINGS_MODULE": "central.settings", "PYTHONPATH": str(TREE)}
    settings["SORO_CENTRAL_ADDRESS"] = url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    with (root / "centre.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.real_centre", str(port), *map(str, tls or ())],
            env=kept | EMBEDDED | settings | environment,
            cwd=TREE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            centre = RealCentre(root, url, process, environment.get("SORO_CENTRAL_DATABASE_URL", ""))
            centre.ask("ready")
            yield centre
        finally:
            process.kill()
            process.communicate()


class _Commands:
    """What the test may ask of the centre's process; each one calls the centre's own services."""

    def ready(self) -> dict[str, object]:
        return {}

    def invite(self, *, name: str) -> dict[str, object]:
        from central.schools.invitations import school_invite
        from central.trust_root import root_fingerprint

        invitation = school_invite(name=name, region="", actor="test", now=_now())
        return {"code": invitation.code, "root_sha256": root_fingerprint()}

    def offer(self, *, folder: str, base: str = "") -> dict[str, object]:
        from central.releases.models import Release
        from central.rollouts.services import rollout_approve, rollout_create, rollout_submit
        from central.rollouts.tick import rollout_tick
        from central.rollouts.verdict import WaveRules
        from central.rollouts.wave_spec import wave_spec_read

        release = _sign(Path(folder), Release.objects.filter(digest=base).first())
        never = timedelta(days=100)
        rules = WaveRules(min_committed=99, pass_share=1.0, failures_allowed=99, soak=never, deadline=never)
        waves = [wave_spec_read("all=100%")]
        rollout = rollout_create(release=release, waves=waves, creator="a", rules=rules, now=_now())
        rollout_submit(rollout=rollout, actor="a", now=_now())
        rollout_approve(rollout=rollout, approver="b", now=_now())
        rollout_tick(rollout_id=rollout.pk, now=_now())
        return {"digest": release.digest}

    def season(self) -> dict[str, object]:
        from tests.central.seasons import SIZES, season_small

        return {"base": season_small().base.digest, "widths": {slot: size.d_out for slot, size in SIZES.items()}}

    def renew(self) -> dict[str, object]:
        from central.disk import centre_disk
        from federation.trust.tuf_publisher import online_renew

        disk = centre_disk()
        online_renew(root=disk.tuf, keys=disk.keys, now=_now())
        return {}

    def store(self, *, folder: str) -> dict[str, object]:
        from central.disk import centre_disk
        from central.releases.storage import blob_put

        for path in sorted(Path(folder).iterdir()):
            blob_put(root=centre_disk().blobs, source=path)
        return {}

    def revoke(self, *, digest: str) -> dict[str, object]:
        from central.disk import centre_disk
        from central.releases.models import Release
        from central.releases.services import release_revoke

        release = Release.objects.get(digest=digest)
        release_revoke(release=release, disk=centre_disk(), actor="a", reason="test", now=_now())
        return {}

    def program_publish(self, *, version: str, folders: Mapping[str, str]) -> dict[str, object]:
        from central.disk import centre_disk
        from central.programs.services import program_publish

        laid = {form: Path(folder) for form, folder in folders.items()}
        program = program_publish(version=version, folders=laid, disk=centre_disk(), actor="a", now=_now())
        return {"digest": program.digest}

    def program_offer(self, *, version: str) -> dict[str, object]:
        from central.programs.services import program_find, program_offer

        offered = {"schools": [], "is_for_all": True, "failures_allowed": None}
        program_offer(program=program_find(version), **offered, actor="a", now=_now())
        return {}

    def school(self, *, name: str) -> dict[str, object]:
        from central.schools.models import School

        School.objects.create(name=name, region="", created_at=_now())
        return {}

    def sign(self, *, folder: str) -> dict[str, object]:
        return {"digest": _sign(Path(folder), None).digest}

    def stick_write(self, *, place: str) -> dict[str, object]:
        from central.courier.cargo import nodes_of
        from central.courier.services import stick_export
        from central.disk import centre_disk
        from central.trust_root import director_key
        from federation.trust.stick_disk import StickDisk

        stick, key = StickDisk(Path(place)), director_key()
        trip = stick_export(stick=stick, nodes=nodes_of(), disk=centre_disk(), key=key, actor="a", now=_now())
        return {"letters": trip.files}

    def stick_read(self, *, place: str) -> dict[str, object]:
        from central.courier.returns_file import returns_open
        from central.courier.services import stick_import
        from central.disk import centre_disk

        with returns_open(Path(place)) as source:
            trip = stick_import(source=source, place=place, disk=centre_disk(), actor="a", now=_now())
        return {"problems": trip.problems}


def _sign(folder: Path, base: Any) -> Any:
    from central.disk import centre_disk
    from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
    from central.releases.services import release_build_begin, release_built, release_draft_create, release_sign
    from central.releases.variants import BuiltPackage

    kind = ReleaseKindChoice.ADAPTER if base else ReleaseKindChoice.BASE
    release = release_draft_create(kind=kind, title=folder.name, base=base, actor="a", now=_now())
    release_build_begin(release=release, actor="a", now=_now())
    release_built(release=release, packages=[BuiltPackage(folder=folder, card={})], disk=centre_disk(), now=_now())
    Release.objects.filter(pk=release.pk).update(status=ReleaseStatus.AWAITING_SIGNATURE)
    release.refresh_from_db()
    release_sign(release=release, disk=centre_disk(), actor="a", now=_now())
    return release


def _now() -> Any:
    from django.utils import timezone

    return timezone.now()


def _main(port: int, certificate: str | None = None, key: str | None = None) -> None:
    import django

    django.setup()
    import uvicorn
    from django.core.management import call_command
    from rest_framework.throttling import SimpleRateThrottle

    from central.trust_root import keys_make

    # A test holds in seconds the contacts of weeks; tests/central/test_limits.py is about the limits.
    SimpleRateThrottle.THROTTLE_RATES = dict.fromkeys(SimpleRateThrottle.THROTTLE_RATES)
    call_command("migrate", interactive=False, verbosity=0)
    keys_make(now=_now())
    config = uvicorn.Config(
        "central.asgi:application", port=port, log_level="warning", ssl_certfile=certificate, ssl_keyfile=key
    )
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        threading.Event().wait(0.02)
    commands = _Commands()
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(commands, asked.pop("command"))(**asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
