"""An update is tried on corrections: what it was made to lower falls, turned round it rises, and the start counts."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from federation.basis import AdapterFactors
from federation.learning.adapted_model import adapter_attach
from federation.learning.answers import answer_nats
from federation.learning.lessons import CorrectionLesson, Lessons
from federation.learning.probe import updates_try
from federation.learning.probe_task import TriedUpdate
from federation.learning.torch_trainer import Training
from federation.learning.update import update_write
from federation.wire.rounds import Factor, SchemeName
from tests.learning.plans import NOW, small_plan
from tests.learning.tiny_gemma import conversations, tiny_gemma

SLOT = "layers.1.down"
CORRECTIONS = conversations(count=4, seed=2)
OWN = (0, 1)
MOVED = AdapterFactors(a=None, b={SLOT: np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)})


def plan_of(scheme=SchemeName.FFA_LORA, **fields):
    return small_plan(slots=(SLOT,), scheme=scheme, learning_rate=0.1, max_norm=100.0, anchors=(), **fields)


def learnt(plan, start, folder):
    """Return what a school learns from its own corrections."""
    model = tiny_gemma()
    adapters = adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=plan.scheme, start=start)
    lessons = Lessons(tuple(CorrectionLesson(CORRECTIONS[place], None) for place in OWN), (), ())
    training = Training(
        model=model, adapters=adapters, plan=plan, lessons=lessons, anchors=(), identity="a", checkpoint=folder / "c"
    )
    training.run(checkpoint_steps=100, on_step=lambda _: None, should_stop=lambda: False)
    return training.arrays(), answer_nats(model, CORRECTIONS)


def written(plan, arrays, path):
    content = update_write(
        plan=plan, node_id="school", counter=1, labels=2, steps=6, loss_before=3.0, loss_after=1.0, arrays=arrays,
        made_at=NOW, key=ec.generate_private_key(ec.SECP384R1()),
    )  # fmt: skip
    path.write_bytes(content)
    return TriedUpdate(digest=path.name, path=str(path), places=(*OWN, 3))


def tried(plan, start, updates, corrections=CORRECTIONS):
    return list(updates_try(model=tiny_gemma(), plan=plan, start=start, corrections=corrections, updates=updates))


@pytest.mark.parametrize("start", [None, MOVED])
@pytest.mark.parametrize("scheme", [SchemeName.FFA_LORA, SchemeName.FED_SB, SchemeName.FLORA])
def test_what_a_school_learnt_gains_on_its_own_corrections_and_turned_round_it_loses(tmp_path, scheme, start):
    plan = plan_of(scheme)
    arrays, after = learnt(plan, start, tmp_path)
    # FLoRA learns both factors; turned round in both they would say the same.
    turned = {name: array if name[1] is Factor.A else -array for name, array in arrays.items()}
    honest, poisoned = tried(
        plan, start, [written(plan, arrays, tmp_path / "honest"), written(plan, turned, tmp_path / "turned")]
    )
    model = tiny_gemma()
    adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=plan.scheme, start=start)
    before = answer_nats(model, CORRECTIONS)
    expected = [before[place] - after[place] for place in (*OWN, 3)]
    # It travels in float16.
    np.testing.assert_allclose(honest.gains, expected, atol=5e-3)
    assert min(honest.gains[:2]) > 0.005
    assert max(poisoned.gains[:2]) < -0.005
    assert (honest.digest, poisoned.digest) == ("honest", "turned")


def test_a_question_without_room_for_its_answer_says_nothing(tmp_path):
    plan = plan_of()
    arrays, _ = learnt(plan, None, tmp_path)
    update = written(plan, arrays, tmp_path / "honest")
    with_gap = [CORRECTIONS[0], None, *CORRECTIONS[2:]]
    (found,) = tried(plan, None, [update], with_gap)
    (whole,) = tried(plan, None, [update])
    assert found.gains == (pytest.approx(whole.gains[0]), 0.0, pytest.approx(whole.gains[2]))


def test_nothing_learnt_gains_nothing(tmp_path):
    plan = plan_of()
    nothing = {(SLOT, Factor.B): np.zeros((4, 32), np.float32)}
    (found,) = tried(plan, MOVED, [written(plan, nothing, tmp_path / "nothing")])
    assert found.gains == (0.0, 0.0, 0.0)


def test_an_update_whose_school_withdrew_meanwhile_is_passed_over(tmp_path):
    plan = plan_of()
    arrays, _ = learnt(plan, None, tmp_path)
    updates = [written(plan, arrays, tmp_path / name) for name in ("gone", "kept")]
    (tmp_path / "gone").unlink()
    assert [each.digest for each in tried(plan, None, updates)] == ["kept"]
