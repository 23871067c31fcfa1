"""The stations of the acceptance run, in order: each does what people do there, and counts what came of it."""

from __future__ import annotations

import csv
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from central.installers.wheels import learning_wheels_fetch, wheels_fetch
from federation.demo.errors import StepFailed
from federation.demo.options import DATA, Pair, pairs_from
from federation.demo.progress import Journal, ReportProgress
from tests.acceptance.centre import CentreServer, centre_server_open
from tests.acceptance.networks import CENTRE_ADDRESS, centre_network_open, link_lay, network_open
from tests.acceptance.school import SchoolPc
from tests.acceptance.summary import Summary
from tests.acceptance.tally import Tally
from tests.benchmarks.labels.label_set import labels_read
from tests.stations import does_answer
from tests.updater.program_changes import BROKEN_RUN, NEWER_TABLE

SCHOOLS = ("Мактаби №1", "Мактаби №2", "Мактаби №3")
REGIONS = ("Суғд", "Хатлон", "ВМКБ")
FLOWER = ("supernode", "durable", "supernode")
PYTHON_OPTION = "--python"
HTTPS_PORT = 443
PATIENT_SECONDS, SHORT_SECONDS = 600, 30
"""For a program that will serve, as at a school, and for one that never will."""
Counted = Mapping[str, object]
ValueT = TypeVar("ValueT")
Station = Callable[["Acceptance", ReportProgress], Counted]


@dataclass(kw_only=True)
class Acceptance:
    """One run in the folder `root`; what it opens is closed by `ending`."""

    root: Path
    build_work: Path
    checkpoint: Path | None
    """What release 1 is built from; where there is none, the stand-in."""
    packages: Path
    """Where packages of programs are kept from one run to the next."""
    python: str
    journal: Journal
    ending: ExitStack
    summary: Summary
    centre: CentreServer = field(init=False)
    schools: list[SchoolPc] = field(default_factory=list)
    release: str = ""
    adapter: str = ""
    programs: dict[str, str] = field(default_factory=dict)
    """Versions by what they are to the run: first, newer, broken."""

    def walk(self, *, until: str | None = None) -> None:
        """Walk all stations, or those up to `until`.

        Raises:
            StepFailed: one of them; those after it were not begun.
        """
        for name, title, station in STATIONS:
            self.summary.begin(name, title)
            with self.journal.step(name, title) as show:
                counted = station(self, show)
            self.summary.end(name, counted=counted, seconds=self.journal.seconds[name])
            self.journal.console.print(f"  [dim]{', '.join(f'{key}: {value}' for key, value in counted.items())}[/dim]")
            if name == until:
                return

    @property
    def linked(self) -> list[SchoolPc]:
        """The schools that have a line."""
        return [school for school in self.schools if school.link]

    @property
    def unlinked(self) -> SchoolPc:
        """The school that has none."""
        return self.schools[-1]

    def courier(self, step: str, *, brings: bool = True) -> None:
        """Carry the stick of the school without a line to the centre, and, where it `brings` something, back to it."""
        stick = self.unlinked.stick
        if self.unlinked.read("node.json"):
            self.unlinked.ask("bundle", "export", str(stick), step=step)
        taken = self.centre.ask("bundle", "import", str(stick), step=step)
        expect(step, not taken["problems"], f"the centre did not take the stick: {taken['problems']}")
        if brings:
            self.centre.ask("bundle", "export", "--school", self.unlinked.name, str(stick), step=step)
            self.unlinked.ask("bundle", "import", str(stick), step=step)

    def contacts(self, step: str) -> None:
        """Hold one contact of each school, by line or by stick, all at once."""

        def meet(school: SchoolPc) -> None:
            if school is self.unlinked:
                self.courier(step)
                return
            told = school.ask("sync", "--once", step=step)
            expect(step, not told["failures"], f"{school.name}: {told['failures']}")

        together(self.schools, meet)

    def rate(self, step: str, school: SchoolPc, pair: Pair, *, stars: int = 1) -> None:
        """Have the school's teacher rate and correct the answer to a question, which is asked where it was not yet."""
        with school.page(step) as page:
            if pair.question not in school.answers:
                school.answers[pair.question], _ = page.ask(pair.question)
            page.correct(school.answers[pair.question], stars=stars, correction=pair.correction)

    def tally(self) -> Tally:
        """Return what centre and schools say of the same things now."""
        return Tally(centre=self.centre, schools=self.schools)


