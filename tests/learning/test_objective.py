"""Each part of the loss has the gradient of the plain formula, written out over whole rows of logits."""

import pytest
import torch
from torch.nn import functional

from federation.learning import answers, packed
from federation.learning.adapted_model import adapter_attach, slot_columns
from federation.learning.answers import answer_nats, answer_totals, answers_judge
from federation.learning.chat import Conversation
from federation.learning.lessons import CorrectionLesson, Lessons, RatedLesson
from federation.learning.objective import Corrected, Pulled, Rated, loss_accumulate
from federation.learning.step_terms import StepTerms
from federation.wire.rounds import Objective
from tests.learning.tiny_gemma import conversations, tiny_gemma

FIRST, SECOND, THIRD = conversations(count=3, seed=1)


@pytest.fixture
def adapted(monkeypatch):
    """A model that has moved from its base, small batches, and the base itself."""
    monkeypatch.setattr(packed, "_PRODUCT_NUMBERS", 7 * 32)
    monkeypatch.setattr(answers, "BATCH_TOKENS", 30)
    model = tiny_gemma()
    adapters = adapter_attach(model, seed="autumn", rank=4, slots=list(slot_columns(model)))
    draw = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for adapter in adapters.values():
            adapter.deltas["b"].normal_(0, 0.05, generator=draw)
    return model, [adapter.deltas["b"] for adapter in adapters.values()]


def logits(model, conversation: Conversation) -> torch.Tensor:
    ids = torch.tensor([conversation.ids])
    return model(input_ids=ids).logits[0, conversation.answer_start - 1 : -1]


def total(model, conversation: Conversation) -> torch.Tensor:
    labels = torch.tensor(conversation.ids[conversation.answer_start :])
    return -functional.cross_entropy(logits(model, conversation), labels, reduction="sum")


def assert_gradient(adapted, term, plain_loss: torch.Tensor) -> None:
    model, parameters = adapted
    expected = torch.autograd.grad(plain_loss, parameters)
    # Beside another, in one batch or in several, a term's gradient is its own.
    for terms in ([term], [Pulled(THIRD, 0.0), term, Pulled(FIRST, 0.0)]):
        for parameter in parameters:
            parameter.grad = None
        loss_accumulate(model, terms)
        for parameter, gradient in zip(parameters, expected, strict=True):
            # Float32 sums in another order.
            torch.testing.assert_close(parameter.grad, gradient, rtol=2e-3, atol=2e-6)


def test_an_answer_is_pulled_at_by_its_mean_cross_entropy(adapted):
    model, _ = adapted
    count = len(FIRST.ids) - FIRST.answer_start
    assert_gradient(adapted, Pulled(FIRST, 0.7), -0.7 * total(model, FIRST) / count)


def test_an_anchor_is_held_by_its_divergence_from_the_bases_prediction(adapted):
    model, _ = adapted
    base = tiny_gemma()
    with torch.no_grad():
        before = functional.softmax(logits(base, FIRST), dim=-1)
    ratio = before.log() - functional.log_softmax(logits(model, FIRST), dim=-1)
    plain = 2.0 * (before * ratio).sum(dim=-1).mean() - 0.25 * total(model, FIRST) / len(before)
    (read,) = answers_judge(base, [FIRST])
    assert_gradient(adapted, Pulled(FIRST, 0.25, 2.0, read.mean), plain)


@pytest.mark.parametrize("reference", [-3.0, 0.0, 40.0])
def test_a_correction_is_preferred_as_direct_preference_optimisation_has_it(adapted, reference):
    model, _ = adapted
    margin = total(model, FIRST) - total(model, SECOND) - reference
    plain = -1.5 * functional.logsigmoid(0.2 * margin) - 0.5 * total(model, FIRST) / (
        len(FIRST.ids) - FIRST.answer_start
    )
    assert_gradient(adapted, Corrected(FIRST, SECOND, 0.5, 1.5, 0.2, reference), plain)


