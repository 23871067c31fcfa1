"""What deploy/ ships, filled in for a place of one's own: the settings, and nginx's site with what surrounds it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.postgresql_cluster import DEPLOY


def settings_shipped() -> dict[str, str]:
    """Return the settings of a centre in production, as they are shipped."""
    lines = (DEPLOY / "centre.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def site_filled(values: Mapping[str, object]) -> str:
    """Return nginx's site as envsubst leaves it."""
    text = (DEPLOY / "nginx" / "soro-centre.conf.template").read_text(encoding="utf-8")
    return re.sub(r"\$\{(SORO_\w+)\}", lambda found: str(values[found[1]]), text)


def nginx_argv(program: str, *, site: Path, scratch: Path) -> list[str]:
    """Return what starts nginx with the site alone, as one process; it keeps its files in `scratch`."""
    temporary = " ".join(
        f"{name}_temp_path {scratch}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = scratch / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {scratch}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} include {site}; }}\n"
    )
    return [program, "-c", str(configuration), "-e", "stderr"]
