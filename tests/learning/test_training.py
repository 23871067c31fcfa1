"""Local training on a tiny Gemma: the loss is the plain one, a cut costs nothing, and the plan's limits hold."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.basis import AdapterFactors, frozen_a, frozen_b
from federation.errors import WireError
from federation.learning.adapted_model import AdaptedLinear, adapter_attach, slot_columns
from federation.learning.answers import answer_nats, answer_totals
from federation.learning.chat import Conversation
from federation.learning.lessons import CorrectionLesson, Lessons, RatedLesson
from federation.learning.torch_trainer import Training
from federation.wire.rounds import Factor, Objective, RoundPlan, SchemeName
from tests.learning.plans import small_plan
from tests.learning.tiny_gemma import conversations, tiny_gemma

PLAN = small_plan(slots=tuple(slot_columns(tiny_gemma())), max_steps=7)
ANCHORS = conversations(count=2, seed=2)
ALL = Objective(preference=0.5, ratings=0.5, beta=0.1)


def taught(count: int) -> Lessons:
    return Lessons(tuple(CorrectionLesson(each, None) for each in conversations(count=count, seed=1)), (), ())


def every_kind() -> Lessons:
    """Corrections of given answers, good and bad ratings, and two corrections held out."""
    wanted, given, rated = (conversations(count=11, seed=seed) for seed in (1, 3, 4))
    pairs = [CorrectionLesson(more, less) for more, less in zip(wanted, given, strict=True)]
    other = tuple(RatedLesson(each, place % 2 == 0, rated[place - 1]) for place, each in enumerate(rated[:5]))
    return Lessons((*pairs[:9], CorrectionLesson(wanted[0], None)), other, tuple(pairs[9:]))


def training(
    folder: Path,
    *,
    plan: RoundPlan = PLAN,
    own: int = 3,
    lessons: Lessons | None = None,
    identity: str = "same",
    start: AdapterFactors | None = None,
    anchors: Sequence[Conversation] = ANCHORS,
) -> Training:
    model = tiny_gemma()
    adapters = adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=plan.scheme, start=start)
    return Training(
        model=model,
        adapters=adapters,
        plan=plan,
        lessons=lessons or taught(own),
        anchors=anchors,
        identity=identity,
        checkpoint=folder / "checkpoint.pt",
    )


def run(learner: Training, *, stop_after: int = 10**6):
    seen = []
    outcome = learner.run(checkpoint_steps=2, on_step=seen.append, should_stop=lambda: len(seen) >= stop_after)
    return outcome, seen


def assert_same_bytes(left: Training, right: Training) -> None:
    for name, array in left.arrays().items():
        assert array.tobytes() == right.arrays()[name].tobytes(), name


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
    adapters = adapter_attach(model, seed="autumn", rank=4, slots=["layers.0.qkv"])
    b = torch.randn(4, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        adapters["layers.0.qkv"].deltas["b"].copy_(b)
    x = torch.randn(5, 32)
    product = (x @ torch.from_numpy(frozen_a(seed="autumn", slot="layers.0.qkv", d_in=32, rank=4))) @ b
    adapted = model.model.layers[0].self_attn
    assert isinstance(adapted.q_proj, AdaptedLinear)
    torch.testing.assert_close(adapted.q_proj(x), base.q_proj(x) + product[:, :32])
    torch.testing.assert_close(adapted.k_proj(x), base.k_proj(x) + product[:, 32:48])
    torch.testing.assert_close(adapted.v_proj(x), base.v_proj(x) + product[:, 48:])


SLOT = "layers.1.down"
START_B = 0.1 * np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)
START_A = 0.1 * np.random.default_rng(2).normal(size=(64, 4)).astype(np.float32)
NAMED = AdapterFactors(a=None, b={SLOT: START_B})
BROUGHT = AdapterFactors(a={SLOT: START_A}, b={SLOT: START_B})
NARROW = AdapterFactors(a={SLOT: START_A[:, :2]}, b={SLOT: START_B[:2]})
A = frozen_a(seed="autumn", slot=SLOT, d_in=64, rank=4)


@pytest.mark.parametrize(
    ("scheme", "start", "product"),
    [
        (SchemeName.FFA_LORA, None, lambda d: A @ d["b"]),
        (SchemeName.FFA_LORA, NAMED, lambda d: A @ (START_B + d["b"])),
        (SchemeName.FFA_LORA, BROUGHT, lambda d: START_A @ START_B + A @ d["b"]),
        (SchemeName.FFA_LORA, NARROW, lambda d: START_A[:, :2] @ START_B[:2] + A @ d["b"]),
        (SchemeName.FED_SB, None, lambda d: A @ d["core"] @ frozen_b(seed="autumn", slot=SLOT, rank=4, d_out=32)),
        (
            SchemeName.FED_SB,
            NAMED,
            lambda d: A @ (START_B + d["core"] @ frozen_b(seed="autumn", slot=SLOT, rank=4, d_out=32)),
        ),
        (SchemeName.FEDIT, None, lambda d: (A + d["a"]) @ d["b"]),
        (SchemeName.FEDIT, BROUGHT, lambda d: (START_A + d["a"]) @ (START_B + d["b"])),
        (SchemeName.FLORA, None, lambda d: (A + d["a"]) @ d["b"]),
        (SchemeName.FLORA, BROUGHT, lambda d: START_A @ START_B + (A + d["a"]) @ d["b"]),
    ],
)
def test_each_scheme_learns_its_own_factors_on_top_of_the_start(scheme, start, product):
    model = tiny_gemma()
    before = copy.deepcopy(model.model.layers[1].mlp.down_proj)
    adapter = adapter_attach(model, seed="autumn", rank=4, slots=[SLOT], scheme=scheme, start=start)[SLOT]
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(9))
    zero = {name: np.zeros(delta.shape, np.float32) for name, delta in adapter.deltas.items()}
    projection = model.model.layers[1].mlp.down_proj
    torch.testing.assert_close(projection(x), before(x) + x @ torch.from_numpy(product(zero)))
    moved = {
        name: torch.randn(delta.shape, generator=torch.Generator().manual_seed(4))
        for name, delta in adapter.deltas.items()
    }
    with torch.no_grad():
        for name, delta in adapter.deltas.items():
            delta.copy_(moved[name])
    wanted = x @ torch.from_numpy(product({name: each.numpy() for name, each in moved.items()}))
    torch.testing.assert_close(projection(x), before(x) + wanted, rtol=1e-4, atol=1e-4)
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        f"model.layers.1.mlp.down_proj.adapter.deltas.{name}" for name in moved
    }


def test_a_start_of_other_slots_or_shapes_is_refused():
    other_slot = AdapterFactors(a=None, b={"layers.0.down": START_B})
    other_rank = AdapterFactors(a=None, b={SLOT: START_B[:2]})
    other_a = AdapterFactors(a={SLOT: START_A[:3]}, b={SLOT: START_B})
    for start in (other_slot, other_rank, other_a):
        with pytest.raises(WireError, match="start_mismatch"):
            adapter_attach(tiny_gemma(), seed="autumn", rank=4, slots=[SLOT], start=start)


@pytest.mark.parametrize("scheme", SchemeName)
def test_a_school_learns_under_each_scheme(tmp_path, scheme):
    plan = small_plan(slots=PLAN.slots, scheme=scheme, max_steps=12, learning_rate=3e-2, max_norm=50.0)
    learner = training(tmp_path, plan=plan)
    outcome, _ = run(learner)
    assert outcome.nats_after < 0.97 * outcome.nats_before
    wanted = {"ffa-lora": {"b"}, "fed-sb": {"core"}}.get(scheme.value, {"a", "b"})
    assert {factor.value for _, factor in learner.arrays()} == wanted
    assert {slot for slot, _ in learner.arrays()} == set(PLAN.slots)


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


@pytest.mark.parametrize(
    ("scheme", "longest_step"), [*((name, 0.0) for name in SchemeName), (SchemeName.FFA_LORA, 0.2)]
)
def test_a_training_that_was_stopped_ends_with_the_very_bytes_of_one_that_was_not(tmp_path, scheme, longest_step):
    plan = small_plan(slots=PLAN.slots, max_steps=7, objective=ALL, scheme=scheme, longest_step=longest_step)
    whole = training(tmp_path / "whole", plan=plan, lessons=every_kind())
    (tmp_path / "whole").mkdir()
    outcome, seen = run(whole)

    stopped, _ = run(training(tmp_path, plan=plan, lessons=every_kind()), stop_after=3)
    assert not stopped.is_finished
    again = training(tmp_path, plan=plan, lessons=every_kind())
    assert again.steps == 3
    resumed, rest = run(again)

    assert rest == seen[3:]
    assert resumed == outcome
    assert_same_bytes(again, whole)
    for name, gram in again.grams().items():
        assert gram.tobytes() == whole.grams()[name].tobytes(), name
    assert again.scores() == whole.scores()


def test_a_checkpoint_of_other_examples_or_with_damage_is_not_continued(tmp_path):
    run(training(tmp_path), stop_after=3)
    assert training(tmp_path, identity="other").steps == 0
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:200])
    assert training(tmp_path).steps == 0


def test_what_is_learnt_never_leaves_the_ball_of_the_plans_norm(tmp_path):
    learner = training(tmp_path, plan=small_plan(slots=PLAN.slots, max_norm=0.3, learning_rate=0.1))
    _, seen = run(learner)
    assert max(step.norm for step in seen) <= 0.3 * (1 + 1e-6)
    assert learner.norm() == pytest.approx(0.3, rel=1e-6)


def test_every_example_has_its_turn_when_there_are_more_than_a_step_holds(tmp_path):
    learner = training(tmp_path, own=19)
    outcome, seen = run(learner)
    assert outcome.nats_before == pytest.approx(np.mean([step.own_nats for step in seen[:3]]))
    assert outcome.nats_after < outcome.nats_before


def test_a_gram_matrix_counts_each_token_by_the_squared_gradient_at_its_output(tmp_path):
    """Against plain cross-entropy, question by question; qkv has three outputs under one A."""
    grams = training(tmp_path).grams()
    assert list(grams) == [(slot, Factor.GRAM) for slot in PLAN.slots]
    model = tiny_gemma()
    layers = model.model.layers
    outputs = {"layers.1.down": [layers[1].mlp.down_proj]}
    outputs["layers.0.qkv"] = [getattr(layers[0].self_attn, f"{name}_proj") for name in "qkv"]
    wanted = dict.fromkeys(outputs, 0.0)
    for each in conversations(count=3, seed=1):
        seen = {}

        def keep(module, x, y, seen=seen):
            seen[module] = (x[0][0], y.requires_grad_())

        handles = [module.register_forward_hook(keep) for modules in outputs.values() for module in modules]
        logits = model(torch.tensor([each.ids])).logits[0, each.answer_start - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(each.ids[each.answer_start :]))
        gradients = dict(zip(seen, torch.autograd.grad(loss, [y for _, y in seen.values()]), strict=True))
        for slot, modules in outputs.items():
            x = seen[modules[0]][0].detach().numpy()
            z = x @ frozen_a(seed=PLAN.seed, slot=slot, d_in=x.shape[1], rank=PLAN.rank)
            weights = sum(np.square(gradients[module][0].numpy()).sum(axis=1) for module in modules)
            wanted[slot] += z.T @ (weights[:, None] * z) * len(logits) / 3
        for handle in handles:
            handle.remove()
    for slot, gram in wanted.items():
        found = grams[slot, Factor.GRAM]
        np.testing.assert_allclose(found, gram, rtol=1e-3, atol=1e-4 * np.abs(gram).max())
        np.testing.assert_array_equal(found, found.T)


def test_measuring_gram_matrices_leaves_no_gradient_behind(tmp_path):
    learner = training(tmp_path)
    assert all(weight.grad is None for weight in learner._model.parameters())


def test_a_natural_step_looks_at_every_lesson_and_lowers_the_loss(tmp_path):
    plan = small_plan(slots=PLAN.slots, max_steps=2, max_norm=10.0, longest_step=0.2, objective=ALL, anchors=())
    learner = training(tmp_path, plan=plan, lessons=every_kind(), anchors=())
    alone = answer_nats(learner._model, every_kind().wanted)
    outcome, seen = run(learner)
    assert seen[0].own_nats == outcome.nats_before == pytest.approx(np.mean(alone), rel=1e-5)
    assert seen[1].norm == pytest.approx(0.2, rel=1e-5)
    assert seen[0].anchor_nats == 0
    assert outcome.nats_after < outcome.nats_before


def test_held_out_corrections_are_scored_and_never_learnt(tmp_path):
    plan = small_plan(slots=PLAN.slots, objective=ALL)
    learner = training(tmp_path, plan=plan, lessons=every_kind())
    without = Lessons(every_kind().corrections, every_kind().rated, ())
    (tmp_path / "without").mkdir()
    other = training(tmp_path / "without", plan=plan, lessons=without)
    assert learner.scores().nats_after == learner.scores().nats_before
    run(learner)
    run(other)
    assert_same_bytes(learner, other)
    assert other.scores() is None
    scores = learner.scores()
    assert scores.labels == 2
    assert scores.nats_after != scores.nats_before
    assert {scores.preferred_before, scores.preferred_after} <= {0.0, 0.5, 1.0}


def test_a_school_that_only_rates_learns_too(tmp_path):
    objective = Objective(preference=0.0, ratings=10.0, beta=0.5)
    plan = small_plan(slots=PLAN.slots, objective=objective, max_steps=10, stop_loss=100.0)
    rated = every_kind().rated
    learner = training(tmp_path, plan=plan, lessons=Lessons((), rated, ()))
    before = answer_totals(learner._model, [lesson.conversation for lesson in rated])
    outcome, seen = run(learner)
    # No correction says when enough is learnt, so the plan's steps do.
    assert (outcome.steps, len(seen)) == (10, 10)
    after = answer_totals(learner._model, [lesson.conversation for lesson in rated])
    gains = [more - less for more, less in zip(after, before, strict=True)]
    assert min(gains[0::2]) > max(gains[1::2])
