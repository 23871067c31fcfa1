"""The centre's own part of a round: nothing to go back from at first, then a step back towards what the base says."""

import numpy as np
import pytest
import torch

from federation.basis import AdapterFactors, SlotSize
from federation.learning.adapted_model import adapter_attach
from federation.learning.aggregate import aggregate
from federation.learning.hold import hold_measure
from federation.learning.modes.mode import RobustRule, RobustTerms
from federation.learning.modes.robust import robust_delta
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution, Hold, learnt_norm
from federation.learning.schemes.scheme import Terms
from federation.wire.rounds import Factor, SchemeName
from tests.learning.contributions import TERMS, contribution
from tests.learning.plans import small_plan
from tests.learning.tiny_gemma import conversations, tiny_gemma

SLOT, FFA = "layers.1.down", SchemeName.FFA_LORA
PLAN = small_plan(slots=(SLOT,), longest_step=1e6, ridge=0.01, anchors=())
PASSAGES = conversations(count=4, seed=2)
MOVED = AdapterFactors(a=None, b={SLOT: np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)})


def held(start):
    return hold_measure(model=tiny_gemma(), plan=PLAN, start=start, passages=PASSAGES)


def divergence(factors):
    """Return how far an adapter moves the passages' predictions from the base's, in nats a token, word by word."""
    base, model = tiny_gemma(), tiny_gemma()
    adapter_attach(model, seed=PLAN.seed, rank=PLAN.rank, slots=PLAN.slots, start=factors)
    means = []
    for each in PASSAGES:
        with torch.no_grad():
            ours, theirs = (
                one(torch.tensor(each.ids)[None]).logits[0, each.answer_start - 1 : -1].double().log_softmax(-1)
                for one in (model, base)
            )
        means.append(float((theirs.exp() * (theirs - ours)).sum(-1).mean()))
    return np.mean(means)


def test_at_the_base_there_is_nothing_to_go_back_from_and_the_matrix_says_where_the_passages_look():
    arrays = held(None)
    assert list(arrays) == [(SLOT, Factor.B), (SLOT, Factor.GRAM)]
    assert learnt_norm(arrays) < 1e-4
    assert np.trace(arrays[SLOT, Factor.GRAM]) == pytest.approx(PLAN.rank, rel=1e-5)


@pytest.mark.parametrize("scheme", [FFA, SchemeName.FED_SB])
def test_from_an_adapter_the_step_goes_back_towards_what_the_base_says(scheme):
    plan = small_plan(slots=(SLOT,), longest_step=1e6, ridge=0.01, anchors=(), scheme=scheme)
    arrays = hold_measure(model=tiny_gemma(), plan=plan, start=MOVED, passages=PASSAGES)
    terms = Terms(seed=PLAN.seed, rank=PLAN.rank, sizes={SLOT: SlotSize(64, 32)})
    delta = {name: array.astype(np.float64) for name, array in arrays.items() if name[1] is not Factor.GRAM}
    back = scheme_of(scheme).step(terms, MOVED, delta, 0.05 / learnt_norm(delta))
    assert divergence(back) < divergence(MOVED)
    assert divergence(None) == 0


def test_a_round_counts_the_hold_by_its_weight_beside_all_schools_and_gives_it_no_share():
    scheme = scheme_of(FFA)
    schools = [contribution(FFA, 1, labels=3), contribution(FFA, 2, labels=5)]
    own = contribution(FFA, 3)
    hold = Hold(contribution=own, weight=0.5)
    found = aggregate(schools, scheme=scheme, terms=TERMS, max_norm=1e6, max_labels=64, hold=hold)

    running = scheme.accumulator(TERMS)
    for each, weight in ((schools[0], 3.0), (schools[1], 5.0), (own, 4.0)):
        running.add(each, weight)
    for name, array in running.result().items():
        np.testing.assert_array_equal(found.delta[name], array)
    assert [share.node_id for share in found.shares] == [each.node_id for each in schools]
    assert sum(share.weight for share in found.shares) == pytest.approx(1.0)


def test_the_hold_is_added_beside_the_voices_of_a_robust_round():
    scheme = scheme_of(FFA)
    schools = [contribution(FFA, number, labels=3) for number in range(1, 9)]
    terms = RobustTerms(rule=RobustRule.MULTI_KRUM, share=0.2)

    def robust(hold):
        return robust_delta(
            schools,
            region_by_node={each.node_id: "Хатлон" for each in schools},
            terms=terms,
            max_norm=1e6,
            max_labels=64,
            accumulator=scheme.accumulator(TERMS),
            hold=hold,
        ).delta

    still = Contribution(
        node_id="centre",
        labels=1,
        staleness=0,
        arrays={name: array if name[1] is Factor.GRAM else 0 * array for name, array in schools[0].arrays.items()},
    )
    free = robust(None)
    assert learnt_norm(robust(Hold(contribution=still, weight=0.0))) == pytest.approx(learnt_norm(free))
    assert learnt_norm(robust(Hold(contribution=still, weight=9.0))) < 0.5 * learnt_norm(free)
