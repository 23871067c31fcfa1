"""A Flower client that lives through power cuts: one small process in the place of SuperNode, SuperExec and ClientApp.

It stands on Flower's own connection to a SuperLink and answers with the same app as the stock SuperNode
(`federation.learning.flower.client`). Rules, in order:
1. Nothing that the server sends is run: no bundle is fetched at all.
2. What a SuperLink tells once is on the disk (`letter`) before it is relied on; whoever starts next goes on from there.
3. A client that was killed takes leave for its predecessor first, so that it is not refused for a minute.
4. A question whose run is over, or a session that ended, is let go: the centre asks again, the update stays here.
The connection is not a public interface of Flower: the version is pinned and a test with a real SuperLink covers it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from federation.learning.flower.exchange import Exchange
from federation.learning.flower.letter import Letter
from federation.learning.flower.processes import flower_env
from federation.learning.flower.supernode import end_with_parent


def main() -> None:
    """Serve one contact until it is interrupted or refused; exits with status 1 if it is refused."""
    arguments = _arguments()
    arguments.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ.update(flower_env(home=arguments.home.absolute()))
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    # Imported only now, because Flower reads its environment while it is being imported.
    from federation.learning.flower.fleet import fleet_open  # noqa: PLC0415

    try:
        with fleet_open(
            superlink=arguments.superlink,
            authority=arguments.root_certificates,
            node_key=arguments.node_key,
            outbox=arguments.outbox,
            home=arguments.home,
        ) as fleet:
            sys.stderr.write(f"SuperNode ID: {fleet.node_id}\n")
            _serve(Exchange(fleet=fleet, letter=Letter(arguments.home / "letter"), sleep=time.sleep))
    except KeyboardInterrupt:
        # Interrupted while it came or took leave: no exchange was under way.
        sys.stderr.write("interrupted\n")


def _serve(exchange: Exchange) -> None:
    """Return when interrupted; taking leave of a slow SuperLink may then last longer than this process is given."""
    try:
        while True:
            exchange.step()
    except KeyboardInterrupt:
        sys.stderr.write("terminated gracefully\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--superlink", required=True, help="host:port of the SuperLink's Fleet API")
    parser.add_argument("--root-certificates", required=True, type=Path)
    parser.add_argument("--node-key", required=True, type=Path, help="the node's P-384 key, PKCS8 PEM")
    parser.add_argument("--outbox", required=True, type=Path, help="folder of finished updates")
    parser.add_argument("--home", required=True, type=Path, help="folder for what this client has in hand")
    return parser.parse_args()


if __name__ == "__main__":
    main()
