"""The door through which a school opens a SuperNode: one process, one contact, no code from the server.

Rules, in order:
1. The PATH of the SuperNode holds exactly two programs, `flower-superexec` and `flwr-clientapp`, both of this installed
   release. A server that sends another kind of task finds no program for it.
2. The node's one PEM key is rewritten to OpenSSH form in the given home, for its owner alone.
3. When the process that started this one is gone, the whole process group ends: a school PC is left without orphans.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from federation.learning.flower.keys import private_key_openssh, private_write
from federation.learning.flower.processes import SuperNodeConfig, flower_env, supernode_argv

_PROGRAMS = {
    "flower-superexec": "from flwr.supercore.cli import flower_superexec as main",
    "flwr-clientapp": "from federation.learning.flower.clientapp import main",
}
_GRACE_SECONDS = 10.0


def main() -> None:
    """Run a SuperNode until it is interrupted or refused; exits with its status."""
    arguments = _arguments()
    config = supernode_prepare(
        home=arguments.home,
        superlink=arguments.superlink,
        authority=arguments.root_certificates,
        node_key=arguments.node_key,
        outbox=arguments.outbox,
        port=arguments.port,
    )
    env = flower_env(home=config.home)
    os.environ.update(env | {"PATH": str(config.home / "bin")})
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.argv = list(supernode_argv(config))
    # Imported only now, because Flower reads its environment while it is being imported.
    from flwr.supernode.cli import flower_supernode  # noqa: PLC0415

    flower_supernode()


def supernode_prepare(
    *, home: Path, superlink: str, authority: Path, node_key: Path, outbox: Path, port: int
) -> SuperNodeConfig:
    """Return the configuration of a contact; `home` then holds the two programs and the key, and no old bundles.

    Raises:
        FlowerKeyRefused: `node_key` is not an unencrypted P-384 key in PEM.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Flower unpacks each bundle it ever saw into this folder and never cleans it.
    shutil.rmtree(home / "apps", ignore_errors=True)
    _programs_write(home / "bin")
    openssh_key = home / "node_key"
    private_write(openssh_key, private_key_openssh(node_key.read_bytes()))
    return SuperNodeConfig(
        home=home,
        superlink=superlink,
        authority=authority.absolute(),
        openssh_key=openssh_key,
        outbox=outbox.absolute(),
        port=port,
    )


def _programs_write(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, statement in _PROGRAMS.items():
        program = folder / name
        # -P keeps the working directory off the import path; the shell line has no length limit, as a shebang has.
        code = shlex.quote(f"{statement}; main()")
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -c {code} "$@"\n')
        program.chmod(0o700)


def end_with_parent(parent: int) -> None:
    """Interrupt this process group, and 10 seconds later kill it, once the process `parent` is gone."""
    while os.getppid() == parent:
        time.sleep(1.0)
    if os.getpgrp() != os.getpid():
        os.kill(os.getpid(), signal.SIGINT)
        return
    os.killpg(os.getpgrp(), signal.SIGINT)
    time.sleep(_GRACE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--superlink", required=True, help="host:port of the SuperLink's Fleet API")
    parser.add_argument("--root-certificates", required=True, type=Path)
    parser.add_argument("--node-key", required=True, type=Path, help="the node's P-384 key, PKCS8 PEM")
    parser.add_argument("--outbox", required=True, type=Path, help="folder with <season_id>-<counter>.update")
    parser.add_argument("--home", required=True, type=Path, help="Flower's folder for this node")
    parser.add_argument("--port", required=True, type=int, help="a free port on loopback")
    return parser.parse_args()


if __name__ == "__main__":
    main()
