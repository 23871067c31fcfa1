"""Installs a school's node from the stick that this file lies on; run by `install.sh`, which it is joined to.

Rules, in order:
1. Nothing is changed before the list of files is proved to be the centre's, and each file to be what it names.
2. What an earlier try has laid is found again, so the same command goes on where it was.
3. While an update changes the program nothing is installed, nor the other way round.
4. The program stands beside the older one in a folder of its own; one link says which runs.
5. A school's data is never touched by installing or uninstalling.
Standard library only, and no network but the centre's.
"""

import argparse
import base64
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from central.installers.target.ed25519 import ed25519_verify
from central.installers.target.words import LANGUAGES, WORDS

DIRECTOR_KEY = ""
"""Hexadecimal; written in when the stick is made: who has compared this file with the paper need compare no more."""
WRAPPER = "@soro@"
UPDATE_WRAPPER = "@soro-update@"
UNIT = "@soro.service@"
STICK_UNIT = "@soro-stick@.service@"
STICK_RULE = "@90-soro-stick.rules@"
UPDATE_UNIT = "@soro-update.service@"
UPDATE_TIMER = "@soro-update.timer@"
USER = "soro"
LEAST_MEMORY_BYTES = 3_500_000_000
"""A PC of 4 GB has this much, when its graphics and the kernel have taken their share."""
LEAST_GLIBC = (2, 28)
LEARNING = "-learning"
"""What the name of a form ends in with which a PC learns, as in federation.wire.programs."""
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PYTHON_TAG = f"cp{PYTHON.replace('.', '')}"
PORTS = (80, 8450)
CENTRE_SECONDS = 10
PAGE_SECONDS = 180
PAYLOAD_TYPE = "application/vnd.soro.installer+json"


class Refused(Exception):
    """Nothing further is done; `key` names the sentence, `tail` the one after it."""

    def __init__(self, key: str, *, has_begun: bool = False, tail: str = "", **fields: object) -> None:
        super().__init__(key)
        self.key, self.fields, self.tail = key, fields, tail or ("again" if has_begun else "unchanged")


class Place:
    """Where everything goes on this PC, or under another root that becomes one."""

    def __init__(self, prefix: Path) -> None:
        self.is_this_pc = prefix == Path("/")
        self.opt, self.data = prefix / "opt/soro", prefix / "var/lib/soro"
        self.versions, self.current, self.updater = self.opt / "versions", self.opt / "current", self.opt / "updater"
        self.trust = self.opt / "tuf"
        self.environment = prefix / "etc/soro/environment"
        units = prefix / "etc/systemd/system"
        self.unit, self.update_unit = units / "soro.service", units / "soro-update.service"
        self.update_timer = units / "soro-update.timer"
        self.stick_unit = units / "soro-stick@.service"
        self.stick_rule = prefix / "etc/udev/rules.d/90-soro-stick.rules"
        self.command = prefix / "usr/local/bin/soro"

    def soro(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Return how a command of the installed node ended; it speaks the installer's language."""
        environment = os.environ | {"SORO_NODE_ROOT": str(self.data), "LC_MESSAGES": language()}
        # It would go before the language, and says which letters there are as well.
        if everything := environment.pop("LC_ALL", ""):
            environment["LC_CTYPE"] = everything
        argv = [str(self.current / "bin/soro"), *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def main(argv: Sequence[str], stick: Path) -> int:
    """Install from `stick`, or uninstall; return the exit status."""
    parser = argparse.ArgumentParser(prog="install", description="Makes this PC a school's node of Soro.")
    parser.add_argument("--prefix", type=Path, default=Path("/"), help="a root of files that is to become a PC")
    parser.add_argument("--no-systemd", action="store_true", help="leave starting it to somebody else")
    parser.add_argument("--lean", action="store_true", help="without what learning takes, for a slow or small disk")
    parser.add_argument("--uninstall", action="store_true", help="remove the program; the school's data stays")
    options = parser.parse_args(argv)
    place = Place(options.prefix.absolute())
    try:
        root_check(place)
        if options.uninstall:
            uninstall(place, with_systemd=not options.no_systemd)
        else:
            install(place, stick, is_lean=options.lean, with_systemd=not options.no_systemd)
    except Refused as refusal:
        for spoken in range(len(LANGUAGES)):
            sys.stderr.write(f"{WORDS[refusal.key][spoken].format(**refusal.fields)} {WORDS[refusal.tail][spoken]}\n")
        return 1
    return 0


def install(place: Place, stick: Path, *, is_lean: bool, with_systemd: bool) -> None:
    """Take every step that is not done yet."""
    with _open_or_refuse(stick / "manifest.json") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("busy") from error
        manifest = manifest_read(held.read(), bytes.fromhex(DIRECTOR_KEY))
        machine_check(manifest)
        form, told = form_choose(place, manifest, is_lean=is_lean, memory_bytes=_memory_bytes())
        if form == PYTHON_TAG:
            # One that learns was chosen because there is room for it.
            disk_check(place, manifest, form)
        step(1, "checking")
        files_check(stick, manifest)
        age_check(place, manifest)
        try:
            place.opt.mkdir(parents=True, exist_ok=True)
            with _alone(place):
                _change(place, stick, manifest, form, with_systemd)
        except OSError as error:
            raise Refused("failed", has_begun=True, said=str(error)) from error
        told()


def _change(place: Place, stick: Path, manifest: dict[str, Any], form: str, with_systemd: bool) -> None:
    step(2, "program")
    version = program_lay(place, stick, manifest, form)
    step(3, "data")
    data_lay(place)
    step(4, "service")
    trust_lay(place, stick, manifest)
    current_switch(place, version)
    port = service_lay(place)
    if with_systemd:
        service_start(port)
    step(5, "enrolling", school=manifest["school"])
    enrol(place, stick, manifest)
    step(6, "model")
    model_install(place, stick)
    addresses_say(place, stick, port)


# --- What is proved before anything is changed.


def manifest_read(content: bytes, public: bytes) -> dict[str, Any]:
    """Return what the envelope `content` lists, signed by the Ed25519 key `public`."""
    try:
        envelope = json.loads(content)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]]
        kind = envelope["payloadType"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("unsigned") from error
    message = b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)
    if kind != PAYLOAD_TYPE or not any(ed25519_verify(public, message, each) for each in signatures):
        raise Refused("unsigned")
    manifest: dict[str, Any] = json.loads(payload)
    return manifest


