"""Aggregation under every scheme: weights, clipping, order and memory; an unusable contribution is named."""

import random
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from federation.basis import AdapterFactors, SlotSize
from federation.errors import WireError
from federation.learning.aggregate import Aggregate, aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution, learnt_norm
from federation.learning.schemes.scheme import Fusion, Terms
from federation.wire.rounds import Factor, SchemeName
from tests.learning.contributions import SIZES, TERMS, contribution, own_product, product, start_of

every_scheme = pytest.mark.parametrize("scheme", SchemeName)
MEAN = replace(TERMS, fusion=Fusion.MEAN)


def combined(
    scheme: SchemeName, schools, *, terms: Terms = TERMS, max_norm: float = 1e6, max_labels: int = 64
) -> Aggregate:
    return aggregate(schools, scheme=scheme_of(scheme), terms=terms, max_norm=max_norm, max_labels=max_labels)


def adapter(scheme: SchemeName, schools, *, start: AdapterFactors | None = None, **terms) -> AdapterFactors:
    delta = combined(scheme, schools, **terms).delta
    return scheme_of(scheme).step(TERMS, start, delta, 1.0)


def assert_serves_alike(left: AdapterFactors, right: AdapterFactors, **tolerance) -> None:
    for slot in SIZES:
        np.testing.assert_allclose(product(left, slot), product(right, slot), **tolerance)


@every_scheme
def test_a_school_weighs_its_labels_up_to_the_cap_over_the_root_of_its_staleness(scheme):
    schools = [
        contribution(scheme, 1, labels=3),
        contribution(scheme, 2, labels=200, staleness=3),
        contribution(scheme, 3, labels=0),
    ]
    shares = combined(scheme, schools).shares
    assert [share.weight for share in shares] == pytest.approx([3 / 35, 32 / 35, 0])
    assert [share.node_id for share in shares] == ["school-1", "school-2", "school-3"]
    assert [share.norm for share in shares] == pytest.approx([learnt_norm(school.arrays) for school in schools])


@every_scheme
@pytest.mark.parametrize("is_first", [True, False])
def test_one_school_alone_gets_back_the_adapter_that_it_has_learnt(scheme, is_first):
    """In any scheme, from the base alone or from an adapter: what was measured at the school is what comes out."""
    school, start = contribution(scheme, 1), None if is_first else start_of(scheme)
    alone = adapter(scheme, [school], start=start)
    for slot in SIZES:
        wanted = own_product(scheme, school, slot, start)
        if scheme is SchemeName.FLORA and not is_first:
            left, singular, right = np.linalg.svd(wanted)
            # The start and the fresh pair have eight directions between them, and the package room for four.
            wanted = (left[:, :4] * singular[:4]) @ right[:4]
        np.testing.assert_allclose(product(alone, slot), wanted, rtol=1e-4, atol=1e-5)


@every_scheme
@pytest.mark.parametrize("terms", [TERMS, MEAN], ids=lambda terms: terms.fusion)
def test_the_order_of_schools_does_not_change_the_result(scheme, terms):
    schools = [contribution(scheme, n, labels=n, staleness=n % 3) for n in range(1, 13)]
    shuffled = random.Random(5).sample(schools, len(schools))
    left, right = adapter(scheme, schools, terms=terms), adapter(scheme, shuffled, terms=terms)
    assert_serves_alike(left, right, rtol=1e-3, atol=1e-6)


@every_scheme
def test_a_school_beyond_the_norm_counts_as_one_scaled_down_to_it(scheme):
    loud, other = contribution(scheme, 1, scale=5.0), contribution(scheme, 2)
    norm = learnt_norm(loud.arrays)
    scaled = {
        (slot, factor): array if factor is Factor.GRAM else (array / norm * 0.5).astype(np.float32)
        for (slot, factor), array in loud.arrays.items()
    }
    result = combined(scheme, [loud, other], max_norm=0.5)
    wanted = combined(scheme, [replace(loud, arrays=scaled), other], max_norm=0.5)
    assert result.shares[0].norm == pytest.approx(norm)
    for name, array in wanted.delta.items():
        np.testing.assert_allclose(result.delta[name], array, rtol=1e-4, atol=1e-7)