@pytest.mark.parametrize("is_good", [True, False])
@pytest.mark.parametrize("drift", [0.0, 1.5])
def test_a_rating_pulls_as_kahneman_tversky_optimisation_has_it(adapted, is_good, drift):
    model, _ = adapted
    reference = float(total(model, FIRST).detach()) + 2.0
    gain = total(model, FIRST) - reference
    value = torch.sigmoid(0.3 * (gain - drift) * (1 if is_good else -1))
    assert_gradient(adapted, Rated(FIRST, is_good, 1.25, 0.3, reference, drift), 1.25 * (1 - value))


def test_a_term_out_of_reach_pulls_at_nothing_and_breaks_nothing(adapted):
    model, parameters = adapted
    loss_accumulate(
        model, [Corrected(FIRST, SECOND, 0.0, 1.0, 1.0, 1e9), Corrected(FIRST, SECOND, 0.0, 1.0, 1.0, -1e9)]
    )
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in parameters)


def test_an_answers_nats_and_total_are_those_of_its_tokens_alone(adapted):
    model, _ = adapted
    both = [FIRST, SECOND]
    with torch.no_grad():
        totals = [float(total(model, each)) for each in both]
    assert answer_totals(model, both) == pytest.approx(totals, rel=1e-5)
    counts = [len(each.ids) - each.answer_start for each in both]
    assert answer_nats(model, both) == pytest.approx(
        [-each / count for each, count in zip(totals, counts, strict=True)], rel=1e-5
    )


def step_terms(lessons: Lessons, anchors=()) -> StepTerms:
    objective = Objective(preference=0.5, ratings=0.25, beta=0.1)
    return StepTerms(model=tiny_gemma(), objective=objective, lessons=lessons, anchors=anchors)


def test_each_part_of_a_step_is_a_mean_over_its_lessons():
    given = conversations(count=19, seed=5)
    pairs = [CorrectionLesson(each, less) for each, less in zip(conversations(count=19, seed=4), given, strict=True)]
    lessons = Lessons((*pairs, *[CorrectionLesson(each, None) for each in given[:2]]), (), ())
    terms = step_terms(lessons, anchors=conversations(count=2, seed=2))
    for step in range(6):
        parts = terms.corrections(step)
        assert sum(term.pull for term in parts) == pytest.approx(1)
        assert sum(term.weight for term in parts if isinstance(term, Corrected)) == pytest.approx(0.5)
        assert sum(term.hold for term in terms.anchors(step)) == pytest.approx(1)
    seen = {term.conversations[0] for step in range(3) for term in terms.corrections(step)}
    assert seen == {lesson.wanted for lesson in lessons.corrections}


def test_good_and_bad_ratings_weigh_alike_however_many_there_are():
    rated = conversations(count=4, seed=4)
    lessons = Lessons((), tuple(RatedLesson(each, place > 0, rated[place - 1]) for place, each in enumerate(rated)), ())
    terms = step_terms(lessons).rated(0)
    good = sum(term.weight for term in terms if term.is_good)
    assert good == pytest.approx(sum(term.weight for term in terms if not term.is_good))
    assert good == pytest.approx(0.125)


def test_drift_is_how_much_likelier_answers_to_other_questions_became():
    rated = conversations(count=3, seed=4)
    lessons = Lessons(
        (), tuple(RatedLesson(each, is_good=True, elsewhere=rated[place - 1]) for place, each in enumerate(rated)), ()
    )
    model = tiny_gemma()
    adapters = adapter_attach(model, seed="autumn", rank=4, slots=list(slot_columns(model)))
    terms = StepTerms(model=model, objective=Objective(preference=0, ratings=1, beta=0.1), lessons=lessons, anchors=())
    assert [term.drift for term in terms.rated(0)] == [0.0, 0.0, 0.0]
    before = answer_totals(model, [lesson.elsewhere for lesson in lessons.rated])
    with torch.no_grad():
        for adapter in adapters.values():
            adapter.deltas["b"].normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    after = answer_totals(model, [lesson.elsewhere for lesson in lessons.rated])
    gain = sum(after) / 3 - sum(before) / 3
    assert gain != 0
    assert [term.drift for term in terms.rated(0)] == pytest.approx([max(0.0, gain)] * 3)
