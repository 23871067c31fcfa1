"""`flwr-clientapp` as a school runs it: Flower's own program with the app fixed to this installed release.

Flower would import whatever object a bundle from the server names, from the bundle's own folder. Here the loader is
replaced, so a bundle is read for its settings and never for code. The replaced name is not a public one of Flower: the
version is pinned and a test with a real SuperLink covers it.
"""

from __future__ import annotations

from collections.abc import Callable

import flwr.supernode.runtime.run_clientapp as flower_program
from flwr.clientapp import ClientApp
from flwr.supernode.cli import flwr_clientapp

from federation.learning.flower.client import app


def main() -> None:
    """Answer one message with the installed app and exit."""
    flower_program.get_load_client_app_fn = _installed_app  # type: ignore[assignment]
    flwr_clientapp()


def _installed_app(**_asked_for: object) -> Callable[[str, str, str], ClientApp]:
    def load(_fab_id: str, _fab_version: str, _fab_hash: str) -> ClientApp:
        return app

    return load