@every_scheme
def test_a_school_without_weight_changes_nothing(scheme):
    schools = [contribution(scheme, 1), contribution(scheme, 2)]
    silent = contribution(scheme, 3, scale=9.0, labels=0)
    with_it, without = (combined(scheme, each).delta for each in ([*schools, silent], schools))
    for name, array in without.items():
        np.testing.assert_array_equal(with_it[name], array)


@every_scheme
def test_leaving_a_school_out_is_exactly_a_round_that_never_had_it(scheme):
    """Un-learning is the same fold without the school's updates, to the last bit."""
    schools = [contribution(scheme, number) for number in range(1, 6)]
    kept = [school for school in schools if school.node_id != "school-3"]
    again = [contribution(scheme, number) for number in (1, 2, 4, 5)]
    left, right = combined(scheme, kept).delta, combined(scheme, again).delta
    assert all(np.array_equal(left[name], right[name]) for name in right)
    assert not all(np.array_equal(left[name], combined(scheme, schools).delta[name]) for name in left)


@every_scheme
def test_memory_does_not_grow_with_the_number_of_schools(scheme):
    """Contributions come one at a time, and what stays of each is in sums of a fixed size."""
    terms = Terms(seed="s", rank=8, sizes={f"layers.{n}.o": SlotSize(48, 48) for n in range(2)})
    shapes = scheme_of(scheme).shapes_under(terms)

    def schools(count: int):
        for number in range(count):
            arrays = {
                (shape.slot, shape.factor): np.eye(shape.rows, shape.columns, dtype=np.float32) * np.float32(number + 1)
                for shape in shapes
            }
            yield Contribution(node_id=str(number), labels=1, staleness=0, arrays=arrays)

    def peak(count: int) -> int:
        tracemalloc.start()
        combined(scheme, schools(count), terms=terms)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    # FLoRA's stack is as full after either.
    few, many = peak(26), peak(56)
    # The shares themselves, a name and two figures a school, are all that may grow; the smallest update is 1 KB.
    assert many < few + 30 * 500


def spoilt(scheme: SchemeName, kind: str) -> Contribution:
    school = contribution(scheme, 9)
    arrays = dict(school.arrays)
    name = ("layers.0.down", scheme_of(scheme).factors[-1])
    if kind == "missing":
        del arrays[name]
    elif kind == "extra":
        arrays["layers.7.down", Factor.B] = np.zeros((4, 4), np.float32)
    elif kind == "shape":
        arrays[name] = np.zeros((4, 7), np.float32)
    elif kind == "nan":
        arrays[name] = np.full_like(arrays[name], np.nan)
    elif kind == "infinite":
        arrays[name] = np.full_like(arrays[name], np.inf)
    return replace(school, arrays=arrays, labels=-1 if kind == "labels" else 1, staleness=-1 if kind == "stale" else 0)


@every_scheme
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "contribution_mismatch"),
        ("extra", "contribution_mismatch"),
        ("shape", "contribution_mismatch"),
        ("nan", "contribution_not_finite"),
        ("infinite", "contribution_not_finite"),
        ("labels", "contribution_unweighable"),
        ("stale", "contribution_unweighable"),
    ],
)
def test_an_unusable_contribution_is_refused_by_its_nodes_name(scheme, kind, code):
    with pytest.raises(WireError) as caught:
        combined(scheme, [contribution(scheme, 1), spoilt(scheme, kind)], max_norm=0.5)
    assert (caught.value.code, caught.value.fields["node_id"]) == (code, "school-9")


@every_scheme
@pytest.mark.parametrize("kind", ["missing", "shape", "nan"])
def test_a_refused_contribution_leaves_the_running_sum_as_it_was(scheme, kind):
    running, untouched = (scheme_of(scheme).accumulator(TERMS) for _ in range(2))
    for each in (running, untouched):
        each.add(contribution(scheme, 1), 1.0)
    with pytest.raises(WireError):
        running.add(spoilt(scheme, kind), 1.0)
    for name, array in untouched.result().items():
        np.testing.assert_array_equal(running.result()[name], array)


@every_scheme
def test_an_aggregation_without_weight_is_refused(scheme):
    for nobody in ([], [contribution(scheme, 1, labels=0)]):
        with pytest.raises(WireError, match="nothing_to_aggregate"):
            combined(scheme, nobody)
        with pytest.raises(WireError, match="nothing_to_aggregate"):
            scheme_of(scheme).accumulator(TERMS).result()
