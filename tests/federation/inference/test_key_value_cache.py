"""The rows of keys and values."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from federation.inference.key_value_cache import CacheShape, KeyValueCache

SHAPE = CacheShape(heads=2, head_size=256, tokens=1024, windows=(64, 0, 64))


@pytest.fixture
def cache():
    return KeyValueCache(SHAPE, rows=3)


def written(cache, row, tokens):
    """Write as the attention does: the number of the token into every layer, part and head."""
    start = cache.length(row)
    for token in range(start, start + tokens):
        cache._values[:, :, row, :, token] = token + 1
    cache.extend(row, range(start, start + tokens))


def held(cache, row, layer):
    return np.flatnonzero(cache._values[layer, 0, row, 0, :, 0])


def looked_back_to(cache, row):
    """What a next token finds: the whole row in the layer without a window, 64 tokens and itself in the others."""
    return [held(cache, row, layer).tolist()[0 if layer == 1 else -65 :] for layer in range(3)]


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_layers_with_a_window_give_back_what_is_behind_it_and_the_others_keep_all(cache):
    written(cache, 1, 400)
    for layer in (0, 2):
        tokens = held(cache, 1, layer)
        # Whole pages of memory are given back: of a page, here four tokens, the rest may stay.
        assert tokens[-1] == 399
        assert 335 - 4 <= tokens[0] <= 335
    assert len(held(cache, 1, 1)) == 400


def test_a_beginning_is_known_only_while_all_is_there_that_a_next_token_looks_back_to(cache):
    written(cache, 0, 400)
    ids = list(range(400))
    assert cache.shared_prefix(0, [*ids, 7, 8]) == 400
    assert cache.shared_prefix(0, [*ids[:399], 9999]) == 0
    short = KeyValueCache(SHAPE, rows=1)
    written(short, 0, 150)
    assert short.shared_prefix(0, [*ids[:100], 9999]) == 100


def test_a_row_that_was_emptied_takes_no_memory_and_remembers_nothing(cache):
    before = resident_bytes()
    written(cache, 2, 1000)
    assert resident_bytes() - before > 3 * 2**20
    cache.forget(2)
    assert resident_bytes() - before < 2**20
    assert (cache.length(2), cache.touched(2), cache.shared_prefix(2, [0, 1])) == (0, 0, 0)


def test_rows_change_places_with_all_that_they_hold(cache):
    written(cache, 0, 400)
    written(cache, 1, 10)
    before = looked_back_to(cache, 0)
    cache.swap(0, 1)
    assert looked_back_to(cache, 1) == before
    assert held(cache, 0, 0)[:10].tolist() == list(range(10))
    assert (cache.length(0), cache.length(1)) == (10, 400)
    assert cache.shared_prefix(1, list(range(400))) == 400


def test_rows_change_places_one_layer_at_a_time(cache):
    written(cache, 0, 1000)
    written(cache, 1, 1000)
    tracemalloc.start()
    cache.swap(0, 1)
    copied = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One row's layer is set aside, and another may be while it is copied; whole rows would be three of each.
    assert copied < 2.1 * 1000 * SHAPE.bytes_per_token / SHAPE.layers


def test_a_copied_beginning_holds_what_its_source_holds(cache):
    written(cache, 0, 300)
    cache.prefix_copy(source=0, into=2, tokens=300)
    assert looked_back_to(cache, 2) == looked_back_to(cache, 0)
    assert cache.shared_prefix(2, list(range(300))) == 300
