"""How the next token is picked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.inference.sampling import Sampler, Sampling

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def drawn(sampling, count, logits=LOGITS):
    sampler = Sampler(sampling)
    return [sampler.pick(logits) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest():
    assert set(drawn(Sampling(), 20)) == {0}


def test_tokens_come_as_often_as_they_are_likely():
    shares = np.bincount(drawn(Sampling(temperature=1.0, seed=1), 4000), minlength=4) / 4000
    # Four standard deviations of a share of 4,000 draws are at most 0.032.
    assert shares == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.032)


def test_a_low_temperature_sharpens():
    shares = np.bincount(drawn(Sampling(temperature=0.5, seed=1), 4000), minlength=4) / 4000
    squares = np.array([0.25, 0.09, 0.0225, 0.0025])
    assert shares == pytest.approx(squares / squares.sum(), abs=0.032)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.5, {0}), (0.51, {0, 1}), (0.8, {0, 1}), (0.81, {0, 1, 2}), (1.0, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p, kept):
    assert set(drawn(Sampling(temperature=1.0, top_p=top_p, seed=2), 400)) == kept


@given(st.integers(1, 1000), st.integers(0, 2**31 - 1))
def test_a_draw_is_a_token_and_the_same_seed_draws_the_same(size, seed):
    logits = np.random.default_rng(size).normal(size=size).astype(np.float32)
    first = drawn(Sampling(temperature=1.3, top_p=0.9, seed=seed), 5, logits)
    assert first == drawn(Sampling(temperature=1.3, top_p=0.9, seed=seed), 5, logits)
    assert all(0 <= token < size for token in first)