def root_check(place: Place) -> None:
    """Refuse a person who may not change this PC."""
    if place.is_this_pc and os.geteuid() != 0:
        raise Refused("need_root")


def machine_check(manifest: dict[str, Any]) -> None:
    """Refuse a PC that cannot run it, in the order in which a person would mend that."""
    libc = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    numbers = tuple(int(part) for part in libc.split(".")[:2] if part.isdecimal())
    if platform.machine() != "x86_64" or numbers < LEAST_GLIBC:
        raise Refused("need_pc", found=f"{platform.machine()}, glibc {libc or '—'}")
    if PYTHON not in manifest["pythons"]:
        raise Refused("need_python", wanted=", ".join(manifest["pythons"]), found=PYTHON)
    if importlib.util.find_spec("venv") is None:
        raise Refused("need_venv")
    memory_check(_memory_bytes())


def memory_check(memory_bytes: int) -> None:
    """Refuse less than 4 GB."""
    if memory_bytes < LEAST_MEMORY_BYTES:
        raise Refused("need_memory", found=_gigabytes(memory_bytes))


def form_choose(
    place: Place, manifest: dict[str, Any], *, is_lean: bool, memory_bytes: int
) -> tuple[str, Callable[[], None]]:
    """Return in which form the program is installed here, and what says at the end whether this PC learns.

    It learns wherever it can; a person may want it lean. One that learns already is never made lean without that wish.

    Raises:
        Refused: this PC learns, and would not any more.
    """
    if is_lean:
        return PYTHON_TAG, lambda: say("lean_wished")
    learning, needed_bytes = PYTHON_TAG + LEARNING, manifest["learning_memory_bytes"]
    fields: dict[str, Any] = {}
    if not manifest["learning"]:
        problem = "lean_stick"
    elif PYTHON not in manifest["learning"]:
        problem, fields = "lean_python", {"wanted": ", ".join(manifest["learning"]), "found": PYTHON}
    elif memory_bytes < needed_bytes:
        problem, fields = "lean_memory", {"wanted": _gigabytes(needed_bytes), "found": _gigabytes(memory_bytes)}
    elif short := disk_shortage(place, manifest, learning):
        problem, fields = "lean_disk", short
    else:
        return learning, lambda: say("learns")
    if form_here(place).endswith(LEARNING):
        raise Refused(problem, tail="learns_already", **fields)
    return PYTHON_TAG, lambda: say(problem, **fields)


