"""The journey, station by station, from a checkpoint to a corrected answer at a school that never saw it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from federation.demo.errors import StepFailed
from federation.demo.options import DATA, Options, Pair
from federation.demo.progress import Journal, ReportProgress
from federation.demo.stations import NOBODY, Account, Centre, School
from federation.demo.summary import Answer, CorrectionOutcome, Summary, UnrelatedOutcome

LOW_STARS = 1
BUILD_LINE = re.compile(r"(?P<what>.+) (?P<percent>\d+)%")
ROUND_LINE = re.compile(r"(?P<accepted>\d+) of (?P<wanted>\d+) updates(?P<refused>, \d+ refused)?")


@dataclass(slots=True)
class Journey:
    """One walk; `walk` returns its figures. What it starts is ended by `ending`."""

    options: Options
    journal: Journal
    ending: ExitStack
    centre: Centre = field(init=False)
    schools: list[School] = field(init=False)
    bytes_moved: dict[str, int] = field(default_factory=dict)
    admin: Account = NOBODY

    def __post_init__(self) -> None:
        self.centre = Centre(self.options)
        self.schools = [School(n, self.options) for n in range(self.options.schools)]

    @property
    def taught(self) -> list[School]:
        """The schools whose teachers correct something."""
        return [school for school in self.schools if school.pairs]

    def walk(self) -> Summary:
        """Return the figures of the whole journey.

        Raises:
            StepFailed: a step ended; names its log.
        """
        self._centre_start()
        release1 = self._release_build()
        self._schools_start(release1["digest"])
        self._corrections_make()
        before = self._probe("before", "School B answers, before")
        plan_id, round_id = self._season_open(release1["digest"])
        self._learn_in_the_dark(plan_id)
        release2 = self._round_close(round_id)
        self._rollout(release2["digest"])
        after = self._probe("after", "School B answers, after")
        self._shipped_show(release2["version"])
        return self._summary(release1, before, after)

    def _centre_start(self) -> None:
        with self._step("centre", "The centre starts") as show:
            self.centre.commands.run("centre", "keys", "make")
            show("processes", 0.2)
            self.centre.start("centre", self.ending)
            show("accounts", 0.9)
            self.admin = self.centre.admin_create("centre", "admin")
            self.centre.admin_create("centre", "approver")
        console = self.journal.console
        console.print(f"  admin: {self.centre.address}/admin/ as {self.admin.username}, password {self.admin.password}")

    def _release_build(self) -> dict[str, Any]:
        with self._step("release1", "Release 1: export, quantise, gate, sign, publish") as show:

            def on_line(line: str) -> None:
                if found := BUILD_LINE.fullmatch(line):
                    show(found["what"], int(found["percent"]) / 100)

            checkpoint = ("--checkpoint", str(self.options.checkpoint)) if self.options.checkpoint else ()
            run = self.centre.commands.run_json
            built = run("release1", "release_build", "--title", "Soro stand-in", *checkpoint, on_line=on_line)
            self._expect("release1", built["status"] == "awaiting_signature", f"the gate refused it: {built['why']}")
            return run("release1", "release_sign", "--release", built["digest"])

    def _schools_start(self, digest: str) -> None:
        count = len(self.schools)
        with self._step("install", f"{count} schools enrol, fetch, verify, try and commit it") as show:
            for number, school in enumerate(self.schools):
                invitation = self.centre.commands.run_json("install", "school_invite", "--name", school.name)
                school.enrol("install", invitation=invitation, ending=self.ending)
                show(f"{school.name} enrolled", (number + 1) / (2 * count))
            self._rollout_start("install", digest, {"all": self.schools})
            for school in self.schools:
                school.start(self.ending)
            for number, school in enumerate(self.schools):
                school.wait_installed("install", digest)
                show(f"{school.name} runs release 1", 0.5 + (number + 1) / (2 * count))
        self.bytes_moved["release1_per_node"] = max(school.bytes_total for school in self.schools)

    def _corrections_make(self) -> None:
        with self._step("ratings", "Teachers ask, rate low and correct") as show:
            for number, school in enumerate(self.taught):
                show(school.name, number / len(self.taught))
                with school.page("ratings") as page:
                    page.sign_in(school.teacher.username, school.teacher.password)
                    for pair in school.pairs:
                        answer_id, answer = page.ask(pair.question)
                        page.correct(answer_id, stars=LOW_STARS, correction=pair.correction)
                        self._say(f"{school.name}: «{pair.question}» was answered «{_short(answer)}», and corrected")

    def _season_open(self, base: str) -> tuple[str, str]:
        with self._step("plan", "The centre opens a season; its plan reaches the schools") as show:
            opening = ("--wanted", str(len(self.taught)), "--least-days", "0", "--steps", "adam")
            opened = self.centre.commands.run_json("plan", "season_open", "--base", base, *opening)
            show("the schools hear of it", 0.5)
            for school in self.taught:
                school.contact("plan")
        return str(opened["plans"][0]["plan_id"]), str(opened["rounds"][0]["round_id"])

    def _learn_in_the_dark(self, plan_id: str) -> None:
        dark = self.taught[0]
        with self._step("training", f"The link of {dark.name} goes down; schools train their updates") as show:
            dark.link_down()
            for number, school in enumerate(self.taught):
                show(school.name, number / len(self.taught))
                learnt = school.commands.run_json("training", "train", "--plan", plan_id)
                self._say(f"{school.name}: {learnt['labels']} labels, {learnt['seconds']:.0f} s")
        dark.link_up()

    def _round_close(self, round_id: str) -> dict[str, Any]:
        with self._step("round", "The link returns; a Flower round collects, the centre aggregates and judges") as show:

            def on_line(line: str) -> None:
                if found := ROUND_LINE.search(line):
                    show(line, int(found["accepted"]) / int(found["wanted"]))
                    self._expect("round", found["refused"] is None, "an update was refused")

            told = self.centre.follow("round", "round_show", "--round", round_id, on_line=on_line)
            self._expect("round", told["status"] == "completed", f"the round was {told['status']}: {told['why_ended']}")
            self._expect("round", told["release_status"] == "awaiting_signature", "the gate refused the adapter")
            return self.centre.commands.run_json("round", "release_sign", "--release", told["release"])

    def _rollout(self, digest: str) -> None:
        before = [school.bytes_total for school in self.schools]
        with self._step("rollout", "Release 2 is offered in two waves, fetched, tested and committed") as show:
            waves = {"first": self.schools[:1], "rest": self.schools[1:]}
            rollout = self._rollout_start("rollout", digest, waves)
            for number, school in enumerate(self.schools):
                school.wait_installed("rollout", digest)
                show(f"{school.name} runs release 2", (number + 1) / (len(self.schools) + 1))

            ask = ("rollout_show", "--rollout", rollout)
            told = self.centre.follow("rollout", *ask, on_line=lambda line: show(line, 0.95))
            self._expect("rollout", told["status"] == "completed", f"it is {told['status']}")
        moved = [school.bytes_total - old for school, old in zip(self.schools, before, strict=True)]
        self.bytes_moved["release2_per_node"] = max(moved)

    def _shipped_show(self, version: int) -> None:
        school = self.taught[0]
        with self._step("shipped", "The teacher sees which release the correction shipped in"):
            with school.page("shipped") as page:
                page.sign_in(school.teacher.username, school.teacher.password)
                shown = page.shipped_releases()
            self._expect("shipped", shown == [version] * len(school.pairs), f"the page names releases {shown}")

    def _probe(self, name: str, title: str) -> list[dict[str, Any]]:
        school = self.schools[1]
        pairs = [*self.options.pairs, *_unrelated()]
        with self._step(name, title):
            return school.probe(name, pairs)

    def _rollout_start(self, step: str, digest: str, waves: Mapping[str, Sequence[School]]) -> str:
        run = self.centre.commands.run_json
        asked = [f"{name}={','.join(school.name for school in schools)}" for name, schools in waves.items()]
        arguments = [word for wave in asked for word in ("--wave", wave)]
        rules = ("--creator", "admin", "--soak-seconds", "0", "--min-committed", "1")
        made = run(step, "rollout_create", "--release", digest, *arguments, *rules)
        run(step, "rollout_approve", "--rollout", made["id"], "--approver", "approver")
        return str(made["id"])

    def _summary(
        self, release1: dict[str, Any], before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
    ) -> Summary:
        count = len(self.options.pairs)
        corrections = [
            CorrectionOutcome(
                question=pair.question,
                correction=pair.correction,
                before=_answer(old),
                after=_answer(new),
            )
            for pair, old, new in zip(self.options.pairs, before[:count], after[:count], strict=True)
        ]
        unrelated = [
            UnrelatedOutcome(
                prompt=old["question"],
                reference=old["reference"],
                before=old["answer"],
                after=new["answer"],
                logprob_change_per_token=new["logprob_per_token"] - old["logprob_per_token"],
            )
            for old, new in zip(before[count:], after[count:], strict=True)
        ]
        seconds = {**self.journal.seconds, "total": round(sum(self.journal.seconds.values()), 1)}
        return Summary(
            seconds=seconds,
            bytes=self.bytes_moved,
            perplexity=_perplexity(release1["card"]),
            corrections=corrections,
            unrelated=unrelated,
        )

    @contextmanager
    def _step(self, name: str, title: str) -> Iterator[ReportProgress]:
        before = sum(school.bytes_total for school in self.schools)
        with self.journal.step(name, title) as show:
            yield show
        self.bytes_moved[name] = sum(school.bytes_total for school in self.schools) - before

    def _say(self, line: str) -> None:
        self.journal.console.print(f"  [dim]{line}[/dim]")

    def _expect(self, step: str, is_so: bool, reason: str) -> None:
        if not is_so:
            raise StepFailed(step=step, reason=reason, log=str(self.centre.commands.root / "logs"))


def _answer(outcome: dict[str, Any]) -> Answer:
    return Answer(answer=outcome["answer"], logprob_per_token=outcome["logprob_per_token"])


def _unrelated() -> list[Pair]:
    lines = (DATA / "unrelated.jsonl").read_text(encoding="utf-8").splitlines()
    return [Pair(question=line["prompt"], correction=line["reference"]) for line in map(json.loads, lines)]


def _perplexity(card: dict[str, Any]) -> dict[str, dict[str, float]]:
    names = {"en": "english", "tg": "tajik", "ru": "russian"}
    return {names[language]: figures for language, figures in card["perplexity"].items()}


def _short(text: str, *, letters: int = 60) -> str:
    return text if len(text) <= letters else text[:letters].rstrip() + "…"
