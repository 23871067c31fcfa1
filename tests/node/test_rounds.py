"""What a school learns from, and that one update a plan comes of it, through cuts and failures."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from federation.trust.envelopes import ROUND_PLAN, envelope_seal
from federation.trust.keys import director_key_create
from federation.trust.release_bytes import index_digest
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.releases import ReleaseIndex, ReleaseKind, UpdateReceipt
from federation.wire.rounds import Objective, RoundPlan
from node.installed.state import Phase, Slots, slots_write
from node.ratings.services import Opinion, rating_record, rating_withdraw
from node.rounds import training
from node.rounds.eligibility import Hindrance
from node.rounds.learning_settings import learning_hours_write, learning_resume, learning_stop
from node.rounds.models import LocalUpdate
from node.rounds.services import (
    CannotTrain,
    Learner,
    LearningHindered,
    NoOpenPlan,
    PlanStartMissing,
    TooFewLabels,
    plan_choose,
    plan_receive,
    train_start,
    training_is_due,
    update_path,
    update_receive_receipt,
)
from node.rounds.training import TrainingFailed, TrainingOrder, TrainingStopped, trainer_argv, training_run
from tests.node.conftest import NOW, answer_make
from tests.simulators import round_plan

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=400)


def index_make(kind=ReleaseKind.BASE, base=None, version=1):
    return ReleaseIndex(kind=kind, version=version, title="Soro", base=base, files=(), contributions=())


BASE = index_digest(index_make())
ADAPTER = index_digest(index_make(ReleaseKind.ADAPTER, BASE, 2))
NIGHT = NOW.replace(hour=20)


@pytest.fixture(autouse=True)
def _able(monkeypatch):
    """The suite also runs without the `train` extra, so a package that is always there stands for it."""
    monkeypatch.setattr(training, "NEEDED_PACKAGES", ("json",))


@pytest.fixture(autouse=True)
def _quiet_pc(monkeypatch):
    """Learning must not depend on what else this machine does while the suite runs."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def director(tmp_path):
    return director_key_create(tmp_path / "director.pem")


@pytest.fixture
def base(root):
    run(root, index_make())


@pytest.fixture
def plan(base, director):
    return plan_take(director, min_labels=1, max_labels=2)


def run(root, index):
    """Let the release run here, as if it had been installed and had answered."""
    folder = root / "releases" / index_digest(index)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.json").write_bytes(canonical_bytes(index))
    slots_write(root, Slots(current=index_digest(index), phase=Phase.COMMITTED))


def plan_take(director, **changes):
    document = replace(round_plan(base=BASE, issued_at=NOW, closes_at=LATER), **changes)
    envelope = envelope_seal(payload=canonical_bytes(document), kind=ROUND_PLAN, key=director)
    return plan_receive(envelope=envelope, director_key=director.public_key(), now=NOW)


def correct(teacher, root, correction, *, minutes=0, stars=1):
    return rating_record(
        answer=answer_make(),
        teacher=teacher,
        opinion=Opinion(stars=stars, correction=correction),
        now=NOW + timedelta(minutes=minutes),
        root=root,
    )


class Trainer:
    """Writes an update as the child process would, and keeps what it was ordered."""

    def __init__(self, error=None):
        self.orders, self.error = [], error

    def __call__(self, order):
        self.orders.append(order)
        if self.error:
            raise self.error
        order.out.write_bytes(b"update of " + order.labels.read_bytes())

    @property
    def labels(self):
        return [parse(TeacherLabel, line) for line in self.orders[-1].labels.read_bytes().splitlines()]


def start(root, trainer, *, plan_id=None, is_asked=True, now=NOW):
    learner = Learner(root=root, node_id="n", clock=lambda: now, is_asked=is_asked, run=trainer)
    return train_start(learner=learner, plan_id=plan_id)


def test_a_school_learns_from_its_newest_corrections_in_force_and_no_more_than_the_plan_takes(root, plan, teacher):
    correct(teacher, root, "якум", minutes=1)
    second = correct(teacher, root, "дуюм", minutes=2)
    third = correct(teacher, root, "сеюм", minutes=3)
    rating_withdraw(rating=correct(teacher, root, "чорум", minutes=4), now=NOW)
    correct(teacher, root, "", minutes=5)
    trainer = Trainer()
    update = start(root, trainer)
    assert [label.correction for label in trainer.labels] == ["сеюм", "дуюм"]
    assert trainer.labels[0].answer == third.answer_text
    assert update.record_ids == [third.record_id, second.record_id]
    assert parse(RoundPlan, trainer.orders[0].plan.read_bytes()).plan_id == plan.plan_id