def together(schools: Sequence[SchoolPc], act: Callable[[SchoolPc], ValueT]) -> list[ValueT]:
    """Return what `act` came to at each school, at all of them at once, each in a thread of its own.

    Raises:
        StepFailed: at one of them, once it is over at all.
    """
    with ThreadPoolExecutor(max_workers=len(schools)) as workers:
        acting = [workers.submit(act, school) for school in schools]
    return [each.result() for each in acting]


def expect(step: str, is_so: bool, reason: str) -> None:
    """Go on where it is so.

    Raises:
        StepFailed: it is not, which is what `reason` says.
    """
    if not is_so:
        raise StepFailed(step=step, reason=reason, log="")


# --- The stations.


def centre_start(run: Acceptance, show: ReportProgress) -> Counted:
    network = run.ending.enter_context(centre_network_open())
    folder = run.root / "centre"
    run.centre = run.ending.enter_context(centre_server_open(folder, network=network, build_work=run.build_work))
    for number, name in enumerate(SCHOOLS):
        own = run.ending.enter_context(network_open())
        link = link_lay(network, own) if name != SCHOOLS[-1] else None
        place = run.root / f"school-{number + 1}"
        run.schools.append(
            SchoolPc(name=name, root=place / "pc", stick=place / "stick", network=own, link=link, flower=FLOWER[number])
        )
    show("its parts", 0.2)
    run.centre.ask("keys", "make")
    run.centre.start("centre")
    with (run.root / "schools.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "region", "district"), *((n, r, "") for n, r in zip(SCHOOLS, REGIONS, strict=True))])  # fmt: skip  # noqa: E501
    imported = run.centre.ask("schools_import", str(run.root / "schools.csv"))
    for username in ("creator", "approver"):
        run.centre.ask("admin_create", "--username", username)
    return {"parts": run.centre.parts_running, "schools": imported["added"]}


def release_build(run: Acceptance, show: ReportProgress) -> Counted:
    def on_line(line: str) -> None:
        what, _, percent = line.rpartition(" ")
        if percent.endswith("%"):
            show(what, int(percent[:-1]) / 100)

    with run.centre.network.entered():
        # A small vocabulary has nothing to trim.
        own = ("--checkpoint", str(run.checkpoint), "--languages", "") if run.checkpoint else ()
        words = ("release_build", "--title", "Soro", *own)
        built = run.centre.commands.run_json("release", *words, on_line=on_line)
    expect("release", built["status"] == "awaiting_signature", f"the gate refused it: {built['why']}")
    run.release = run.centre.ask("release_sign", "--release", built["digest"], step="release")["digest"]
    return {"release": run.release[:12], "bytes": built["size_bytes"]}


def folders_build(run: Acceptance, show: ReportProgress) -> Counted:
    show("packages", 0.0)
    # From the package index, which the centre's own network has no way to; kept for the next run.
    wheels_fetch(python=run.python, kept=run.packages)
    learning_wheels_fetch(python=run.python, kept=run.packages)
    shutil.copytree(run.packages, run.centre.data / "installers", dirs_exist_ok=True)
    show("the program", 0.2)
    run.programs["first"] = _publish(run)["version"]
    show("three at once", 0.4)

    def build(school: SchoolPc) -> int:
        school.stick.mkdir(parents=True, exist_ok=True)
        words = ("installer", "build", "--school", school.name, PYTHON_OPTION, run.python, str(school.stick))
        made = run.centre.ask(*words, step="folders")
        expect("folders", made["version"] == run.programs["first"], f"it carries the program {made['version']}")
        return int(made["size_bytes"])

    sizes = together(run.schools, build)
    return {"folders": len(sizes), "bytes each": max(sizes), "program": run.programs["first"]}


def install(run: Acceptance, show: ReportProgress) -> Counted:
    show("three at once", 0.1)

    def make(school: SchoolPc) -> None:
        expect("install", not can_connect(school), f"{school.name} has a connection")
        school.install("install")
        able = school.ask("status", step="install")["can_train"]
        expect("install", able, f"{school.name} cannot learn")
        expect("install", school.read("state.json").get("current") == run.release, f"{school.name} has no model")
        expect("install", not school.read("node.json"), f"{school.name} is enrolled, by no link")
        expect(
            "install", not (school.stick / "code.txt").exists(), f"the code still lies on the stick of {school.name}"
        )

    together(run.schools, make)
    return {
        "PCs": len(run.schools),
        "with a model": len(run.schools),
        "that can learn": len(run.schools),
        "that could connect": 0,
    }


def enrol(run: Acceptance, show: ReportProgress) -> Counted:
    for school in run.linked:
        assert school.link
        school.link.up()
    for school in run.linked:
        show(school.name, 0.2)
        school.wait("enrol", lambda one=school: one.read("node.json"), what="to enrol by itself")
    show("the stick", 0.7)
    run.courier("enrol")
    for school in run.schools:
        expect("enrol", school.read("node.json").get("school") == school.name, f"{school.name} is not enrolled")
        school.account_make("enrol")
    tally = run.tally()
    expect("enrol", tally.nodes == {school.name: 1 for school in run.schools}, f"the centre knows {tally.nodes}")
    return {"by line": len(run.linked), "by stick": 1, "active at the centre": sum(tally.nodes.values())}


def release_sync(run: Acceptance, show: ReportProgress) -> Counted:
    return _roll_out(run, "sync", run.release, show)


def chat_and_rate(run: Acceptance, show: ReportProgress) -> Counted:
    pairs = pairs_from(DATA / "corrections.jsonl") + pairs_from(Path(__file__).parents[1] / "journey/correction.jsonl")
    for number, (school, pair) in enumerate(zip(run.schools, pairs, strict=True)):
        show(f"{school.name}: {pair.question}", number / len(run.schools))
        run.rate("rate", school, pair)
    run.contacts("rate")
    return _counted_ratings(run, "rate", len(pairs))


def season_round(run: Acceptance, show: ReportProgress) -> Counted:
    opening = ("--wanted", str(len(run.schools)), "--least-days", "0", "--steps", "adam")
    opened = run.centre.ask("season_open", "--base", run.release, *opening, step="round")
    plan, round_ = str(opened["plans"][0]["plan_id"]), str(opened["rounds"][0]["round_id"])
    run.contacts("round")
    for school in run.linked:
        assert school.link
        school.link.down()
    show("schools learn, without a line", 0.2)
    labels = sum(together(run.schools, lambda school: school.ask("train", "--plan", plan, step="round")["labels"]))
    for school in run.linked:
        assert school.link
        school.link.up()
    run.courier("round", brings=False)
    told = run.centre.follow("round", "round_show", "--round", round_, show=show)
    expect("round", told["status"] == "completed", f"the round was {told['status']}: {told['why_ended']}")
    expect("round", told["release_status"] == "awaiting_signature", f"the gate refused: {told['release_why']}")
    run.adapter = run.centre.ask("release_sign", "--release", told["release"], step="round")["digest"]
    counted = [(each["school"], each["labels"]) for each in told["updates"] if each["status"] == "accepted"]
    expect("round", sorted(name for name, _ in counted) == sorted(SCHOOLS), f"it counts {counted}")
    expect("round", sum(number for _, number in counted) == labels, f"schools learnt from {labels} labels: {counted}")
    return {"updates": len(counted), "labels": labels, "adapter": run.adapter[:12]}


def adapter_sync(run: Acceptance, show: ReportProgress) -> Counted:
    return _roll_out(run, "adapter", run.adapter, show)


def program_update(run: Acceptance, show: ReportProgress) -> Counted:
    run.programs["newer"] = version = _publish(run, NEWER_TABLE)["version"]
    takers = run.schools[1:]
    _offer(run, version, takers)
    run.contacts("update")
    show("two at once", 0.3)

    def take(school: SchoolPc) -> None:
        said = school.update("update", serving_seconds=PATIENT_SECONDS)
        expect("update", school.version == version, f"{school.name} runs {school.version}: {said.strip()[-200:]}")
        expect("update", bool(school.rows(_NEWER_TABLE_QUERY)), f"the newer program of {school.name} has no table")

    together(takers, take)
    run.contacts("update")
    told = _program(run, version)
    expect("update", told["running"] == len(takers), f"the centre counts {told['running']} PCs")
    return {"by line": 1, "by stick": 1, "running at the centre": told["running"], "version": version}


def program_rollback(run: Acceptance, show: ReportProgress) -> Counted:
    run.programs["broken"] = version = _publish(run, BROKEN_RUN)["version"]
    school, before = run.schools[0], run.schools[0].rows("SELECT count(*) FROM ratings_rating")
    _offer(run, version, [school])
    run.contacts("rollback")
    show(school.name, 0.3)
    said = school.update("rollback", serving_seconds=SHORT_SECONDS)
    expect("rollback", school.version == run.programs["first"], f"{school.name} runs {school.version}")
    expect("rollback", "does not serve" in said, f"{school.name} never tried it: {said.strip()[-200:]}")
    school.wait("rollback", lambda: _page_answers(school), what="its page, after the way back")
    expect("rollback", school.rows("SELECT count(*) FROM ratings_rating") == before, "ratings are missing after it")
    run.contacts("rollback")
    told = _program(run, version)
    expect("rollback", (told["running"], told["given_up"]) == (0, 1), f"the centre counts {told}")
    return {"tried by": 1, "taken back by": 1, "given up at the centre": told["given_up"], "version": version}


def centre_restore(run: Acceptance, show: ReportProgress) -> Counted:
    centre, labels = run.centre, iter(each for each in labels_read() if each.correction)
    later = [Pair(question=each.question, correction=each.correction) for each in labels][: len(run.schools)]
    show("backup", 0.1)
    with centre.network.entered():
        centre.backup.make()
        moment = centre.backup.moment()
    show("ratings after the moment", 0.2)
    for school, pair in zip(run.schools, later, strict=True):
        # One that the backup knows nothing of, and a new revision of one that it knows.
        run.rate("restore", school, pair)
        first = next(iter(school.answers))
        run.rate("restore", school, Pair(question=first, correction=f"{pair.correction} {first}"), stars=2)
    run.contacts("restore")
    _counted_ratings(run, "restore", 2 * len(run.schools))
    show("destroyed", 0.5)
    with centre.network.entered():
        centre.backup.archived()
    centre.stop()
    with centre.network.entered():
        centre.backup.destroy()
        centre.backup.restore(moment)
    missing = centre.ask("backup", "reconcile", step="restore")["updates"]["missing"]
    expect("restore", missing == 0, f"files of {missing} updates are missing")
    forgotten = 2 * len(run.schools) - run.tally().known_ratings
    expect("restore", forgotten == len(run.schools), f"of the ratings after the moment {forgotten} are not there")
    show("schools send again", 0.8)
    centre.start("restore")
    # The first contact brings the centre's word that it was restored, the next what it has lost.
    for _ in range(2):
        run.contacts("restore")
    counted = _counted_ratings(run, "restore", 2 * len(run.schools))
    return {"forgotten by the restore": forgotten, "sent again": forgotten, **counted, "updates missing": missing}


def count(run: Acceptance, _show: ReportProgress) -> Counted:
    run.contacts("count")
    tally = run.tally()
    for claim, is_so in tally.claims(release=run.adapter, programs=run.programs).items():
        expect("count", is_so, claim)
    return tally.figures()


STATIONS: Sequence[tuple[str, str, Station]] = (
    ("centre", "The centre starts, as deploy/ has it", centre_start),
    ("release", "Release 1: build, gate, sign, publish", release_build),
    ("folders", "Installation folders for three schools", folders_build),
    ("install", "Three PCs are installed, without any network", install),
    ("enrol", "Two PCs enrol as their lines come up, one by stick", enrol),
    ("sync", "Release 1 is rolled out", release_sync),
    ("rate", "Teachers ask, rate and correct", chat_and_rate),
    ("round", "A round of all three schools, one by stick", season_round),
    ("adapter", "The round's adapter is rolled out", adapter_sync),
    ("update", "Two PCs take a newer program, one by stick", program_update),
    ("rollback", "A program that does not serve is taken back by itself", program_rollback),
    ("restore", "The centre is destroyed, and restored to a moment", centre_restore),
    ("count", "All is counted, at the centre and at the schools", count),
)
_NEWER_TABLE_QUERY = "SELECT name FROM sqlite_master WHERE name = 'chat_newer'"


def can_connect(school: SchoolPc) -> bool:
    """Tell whether the PC reaches the centre's web server."""
    with school.network.entered():
        try:
            socket.create_connection((CENTRE_ADDRESS, HTTPS_PORT), timeout=5).close()
        except OSError:
            return False
    return True


def _page_answers(school: SchoolPc) -> bool:
    with school.network.entered():
        return does_answer("http://127.0.0.1/")


def _publish(run: Acceptance, changes: Mapping[str, bytes] | None = None) -> dict[str, Any]:
    run.centre.program_change(changes or {})
    return run.centre.ask("program", "publish", PYTHON_OPTION, run.python, step="program")


def _offer(run: Acceptance, version: str, schools: Sequence[SchoolPc]) -> None:
    words = [word for school in schools for word in ("--school", school.name)]
    run.centre.ask("program", "offer", version, *words, step="program")


def _program(run: Acceptance, version: str) -> dict[str, Any]:
    listed = run.centre.ask("program", "list", step="program")["programs"]
    found: dict[str, Any] = next(each for each in listed if each["version"] == version)
    return found


def _roll_out(run: Acceptance, step: str, digest: str, show: ReportProgress) -> Counted:
    before = sum(school.link.bytes_total for school in run.linked if school.link)
    words = (
        "--wave",
        f"all={','.join(SCHOOLS)}",
        "--creator",
        "creator",
        "--soak-seconds",
        "0",
        "--min-committed",
        "1",
    )
    made = run.centre.ask("rollout_create", "--release", digest, *words, step=step)
    run.centre.ask("rollout_approve", "--rollout", made["id"], "--approver", "approver", step=step)
    for school in run.linked:
        show(school.name, 0.3)
        school.wait(step, lambda one=school: one.runs(digest), what="to run the release")
    show("the stick", 0.6)
    run.courier(step)
    run.unlinked.wait(step, lambda: run.unlinked.runs(digest), what="to run the release")
    run.courier(step, brings=False)
    told = run.centre.follow(step, "rollout_show", "--rollout", str(made["id"]), show=show)
    expect(step, told["status"] == "completed", f"the rollout is {told['status']}")
    moved = sum(school.link.bytes_total for school in run.linked if school.link) - before
    return {"PCs that run it": len(run.schools), "bytes over both lines": moved}


def _counted_ratings(run: Acceptance, step: str, wanted: int) -> Counted:
    tally = run.tally()
    expect(step, tally.ratings_agree, f"schools have {tally.school_ratings}, the centre {tally.centre_ratings}")
    expect(step, tally.known_ratings == wanted, f"of {wanted} ratings the centre has {tally.known_ratings}")
    return {"ratings": wanted, "at the centre": tally.known_ratings}
