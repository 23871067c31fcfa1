"""`central keys show|make|rotate|revoke|renew|sign`: who may sign what, and the ceremonies by which that changes."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.key_words import proposal_lines, role_lines, waiting_lines
from central.trust_root import keys_make
from federation.trust.errors import RepositoryMissing, SignaturesMissing
from federation.trust.key_files import (
    PublicKey,
    key_file_create,
    key_file_look,
    public_file_read,
    public_file_write,
)
from federation.trust.key_sightings import sightings_record, sightings_take_over
from federation.trust.tuf_changes import Waiting
from federation.trust.tuf_requests import (
    request_export,
    request_import,
    request_proposals,
    request_sign,
    staged_sign,
)
from federation.trust.tuf_roles import (
    ROLES,
    Change,
    changes_waiting,
    key_revoke,
    key_rotate,
    keys_at_hand,
    keys_orphaned,
    role_renew,
    roles_read,
)

PASSPHRASE_VARIABLE = "SORO_KEY_PASSPHRASE"  # nosec B105 # noqa: S105 - a variable's name
SHORTEST_PASSPHRASE = 12
VERBS = ("show", "make", "rotate", "revoke", "renew", "sign")
_HOW_TO_SIGN = "Sign it: keys sign --key FILE here, or keys sign --export FOLDER for a PC without a network."
_OFFLINE = (
    "The root and targets keys lie on this machine: fit for a trial. docs/operations.md says how to keep them offline."
)


class Command(CentreCommand):
    """Keys of releases and assignments: show, make, rotate, revoke, renew, sign."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Declare the verbs."""
        parsers = parser.add_subparsers(dest="verb", required=True)
        verbs = {verb: parsers.add_parser(verb) for verb in VERBS}
        verbs["make"].add_argument(
            "name", nargs="?", help="one key file, such as root-1; without it, the centre's keys"
        )
        verbs["make"].add_argument("--into", type=Path, help="the folder for that key file, such as a stick")
        verbs["make"].add_argument("--encrypt", action="store_true", help="ask for a passphrase for it")
        verbs["make"].add_argument("--public", type=Path, help="a folder of public halves that were made offline")
        verbs["rotate"].add_argument("role", choices=ROLES)
        verbs["rotate"].add_argument("--key", default="", help="which key, by 8 digits of its id or more")
        verbs["revoke"].add_argument("key", help="8 digits of the key's id or more")
        verbs["renew"].add_argument("role", choices=("root", "targets"))
        for verb in ("rotate", "revoke"):
            verbs[verb].add_argument("--public", type=Path, help="the public half of the new key, made offline")
        way = verbs["sign"].add_mutually_exclusive_group()
        way.add_argument("--export", type=Path, help="leave a signing request in this folder")
        way.add_argument("--request", type=Path, help="sign the request in this folder (on the offline PC)")
        way.add_argument("--import", type=Path, dest="import_from", help="take the signatures in this folder back")
        verbs["sign"].add_argument("--key", type=Path, help="the key file to sign with")
        verbs["sign"].add_argument("--yes", action="store_true", help="do not ask before signing")
        for verb in ("make", "sign"):
            verbs[verb].add_argument(
                "--passphrase-file", type=Path, help="a file with the passphrase on its first line"
            )
        for each in verbs.values():
            # The settings read it; here it is only let through behind the verb too.
            each.add_argument("--root", help=argparse.SUPPRESS)
            each.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Do what the verb says."""
        self.options, self.disk, self.now = options, centre_disk(), timezone.now()
        getattr(self, f"_{options['verb']}")()

    def _show(self) -> None:
        seen = sightings_record(self.disk.keys, keys_at_hand(self.disk.keys), now=self.now)
        waiting = changes_waiting(root=self.disk.tuf)
        try:
            states = roles_read(root=self.disk.tuf, keys=self.disk.keys)
            orphans = keys_orphaned(root=self.disk.tuf, keys=self.disk.keys)
        except RepositoryMissing:
            if not waiting:
                raise
            # The first metadata still waits for the offline keys.
            states, orphans = (), ()
        lines = [line for state in states for line in role_lines(state, seen, self.now)]
        lines += [f"No role uses {file.path} any more; destroy it." for file in orphans]
        document = {
            "roles": [
                {
                    "role": state.role,
                    "threshold": state.threshold,
                    "version": state.version,
                    "expires_at": state.expires_at,
                    "is_expiring": state.is_expiring(self.now),
                    "keys": [
                        {
                            "key_id": key.key_id,
                            "path": str(key.file.path) if key.file else "",
                            "seen": seen.get(key.key_id),
                        }
                        for key in state.keys
                    ],
                }
                for state in states
            ],
            "orphans": [str(file.path) for file in orphans],
            "waiting": waiting,
        }
        self._answer(document, [*lines, *waiting_lines(waiting)])

    def _make(self) -> None:
        if self.options["name"]:
            self._key_file_make(self.options["name"], self.options["into"] or Path())
            return
        try:
            fingerprint = keys_make(now=self.now, public=self.options["public"])
        except SignaturesMissing:
            waiting = changes_waiting(root=self.disk.tuf)
            self._answer({"root_sha256": "", "waiting": waiting}, [*waiting_lines(waiting), _HOW_TO_SIGN])
            return
        sightings_record(self.disk.keys, keys_at_hand(self.disk.keys), now=self.now)
        text = f"The root of trust is {fingerprint}."
        self._answer({"root_sha256": fingerprint, "waiting": ()}, [text, _OFFLINE] if self._has_offline() else [text])

    def _key_file_make(self, name: str, into: Path) -> None:
        path = into / f"{name}.pem"
        file = key_file_create(path, passphrase=self._passphrase_new(path) if self.options["encrypt"] else "")
        public = public_file_write(file, into=into)
        document = {"key_id": file.key_id, "path": str(file.path), "public": str(public)}
        self._answer(document, [f"Key {file.key_id} is {file.path}; take {public.name}, and only it, to the centre."])

    def _rotate(self) -> None:
        self._change(
            key_rotate(
                root=self.disk.tuf,
                keys=self.disk.keys,
                role=self.options["role"],
                old=self.options["key"],
                new=self._public(),
                now=self.now,
            )
        )

    def _revoke(self) -> None:
        key = self.options["key"]
        self._change(key_revoke(root=self.disk.tuf, keys=self.disk.keys, key=key, new=self._public(), now=self.now))

    def _renew(self) -> None:
        self._change(role_renew(root=self.disk.tuf, keys=self.disk.keys, role=self.options["role"], now=self.now))

    def _sign(self) -> None:
        options = self.options
        if options["export"]:
            waiting = request_export(root=self.disk.tuf, into=options["export"])
            proposals = request_proposals(request=options["export"])
            self._answer({"waiting": waiting}, [*proposal_lines(proposals), *waiting_lines(waiting)])
        elif options["import_from"]:
            proposals = request_proposals(request=options["import_from"])
            waiting = request_import(
                root=self.disk.tuf, keys=self.disk.keys, request=options["import_from"], now=self.now
            )
            self._settled(waiting, {each.role for each in proposals})
            self._sightings_take_over(options["import_from"], waiting)
        elif options["request"]:
            self._sign_offline(options["request"])
        else:
            self._sign_here()

    def _sign_offline(self, request: Path) -> None:
        file = key_file_look(self._key_path())
        proposals = request_proposals(request=request)
        self._confirm(proposal_lines(proposals))
        roles = request_sign(request=request, key=file, passphrase=self._passphrase)
        sightings_record(request, [file], now=self.now)
        self._answer(
            {"signed": roles, "key_id": file.key_id},
            [f"Signed {', '.join(roles)}. Carry the folder back to the centre."],
        )

    def _sign_here(self) -> None:
        file = key_file_look(self._key_path())
        before = {each.role for each in changes_waiting(root=self.disk.tuf)}
        waiting = staged_sign(
            root=self.disk.tuf, keys=self.disk.keys, key=file, passphrase=self._passphrase, now=self.now
        )
        sightings_record(self.disk.keys, [file], now=self.now)
        self._settled(waiting, before)

    def _settled(self, waiting: Sequence[Waiting], roles: set[str]) -> None:
        in_force = sorted(roles - {each.role for each in waiting})
        lines = [f"In force now: {', '.join(in_force)}."] if in_force else []
        self._answer({"in_force": in_force, "waiting": waiting}, [*lines, *waiting_lines(waiting)])

    def _sightings_take_over(self, request: Path, waiting: Sequence[Waiting]) -> None:
        known = {key for each in waiting for key in (*each.signed, *each.may_sign)}
        if not waiting:
            states = roles_read(root=self.disk.tuf, keys=self.disk.keys)
            known |= {key.key_id for state in states for key in state.keys}
        sightings_take_over(self.disk.keys, carried=request, known=known)

    def _change(self, change: Change) -> None:
        lines = [f"The new key is {change.key_id}."] if change.key_id else []
        if change.path:
            lines.append(f"Its private half is {change.path}.")
        lines += [*waiting_lines(change.waiting), _HOW_TO_SIGN] if change.waiting else ["It is in force."]
        self._answer(change, lines)

    def _answer(self, document: object, lines: Sequence[str]) -> None:
        self.answer(document, as_json=self.options["json"], text="\n".join(lines))

    def _confirm(self, lines: Sequence[str]) -> None:
        self.stderr.write("\n".join(lines))
        if not self.options["yes"]:
            self.stderr.write("Compare the fingerprint with the centre's. Sign? Type yes: ", ending="")
            self.stderr.flush()
            if sys.stdin.readline().strip() != "yes":
                raise CommandError("Nothing was signed.")

    def _public(self) -> PublicKey | None:
        return public_file_read(self.options["public"]) if self.options["public"] else None

    def _key_path(self) -> Path:
        if self.options["key"] is None:
            raise CommandError("Say which key file signs: --key FILE")
        return Path(self.options["key"])

    def _passphrase(self, path: Path) -> str:
        if self.options["passphrase_file"]:
            return str(self.options["passphrase_file"].read_text(encoding="utf-8").splitlines()[0])
        return os.environ.get(PASSPHRASE_VARIABLE) or getpass.getpass(f"Passphrase of {path.name}: ")

    def _passphrase_new(self, path: Path) -> str:
        chosen = self._passphrase(path)
        is_typed = not self.options["passphrase_file"] and PASSPHRASE_VARIABLE not in os.environ
        if len(chosen) < SHORTEST_PASSPHRASE or (is_typed and getpass.getpass("Once more: ") != chosen):
            raise CommandError(
                f"The passphrase needs {SHORTEST_PASSPHRASE} characters, twice the same. No key was made."
            )
        return chosen

    def _has_offline(self) -> bool:
        states = roles_read(root=self.disk.tuf, keys=self.disk.keys)
        return any(key.file for state in states if state.is_offline for key in state.keys)