def test_good_and_bad_ratings_are_learnt_from_where_the_plan_wants_them(root, base, director, teacher):
    plan_take(director, max_labels=9, objective=Objective(preference=1.0, ratings=1.0, beta=0.1))
    for minute, stars in enumerate((1, 2, 3, 4, 5)):
        correct(teacher, root, "", stars=stars, minutes=minute)
    correct(teacher, root, "Душанбе.", stars=3, minutes=9)
    trainer = Trainer()
    update = start(root, trainer)
    kinds = [label.kind for label in trainer.labels]
    assert kinds == [LabelKind.CORRECTION, *[LabelKind.GOOD] * 2, *[LabelKind.BAD] * 2]
    assert update.labels == 5


def test_what_is_held_out_is_no_part_of_the_update(root, base, director, teacher):
    plan_take(director, max_labels=64)
    ratings = {}
    for number in range(30):
        answer = answer_make(question=f"Саволи {number}?")
        opinion = Opinion(stars=1, correction=f"Ҷавоби {number}.")
        rating = rating_record(answer=answer, teacher=teacher, opinion=opinion, now=NOW, root=root)
        ratings[rating.record_id] = rating
    trainer = Trainer()
    update = start(root, trainer)
    held = {label.prompt for label in trainer.labels if label.is_held_out}
    assert 1 <= len(held) <= 15
    assert {ratings[record_id].question for record_id in update.record_ids} == {
        rating.question for rating in ratings.values()
    } - held
    assert update.labels == 30 - len(held)
    # The next plan holds the same ones out, and none that was learnt.
    plan_take(director, plan_id="plan-2", max_labels=64, issued_at=NOW + timedelta(days=1))
    start(root, trainer)
    assert {label.prompt for label in trainer.labels if label.is_held_out} == held


