"""Local training on a tiny Gemma: the loss is the plain one, a cut costs nothing, and the plan's limits hold."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from federation.basis import frozen_a
from federation.errors import WireError
from federation.learning import objective
from federation.learning.adapted_model import AdaptedLinear, adapter_attach, slot_columns
from federation.learning.objective import Target, answer_states, loss_accumulate
from federation.learning.torch_trainer import Training
from federation.wire.rounds import RoundPlan
from tests.learning.plans import small_plan
from tests.learning.tiny_gemma import conversations, tiny_gemma

PLAN = small_plan(slots=tuple(slot_columns(tiny_gemma())), max_steps=7)


def training(folder: Path, *, plan: RoundPlan = PLAN, own: int = 3, identity: str = "same") -> Training:
    model = tiny_gemma()
    return Training(
        model=model,
        factors=adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots),
        plan=plan,
        own=conversations(count=own, seed=1),
        anchors=conversations(count=2, seed=2),
        identity=identity,
        checkpoint=folder / "checkpoint.pt",
    )


def run(learner: Training, *, stop_after: int = 10**6):
    seen = []
    outcome = learner.run(checkpoint_steps=2, on_step=seen.append, should_stop=lambda: len(seen) >= stop_after)
    return outcome, seen


def assert_same_bytes(left: Training, right: Training) -> None:
    for slot, array in left.factors_numpy().items():
        assert array.tobytes() == right.factors_numpy()[slot].tobytes(), slot


def test_the_slots_are_those_of_the_serving_graph():
    columns = slot_columns(tiny_gemma())
    assert list(columns) == [f"layers.{i}.{part}" for i in (0, 1) for part in ("qkv", "o", "gate", "up", "down")]
    assert columns["layers.0.qkv"] == 16 * (2 + 1 + 1)


def test_an_unknown_slot_is_refused():
    for slot in ("layers.7.qkv", "layers.0.head", "layers.-1.qkv", "norm"):
        with pytest.raises(WireError, match="slot_unknown"):
            adapter_attach(tiny_gemma(), seed="s", rank=2, slots=[slot])


def test_an_adapted_model_computes_w_x_plus_x_a_b_and_packs_q_k_and_v():
    model = tiny_gemma()
    base = copy.deepcopy(model.model.layers[0].self_attn)
    factors = adapter_attach(model, seed="autumn", rank=4, slots=["layers.0.qkv"])
    b = torch.randn(4, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        factors["layers.0.qkv"].copy_(b)
    x = torch.randn(5, 32)
    product = (x @ torch.from_numpy(frozen_a(seed="autumn", slot="layers.0.qkv", d_in=32, rank=4))) @ b
    adapted = model.model.layers[0].self_attn
    assert isinstance(adapted.q_proj, AdaptedLinear)
    torch.testing.assert_close(adapted.q_proj(x), base.q_proj(x) + product[:, :32])
    torch.testing.assert_close(adapted.k_proj(x), base.k_proj(x) + product[:, 32:48])
    torch.testing.assert_close(adapted.v_proj(x), base.v_proj(x) + product[:, 48:])


def test_the_loss_in_pieces_has_the_gradient_of_the_plain_loss(monkeypatch):
    monkeypatch.setattr(objective, "HEAD_POSITIONS", 3)
    monkeypatch.setattr(objective, "BATCH_TOKENS", 20)
    model = tiny_gemma()
    factors = adapter_attach(model, seed="autumn", rank=4, slots=PLAN.slots)
    own, anchors = conversations(count=2, seed=1), conversations(count=2, seed=2)
    with torch.no_grad():
        base = [answer_states(model, [anchor])[0].clone() for anchor in anchors]
        for factor in factors.values():
            factor.normal_(0, 0.02)
    targets = [Target(c, 0.5) for c in own]
    targets += [Target(c, 0.25, 2.0, states) for c, states in zip(anchors, base, strict=True)]

    nats = loss_accumulate(model, targets)
    pieces = {slot: factor.grad.clone() for slot, factor in factors.items()}
    for factor in factors.values():
        factor.grad = None
    plain = []
    for target in targets:
        ids, start = torch.tensor([target.conversation.ids]), target.conversation.answer_start
        logits = model(input_ids=ids).logits[0, start - 1 : -1]
        plain.append(functional.cross_entropy(logits, ids[0, start:]))
        loss = target.pull * plain[-1]
        if target.base_states is not None:
            before = functional.softmax(target.base_states @ model.lm_head.weight.T, dim=-1)
            ratio = before.log() - functional.log_softmax(logits, dim=-1)
            loss = loss + target.hold * (before * ratio).sum(dim=-1).mean()
        loss.backward()

    # Both are float32 sums in another order.
    np.testing.assert_allclose(nats, [float(loss.detach()) for loss in plain], rtol=1e-5)
    for slot, factor in factors.items():
        torch.testing.assert_close(pieces[slot], factor.grad, rtol=1e-3, atol=1e-6)


def test_training_lowers_the_loss_of_the_schools_own_examples(tmp_path):
    outcome, seen = run(training(tmp_path))
    assert outcome.is_finished
    assert outcome.steps == len(seen) == PLAN.max_steps
    assert outcome.nats_before == seen[0].own_nats
    assert outcome.nats_after < 0.95 * outcome.nats_before


def test_training_ends_when_the_loss_is_low_enough(tmp_path):
    outcome, seen = run(training(tmp_path, plan=small_plan(slots=PLAN.slots, stop_loss=4.4, max_steps=100)))
    assert outcome.is_finished
    assert seen[-1].own_nats <= 4.4 < seen[-2].own_nats
    assert outcome.steps == len(seen) - 1 < 100


def test_a_training_that_was_stopped_ends_with_the_very_bytes_of_one_that_was_not(tmp_path):
    whole = training(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    outcome, seen = run(whole)

    stopped, _ = run(training(tmp_path), stop_after=3)
    assert not stopped.is_finished
    again = training(tmp_path)
    assert again.steps == 3
    resumed, rest = run(again)

    assert rest == seen[3:]
    assert resumed == outcome
    assert_same_bytes(again, whole)


def test_a_checkpoint_of_other_examples_or_with_damage_is_not_continued(tmp_path):
    run(training(tmp_path), stop_after=3)
    assert training(tmp_path, identity="other").steps == 0
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:200])
    assert training(tmp_path).steps == 0


def test_b_never_leaves_the_ball_of_the_plans_norm(tmp_path):
    learner = training(tmp_path, plan=small_plan(slots=PLAN.slots, max_norm=0.3, learning_rate=0.1))
    _, seen = run(learner)
    assert max(step.norm for step in seen) <= 0.3 * (1 + 1e-6)
    assert learner.norm() == pytest.approx(0.3, rel=1e-6)


def test_every_example_has_its_turn_when_there_are_more_than_a_step_holds(tmp_path):
    learner = training(tmp_path, own=19)
    outcome, seen = run(learner)
    assert outcome.nats_before == pytest.approx(np.mean([step.own_nats for step in seen[:3]]))
    assert outcome.nats_after < outcome.nats_before


def test_the_gram_matrices_are_those_of_the_inner_features_of_the_schools_own_tokens(tmp_path):
    learner = training(tmp_path)
    run(learner, stop_after=2)
    seen: dict[str, list[torch.Tensor]] = {"layers.1.down": [], "layers.0.qkv": []}
    layers = learner._model.model.layers
    layers[1].mlp.down_proj.base.register_forward_pre_hook(lambda _, x: seen["layers.1.down"].append(x[0][0]))
    layers[0].self_attn.q_proj.base.register_forward_pre_hook(lambda _, x: seen["layers.0.qkv"].append(x[0][0]))
    grams = learner.grams()
    assert list(grams) == list(PLAN.slots)
    for slot, inputs in seen.items():
        x = torch.cat(inputs).detach().numpy()
        z = x @ frozen_a(seed=PLAN.seed, slot=slot, d_in=x.shape[1], rank=PLAN.rank)
        np.testing.assert_allclose(grams[slot], z.T @ z, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(grams[slot], grams[slot].T)