def form_here(place: Place) -> str:
    """Return the form of the program that runs here; empty where it does not say, or none does."""
    try:
        return (place.current / "variant").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def disk_check(place: Place, manifest: dict[str, Any], form: str) -> None:
    """Refuse a disk without room."""
    if short := disk_shortage(place, manifest, form):
        raise Refused("need_disk", **short)


def disk_shortage(place: Place, manifest: dict[str, Any], form: str) -> dict[str, Any]:
    """Return which disk has too little room for this form; what an earlier try has laid there counts as room."""
    laid = [place.versions / ".incoming", place.versions / f"{manifest['version']}-{form}"]
    laid += [place.data / "releases", place.data / "downloads"]
    whole_bytes = manifest["needs_bytes"] + (manifest["learning_bytes"] if form.endswith(LEARNING) else 0)
    for folder in (place.opt, place.data):
        there = next(each for each in (folder, *folder.parents) if each.is_dir())
        held_bytes = sum(_size_bytes(each) for each in laid if _is_beside(each, there))
        free_bytes, needs_bytes = shutil.disk_usage(there).free, whole_bytes - held_bytes
        if free_bytes < needs_bytes:
            return {"place": there, "wanted": _gigabytes(needs_bytes), "found": _gigabytes(free_bytes)}
    return {}


def files_check(stick: Path, manifest: dict[str, Any]) -> None:
    """Refuse a stick on which a listed file is another, or one lies among the packages that is not listed."""
    listed: dict[str, str] = manifest["files"]
    for name, digest in listed.items():
        with _open_or_refuse(stick / name, name) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise Refused("damaged", name=name)
    for path in (stick / "wheels").iterdir():
        if f"wheels/{path.name}" not in listed:
            raise Refused("damaged", name=f"wheels/{path.name}")


