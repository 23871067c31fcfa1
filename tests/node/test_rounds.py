"""What a school learns from, and that one update a plan comes of it, through cuts and failures."""

import json
from datetime import timedelta

import pytest

from federation.trust.envelopes import ROUND_PLAN, envelope_seal
from federation.trust.keys import director_key_create
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import Example, RoundPlan
from node.ratings.services import Opinion, rating_record, rating_withdraw
from node.rounds import training
from node.rounds.models import LocalUpdate
from node.rounds.services import (
    CannotTrain,
    NoOpenPlan,
    PlanBaseMissing,
    TooFewLabels,
    plan_receive,
    train_start,
    training_is_due,
    update_path,
)
from node.rounds.training import TrainingFailed, TrainingOrder, TrainingStopped, trainer_argv, training_run
from tests.node.conftest import NOW, answer_make
from tests.simulators import round_plan

pytestmark = pytest.mark.django_db
BASE = "b" * 64
LATER = NOW + timedelta(days=400)


@pytest.fixture(autouse=True)
def _able(monkeypatch):
    """The suite also runs without the `train` extra, so a package that is always there stands for it."""
    monkeypatch.setattr(training, "NEEDED_PACKAGES", ("json",))


@pytest.fixture
def director(tmp_path):
    return director_key_create(tmp_path / "director.pem")


@pytest.fixture
def plan(root, director):
    (root / "releases" / BASE).mkdir(parents=True)
    return plan_take(director, min_labels=1, max_labels=2)


def plan_take(director, **changes):
    document = round_plan(base=BASE, issued_at=NOW, closes_at=LATER, **changes)
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
        order.out.write_bytes(b"update of " + order.examples.read_bytes())


def start(root, trainer):
    return train_start(root=root, node_id="n", clock=lambda: NOW, run=trainer)


def test_a_school_learns_from_its_newest_corrections_in_force_and_no_more_than_the_plan_takes(root, plan, teacher):
    correct(teacher, root, "якум", minutes=1)
    second = correct(teacher, root, "дуюм", minutes=2)
    third = correct(teacher, root, "сеюм", minutes=3)
    rating_withdraw(rating=correct(teacher, root, "чорум", minutes=4), now=NOW)
    correct(teacher, root, "", minutes=5)
    trainer = Trainer()
    update = start(root, trainer)
    (order,) = trainer.orders
    lines = [parse(Example, line) for line in order.examples.read_bytes().splitlines()]
    assert [line.answer for line in lines] == ["сеюм", "дуюм"]
    assert update.record_ids == [third.record_id, second.record_id]
    assert parse(RoundPlan, order.plan.read_bytes()).plan_id == plan.plan_id


def test_a_finished_update_is_the_file_that_waits_and_is_not_learnt_twice(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    trainer = Trainer()
    update = start(root, trainer)
    content = update_path(root=root, plan_id=plan.plan_id).read_bytes()
    assert (update.status, update.sha256, update.size_bytes) == ("ready", sha256_hex(content), len(content))
    assert start(root, trainer).pk == update.pk
    assert len(trainer.orders) == 1


def test_after_a_cut_the_same_examples_are_learnt_under_the_same_counter(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    with pytest.raises(TrainingStopped):
        start(root, Trainer(TrainingStopped()))
    correct(teacher, root, "Дертар омад.", minutes=9)
    trainer = Trainer()
    update = start(root, trainer)
    assert (update.status, update.counter, update.labels) == ("ready", 1, 1)
    assert b"\xd0\x94\xd0\xb5\xd1\x80" not in trainer.orders[0].examples.read_bytes()


def test_a_failure_keeps_its_code_and_can_be_tried_again(root, plan, teacher):
    correct(teacher, root, "Душанбе.")
    with pytest.raises(TrainingFailed):
        start(root, Trainer(TrainingFailed(status=1, log="", reason="x")))
    update = LocalUpdate.objects.get()
    assert (update.status, update.error_code) == ("failed", "training_failed")
    assert not update_path(root=root, plan_id=plan.plan_id).exists()
    assert start(root, Trainer()).status == "ready"


def test_the_next_plans_update_takes_the_next_counter(root, plan, director, teacher):
    correct(teacher, root, "Душанбе.")
    start(root, Trainer())
    plan_take(director, plan_id="plan-2")
    LocalUpdate.objects.update(counter=7)
    other = train_start(root=root, node_id="n", clock=lambda: NOW, plan_id="plan-2", run=Trainer())
    assert other.counter == 8


def test_learning_needs_a_plan_its_base_enough_labels_and_the_packages(root, director, teacher, monkeypatch):
    with pytest.raises(NoOpenPlan):
        start(root, Trainer())
    plan_take(director)
    correct(teacher, root, "Душанбе.")
    with pytest.raises(PlanBaseMissing):
        start(root, Trainer())
    (root / "releases" / BASE).mkdir(parents=True)
    plan_take(director, plan_id="plan-2", min_labels=2, max_labels=5)
    with pytest.raises(TooFewLabels):
        train_start(root=root, node_id="n", clock=lambda: NOW, plan_id="plan-2", run=Trainer())
    monkeypatch.setattr(training, "NEEDED_PACKAGES", ("json", "no_such_package"))
    with pytest.raises(CannotTrain):
        start(root, Trainer())
    assert not LocalUpdate.objects.exists()
    assert not training_is_due(now=NOW)


def test_learning_is_due_with_labels_and_an_open_plan_until_it_was_done(root, plan, teacher):
    assert not training_is_due(now=NOW)
    correct(teacher, root, "Душанбе.")
    assert training_is_due(now=NOW)
    assert not training_is_due(now=LATER + timedelta(seconds=1))
    start(root, Trainer())
    assert not training_is_due(now=NOW)


@pytest.mark.slow
def test_a_trainer_that_refuses_is_quoted(root):
    (root / "empty").mkdir()
    order = TrainingOrder(
        root=root,
        package=root / "empty",
        plan=root / "no.json",
        examples=root / "no.jsonl",
        key=root / "no.pem",
        node_id="n",
        counter=1,
        out=root / "out",
        log=root / "logs" / "train.log",
    )
    with pytest.raises(TrainingFailed) as refused:
        training_run(order)
    assert refused.value.fields["status"] == 1
    assert refused.value.fields["reason"]
    assert json.dumps(trainer_argv(order)[1:3]) == '["-m", "federation.learning.train"]'