def test_a_finished_update_is_the_file_that_waits_and_is_not_learnt_twice(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    trainer = Trainer()
    update = start(root, trainer)
    assert update.file_name == "season-1-1.update"
    content = update_path(root=root, update=update).read_bytes()
    assert (update.status, update.sha256, update.size_bytes) == ("ready", sha256_hex(content), len(content))
    assert start(root, trainer).pk == update.pk
    assert len(trainer.orders) == 1


def test_only_the_receipt_for_its_bytes_lets_the_file_go(root, plan, teacher, django_capture_on_commit_callbacks):
    correct(teacher, root, "Душанбе.")
    update = start(root, Trainer())
    receipt = UpdateReceipt(plan_id=plan.plan_id, update_sha256="0" * 64, accepted=True, code="")
    assert not update_receive_receipt(receipt=receipt, root=root)
    assert update_path(root=root, update=update).exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert update_receive_receipt(receipt=replace(receipt, update_sha256=update.sha256), root=root)
    assert not update_path(root=root, update=update).exists()
    assert LocalUpdate.objects.get().status == "accepted"


def test_after_a_cut_the_same_labels_are_learnt_under_the_same_counter(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    with pytest.raises(TrainingStopped):
        start(root, Trainer(TrainingStopped(reason="cut")))
    correct(teacher, root, "Дертар омад.", minutes=9)
    trainer = Trainer()
    update = start(root, trainer)
    assert (update.status, update.counter, update.labels) == ("ready", 1, 1)
    assert [label.correction for label in trainer.labels] == ["Душанбе."]


def test_a_failure_keeps_its_code_and_can_be_tried_again(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    with pytest.raises(TrainingFailed):
        start(root, Trainer(TrainingFailed(status=1, log="", reason="x")))
    update = LocalUpdate.objects.get()
    assert (update.status, update.error_code) == ("failed", "training_failed")
    assert not update_path(root=root, update=update).exists()
    assert start(root, Trainer()).status == "ready"


def test_the_next_plans_update_takes_the_next_counter(root, plan, director, teacher):
    correct(teacher, root, "Душанбе.")
    start(root, Trainer())
    plan_take(director, plan_id="plan-2")
    LocalUpdate.objects.update(counter=7)
    assert start(root, Trainer(), plan_id="plan-2").counter == 8


def test_the_newest_plan_that_starts_from_what_runs_here_is_learnt_for(root, plan, director, teacher):
    correct(teacher, root, "Душанбе.")
    newer = plan_take(director, plan_id="newer", issued_at=NOW + timedelta(days=1))
    plan_take(director, plan_id="on the adapter", start=ADAPTER, issued_at=NOW + timedelta(days=2))
    plan_take(director, plan_id="on another base", base="d" * 64, issued_at=NOW + timedelta(days=3))
    assert plan_choose(root=root, now=NOW) == newer
    trainer = Trainer()
    start(root, trainer)
    assert trainer.orders[0].start is None

    run(root, index_make(ReleaseKind.ADAPTER, BASE, 2))
    assert start(root, trainer).plan_id == "on the adapter"
    order = trainer.orders[1]
    assert order.package == root / "releases" / BASE
    assert order.start == root / "releases" / ADAPTER / "adapter.bin"
    with pytest.raises(PlanStartMissing):
        start(root, trainer, plan_id="newer")


def test_what_was_begun_for_an_older_plan_is_ended_when_a_newer_one_begins(root, plan, director, teacher):
    correct(teacher, root, "Душанбе.")
    with pytest.raises(TrainingStopped):
        start(root, Trainer(TrainingStopped(reason="hours")))
    plan_take(director, plan_id="newer", issued_at=NOW + timedelta(days=1))
    start(root, Trainer())
    old, new = LocalUpdate.objects.order_by("counter")
    assert (old.status, old.error_code, new.status) == ("failed", "plan_start_missing", "ready")


def test_learning_needs_a_plan_its_start_enough_labels_and_the_packages(root, director, teacher, monkeypatch):
    with pytest.raises(NoOpenPlan):
        start(root, Trainer())
    plan_take(director)
    correct(teacher, root, "Душанбе.")
    with pytest.raises(PlanStartMissing):
        start(root, Trainer())
    run(root, index_make())
    plan_take(director, plan_id="plan-2", min_labels=2, max_labels=5, issued_at=NOW + timedelta(days=1))
    with pytest.raises(TooFewLabels):
        start(root, Trainer(), plan_id="plan-2")
    assert not training_is_due(root=root, now=NIGHT)
    monkeypatch.setattr(training, "NEEDED_PACKAGES", ("json", "no_such_package"))
    with pytest.raises(CannotTrain):
        start(root, Trainer())
    assert not LocalUpdate.objects.exists()


def test_learning_is_due_at_night_with_labels_and_an_open_plan_until_it_was_done(root, plan, teacher):
    assert not training_is_due(root=root, now=NIGHT)
    correct(teacher, root, "Душанбе.")
    assert training_is_due(root=root, now=NIGHT)
    assert not training_is_due(root=root, now=LATER + timedelta(seconds=1))
    start(root, Trainer())
    assert not training_is_due(root=root, now=NIGHT)


def test_the_schools_hours_bind_the_loop_and_not_a_person(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    learning_hours_write(
        opens_at=NIGHT.time().replace(hour=3), closes_at=NIGHT.time().replace(hour=4), idle_minutes=None
    )
    assert not training_is_due(root=root, now=NIGHT)
    with pytest.raises(LearningHindered) as hindered:
        start(root, Trainer(), is_asked=False, now=NIGHT)
    assert hindered.value.fields["reason"] == "hours"
    assert not LocalUpdate.objects.exists()
    assert start(root, Trainer(), now=NIGHT).status == "ready"


def test_what_somebody_at_the_school_has_stopped_nobody_begins_until_it_is_let_go_on(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    learning_stop(reason="Имтиҳон", by="munira", now=NOW)
    assert not training_is_due(root=root, now=NIGHT)
    with pytest.raises(LearningHindered):
        start(root, Trainer())
    learning_resume()
    assert training_is_due(root=root, now=NIGHT)
    assert start(root, Trainer()).status == "ready"


def order_make(root, **fields):
    return TrainingOrder(
        **{
            "root": root,
            "package": root / "empty",
            "plan": root / "no.json",
            "labels": root / "no.jsonl",
            "start": None,
            "key": root / "no.pem",
            "node_id": "n",
            "counter": 1,
            "out": root / "out",
            "log": root / "logs" / "train.log",
            "is_asked": True,
        }
        | fields
    )


@pytest.mark.slow
def test_a_trainer_that_refuses_is_quoted(root):
    (root / "empty").mkdir()
    order = order_make(root)
    with pytest.raises(TrainingFailed) as refused:
        training_run(order)
    assert refused.value.fields["status"] == 1
    assert refused.value.fields["reason"]
    assert json.dumps(trainer_argv(order)[1:3]) == '["-m", "federation.learning.train"]'
    assert trainer_argv(order_make(root, start=root / "adapter.bin"))[-2:] == ["--start", str(root / "adapter.bin")]


COUNTER = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
path = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
for number in range(2000):
    path.with_suffix(".count").write_text(str(number))
    time.sleep(0.01)
"""


@pytest.fixture
def counting_trainer(root, tmp_path, monkeypatch):
    """A trainer that counts while it runs and ends as the real one when it is asked to."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "counting_trainer.py").write_text(COUNTER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.setattr(training, "TRAINER_MODULE", "counting_trainer")
    return root / "out.count"


def count_read(path):
    return path.read_text() if path.exists() else ""


class Day:
    """Says what hinders, look by look, and keeps what the trainer had counted at each."""

    def __init__(self, counts, *hindrances):
        self.counts, self.hindrances, self.seen = counts, list(hindrances), []

    def hindrance(self, _order, *, is_waiting):
        if not count_read(self.counts):
            return None
        self.seen.append((count_read(self.counts), is_waiting))
        return self.hindrances.pop(0) if self.hindrances else Hindrance.HOURS

    def sleep(self, _seconds):
        subprocess.run(["sleep", "0.15"], check=True)


def test_a_trainer_stands_still_during_a_chat_goes_on_after_it_and_ends_when_its_hours_do(root, counting_trainer):
    day = Day(counting_trainer, None, Hindrance.CHAT, Hindrance.CHAT, Hindrance.CHAT, None, None)
    with pytest.raises(TrainingStopped) as stopped:
        training_run(order_make(root), hindrance=day.hindrance, sleep=day.sleep)
    assert stopped.value.fields["reason"] == "hours"
    counts = [int(count or -1) for count, _ in day.seen]
    assert [waiting for _, waiting in day.seen] == [False, False, True, True, True, False, False]
    assert counts[2] == counts[3] == counts[4]
    assert counts[0] < counts[1] <= counts[2] < counts[5] < counts[6]


def test_a_trainer_that_stands_still_hears_that_it_must_end(root, counting_trainer):
    day = Day(counting_trainer, Hindrance.CHAT, Hindrance.CHAT, Hindrance.STOPPED)
    with pytest.raises(TrainingStopped) as stopped:
        training_run(order_make(root), hindrance=day.hindrance, sleep=day.sleep)
    assert stopped.value.fields["reason"] == "stopped"


def test_a_trainer_that_is_killed_has_been_cut_and_not_failed(root, counting_trainer, monkeypatch):
    monkeypatch.setattr(training, "TRAINER_MODULE", "killed_trainer")
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    (counting_trainer.parent.parent / "modules" / "killed_trainer.py").write_text(killed)
    with pytest.raises(TrainingStopped) as stopped:
        training_run(order_make(root), hindrance=lambda order, is_waiting: None, sleep=lambda seconds: None)
    assert stopped.value.fields["reason"] == "cut"


def test_a_trainer_dies_with_the_process_that_leads_it(tmp_path):
    trainer = [sys.executable, "-m", "federation.learning.train", "--with-parent"]
    leader = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {CHILD!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    assert trainer[-1] in trainer_argv(order_make(tmp_path))
    with subprocess.Popen([sys.executable, "-c", leader], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert process_is_gone(pid)


CHILD = "from federation.learning.train import _end_with_parent as end; end(); print('on', flush=True); input()"


def process_is_gone(pid):
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a line of the kernel's
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        subprocess.run(["sleep", "0.1"], check=True)
    return False