def age_check(place: Place, manifest: dict[str, Any]) -> None:
    """Refuse to put an older program in the place of a newer one, whose tables it would not know."""
    try:
        running = json.loads((place.current / "manifest.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return
    is_older = datetime.fromisoformat(manifest["made_at"]) < datetime.fromisoformat(running["made_at"])
    if is_older and manifest["version"] != running["version"]:
        raise Refused("older")


# --- The steps.


def program_lay(place: Place, stick: Path, manifest: dict[str, Any], form: str) -> Path:
    """Return the folder that holds this version of the program in this form, whole and flushed."""
    version = place.versions / f"{manifest['version']}-{form}"
    if version.is_dir():
        return version
    draft = place.versions / ".incoming"
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "bin").mkdir(parents=True)
    # Debian's venv without pip needs no further package; pip itself comes as a wheel, and runs out of it.
    _run([sys.executable, "-I", "-m", "venv", "--without-pip", str(draft / "venv")])
    requirements = stick / (f"requirements-{form}.txt" if form.endswith(LEARNING) else "requirements.txt")
    for name, text in (("soro", WRAPPER), ("soro-update", UPDATE_WRAPPER)):
        (draft / "bin" / name).write_text(text, encoding="utf-8")
        (draft / "bin" / name).chmod(0o755)
    wheels_keep(draft, stick, form, requirements)
    pip = next((stick / "wheels").glob("pip-*.whl"))
    options = ["--no-index", f"--find-links={stick / 'wheels'}", "--require-hashes", "--no-cache-dir", "--quiet"]
    options += ["--disable-pip-version-check", "--root-user-action=ignore", f"--requirement={requirements}"]
    _run([str(draft / "venv/bin/python"), "-I", str(pip / "pip"), "install", *options])
    (draft / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
    (draft / "variant").write_text(form, encoding="ascii")
    os.sync()
    draft.rename(version)
    _flush(place.versions)
    return version


def wheels_keep(draft: Path, stick: Path, form: str, requirements: Path) -> None:
    """Leave the wheels beside what is installed of them, where the centre has published this program.

    An update takes from there what has not changed, which is nearly all of it.
    """
    index = stick / "program.json"
    if not index.is_file():
        return
    forms = {each["name"]: each["files"] for each in json.loads(index.read_bytes())["variants"]}
    for entry in forms.get(form, ()):
        if (stick / entry["path"]).is_file():
            (draft / entry["path"]).parent.mkdir(exist_ok=True)
            shutil.copyfile(stick / entry["path"], draft / entry["path"])
    if form in forms:
        shutil.copyfile(requirements, draft / "requirements.txt")
        shutil.copyfile(index, draft / "index.json")


def trust_lay(place: Place, stick: Path, manifest: dict[str, Any]) -> None:
    """Leave the root of trust by which root judges updates; one from before stays, with all that it has led to."""
    bootstrap = place.trust / "bootstrap.root.json"
    if bootstrap.exists():
        return
    place.trust.mkdir(exist_ok=True)
    roots = [name for name, digest in manifest["files"].items() if digest == manifest["root_sha256"]]
    if not roots:
        raise Refused("damaged", has_begun=True, name="root.json")
    _write(bootstrap, (stick / roots[0]).read_text(encoding="utf-8"))


def data_lay(place: Place) -> None:
    """Make the user and the folder of the school's data, where they are not there yet."""
    if place.is_this_pc:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            home = str(place.data)
            _run(["useradd", "--system", "--user-group", "--home-dir", home, "--shell", "/usr/sbin/nologin", USER])
    place.data.mkdir(parents=True, exist_ok=True, mode=0o750)
    if place.is_this_pc:
        shutil.chown(place.data, USER, USER)


def current_switch(place: Place, version: Path) -> None:
    """Let `current` name this version, and `updater`: after a cut each names the old one or the new one."""
    for link in (place.current, place.updater):
        draft = place.opt / f".{link.name}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(version.relative_to(place.opt))
        draft.replace(link)
    shutil.copyfile(__file__, place.opt / "install")
    place.command.parent.mkdir(parents=True, exist_ok=True)
    place.command.unlink(missing_ok=True)
    place.command.symlink_to("/opt/soro/current/bin/soro")
    _flush(place.opt)


def service_lay(place: Place) -> int:
    """Leave units, the rule for sticks, and settings, which stay where somebody has changed them; return the port."""
    if not place.environment.exists():
        place.environment.parent.mkdir(parents=True, exist_ok=True)
        port = next((each for each in PORTS if not _is_taken(each)), PORTS[-1])
        _write(place.environment, f"SORO_PORT={port}\n")
    # The rule last: it names the unit.
    laid = (
        (place.unit, UNIT),
        (place.update_unit, UPDATE_UNIT),
        (place.update_timer, UPDATE_TIMER),
        (place.stick_unit, STICK_UNIT),
        (place.stick_rule, STICK_RULE),
    )
    for path, content in laid:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)
    lines = place.environment.read_text(encoding="utf-8").splitlines()
    found = [line.partition("=")[2] for line in lines if line.startswith("SORO_PORT=")]
    return int(found[-1]) if found else PORTS[-1]


def service_start(port: int) -> None:
    """Start it, now and whenever the PC starts, and wait until the page answers."""
    _run(["systemctl", "daemon-reload"])
    _run(["systemctl", "enable", "--quiet", "soro.service"])
    _run(["systemctl", "enable", "--quiet", "--now", "soro-update.timer"])
    _run(["systemctl", "restart", "soro.service"])
    until = time.monotonic() + PAGE_SECONDS
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()  # nosec B310 # always http
        except (OSError, urllib.error.URLError):
            time.sleep(1)
        else:
            return
    raise Refused("page_silent", has_begun=True)


def enrol(place: Place, stick: Path, manifest: dict[str, Any]) -> None:
    """Make the PC the node of the school by link, or leave it so that it becomes that by itself.

    Without a link, or where that breaks, it has asked on the stick and keeps the claim: the next link or stick enrols
    it, whichever comes first. The code is gone from the stick then.
    """
    if not (place.data / "node.json").exists():
        code = code_find(place, stick)
        if not code:
            say("not_enrolled")
            return
        ended = _enrol_by_link(place, code, manifest) if centre_answers(manifest["address"]) else None
        if ended is None or (ended.returncode == 0 and not (place.data / "node.json").exists()):
            trust = ("--root-sha256", manifest["root_sha256"], "--authority-sha256", manifest["authority_sha256"])
            where = ("--central", manifest["address"], str(stick))
            ended = place.soro("bundle", "export", "--code", code, *trust, *where)
        is_enrolled = (place.data / "node.json").exists()
        if ended.returncode or is_enrolled:
            sys.stdout.write(ended.stdout or ended.stderr)
        if ended.returncode:
            say("not_enrolled")
            return
        if not is_enrolled:
            # In the place of the command's own words, which have the stick taken out: the model is still to be read.
            say("asked")
    try:
        (stick / "code.txt").unlink(missing_ok=True)
    except OSError:
        say("code_stays")


def _enrol_by_link(place: Place, code: str, manifest: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    parts = (code.replace("-", ""), manifest["root_sha256"], manifest["authority_sha256"], manifest["address"])
    return place.soro("enrol", "--later", "--sheet", ".".join(("SORO1", *parts)))


def code_find(place: Place, stick: Path) -> str:
    """Return the claim code: from the stick, an earlier try, or whoever sits here; empty where there is none."""
    try:
        return (stick / "code.txt").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    try:
        return str(json.loads((place.data / "claim.json").read_bytes())["code"])
    except (FileNotFoundError, ValueError, KeyError):
        return input(words("ask_code")).strip() if sys.stdin.isatty() else ""


def centre_answers(address: str) -> bool:
    """Tell whether there is a link to the centre now."""
    found = urllib.parse.urlsplit(address)
    try:
        with socket.create_connection(
            (found.hostname, found.port or (443 if found.scheme == "https" else 80)), timeout=CENTRE_SECONDS
        ):
            return True
    except OSError:
        return False


def model_install(place: Place, stick: Path) -> None:
    """Take the stick's release in, where this PC has none; a page without a model is no reason to fail."""
    if not _has_model(place):
        ended = place.soro("bundle", "import", str(stick))
        if not _has_model(place):
            sys.stdout.write(ended.stdout or ended.stderr)
            say("model_later")


def addresses_say(place: Place, stick: Path, port: int) -> None:
    """Print what pupils type, and leave a page for the wall on this PC and, where it can be written, on the stick."""
    sheet = place.data / "address.html"
    ended = place.soro("address_sheet", "--port", str(port), "--out", str(sheet))
    if ended.returncode:
        raise Refused("failed", has_begun=True, said=ended.stderr.strip()[-300:])
    try:
        shutil.copyfile(sheet, stick / "soro-address.html")
        sheet = stick / "soro-address.html"
    except OSError:
        pass  # The stick is full or write-protected; the page on this PC is the same.
    say("done")
    sys.stdout.write(ended.stdout)
    say("sheet", path=sheet)


def uninstall(place: Place, *, with_systemd: bool) -> None:
    """Remove the program; a later installation finds the data again."""
    for unit in (place.update_timer, place.update_unit, place.unit) if with_systemd else ():
        if unit.exists():
            _run(["systemctl", "disable", "--now", unit.name])
    place.stick_rule.unlink(missing_ok=True)
    if with_systemd:
        _run(["systemctl", "stop", "soro-stick@*.service"])
    for path in (place.unit, place.update_unit, place.update_timer, place.stick_unit, place.command):
        path.unlink(missing_ok=True)
    if with_systemd:
        _run(["systemctl", "daemon-reload"])
    shutil.rmtree(place.opt, ignore_errors=True)
    say("gone", path=place.data)


# --- Words, and the file system's small change.


def language() -> str:
    """Return the language of this terminal; Tajik where it is neither Russian nor English."""
    named = next(filter(None, (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return named[:2] if named[:2] in LANGUAGES else LANGUAGES[0]


def words(key: str, **fields: object) -> str:
    """Return the sentence in the language of this terminal."""
    return WORDS[key][LANGUAGES.index(language())].format(**fields)


def say(key: str, **fields: object) -> None:
    """Print a sentence."""
    sys.stdout.write(f"{words(key, **fields)}\n")
    sys.stdout.flush()


def step(number: int, key: str, **fields: object) -> None:
    """Print which step begins."""
    sys.stdout.write(f"[{number}/6] {words(key, **fields)}\n")
    sys.stdout.flush()


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Hold what an update holds while it changes the program."""
    with (place.opt / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("busy") from error
        yield


def _has_model(place: Place) -> bool:
    try:
        return bool(json.loads((place.data / "state.json").read_bytes())["current"])
    except (FileNotFoundError, ValueError, KeyError):
        return False


def _run(argv: Sequence[str]) -> None:
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Refused("failed", has_begun=True, said=f"{argv[0]}: {(ended.stderr or ended.stdout).strip()[-500:]}")


def _open_or_refuse(path: Path, name: str = "manifest.json") -> Any:  # noqa: ANN401 - a stream of bytes
    try:
        return path.open("rb")
    except OSError as error:
        raise Refused("damaged", name=name) from error


def _write(path: Path, content: str) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    _flush(path.parent)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_taken(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _is_beside(path: Path, there: Path) -> bool:
    return path.is_dir() and path.stat().st_dev == there.stat().st_dev


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parent))
