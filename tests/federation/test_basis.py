"""The frozen factors: the same at every school for good, and as long as the schemes count on."""

import hashlib

import numpy as np
import pytest

from federation.basis import frozen_a, frozen_b

A = {"seed": "autumn", "slot": "layers.0.down", "d_in": 2048, "rank": 64}
B = {"seed": "autumn", "slot": "layers.0.down", "rank": 64, "d_out": 640}


@pytest.mark.parametrize(
    ("factor", "digest"),
    [
        (frozen_a(**A), "48f8db6843d9fb19fc21109cc3558bfd92cd8b064bb81b9b56c62c058b193bcc"),
        (frozen_b(**B), "0ec2b48e0c15b87aea8226aae91184ce43204720ef314da08e24d242c177e4fc"),
    ],
    ids=["A", "B"],
)
def test_the_frozen_factors_are_those_of_every_season_so_far(factor, digest):
    signs = np.packbits(factor > 0).tobytes()
    assert hashlib.sha256(signs).hexdigest() == digest, "updates and adapters that exist would mean something else"


def test_each_entry_is_one_length_up_or_down():
    assert set(np.unique(frozen_a(**A))) == {np.float32(-1 / 8), np.float32(1 / 8)}
    assert set(np.abs(np.unique(frozen_b(**B)))) == {np.float32(1) / np.float32(np.sqrt(640))}


def test_the_frozen_b_is_nearly_orthonormal_so_a_core_is_as_long_as_the_b_that_it_serves():
    b = frozen_b(**B).astype(np.float64)
    assert np.abs(b @ b.T - np.eye(64)).max() < 0.2
    core = np.random.default_rng(1).normal(size=(64, 64))
    assert np.linalg.norm(core @ b) == pytest.approx(np.linalg.norm(core), rel=0.05)


def test_slots_seeds_and_the_two_factors_of_a_slot_differ():
    square = {"seed": "s", "slot": "layers.0.o", "rank": 32}
    drawn = [
        frozen_a(d_in=32, **square),
        frozen_b(d_out=32, **square),
        frozen_a(d_in=32, **square | {"slot": "layers.1.o"}),
        frozen_a(d_in=32, **square | {"seed": "t"}),
    ]
    for number, left in enumerate(drawn):
        for right in drawn[number + 1 :]:
            assert 0.4 < np.mean(np.sign(left) == np.sign(right)) < 0.6
