import hashlib
import json

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.adapter_file import (
    AdapterDamaged,
    AdapterForAnotherBase,
    AdapterNotFinite,
    AdapterShapeMismatch,
    AdapterTooNew,
    adapter_read,
    adapter_write,
)
from federation.basis import frozen_a
from federation.errors import FederationError
from federation.inference.adapter import adapter_expand
from federation.inference.errors import AdapterRankTooLarge
from federation.inference.package import FORMAT, PackageCard, Slot

BASE = "a" * 64
SLOTS = (Slot("layers.0.o", 12, 20), Slot("layers.0.qkv", 16, 24))


def factors(*, seed=1, rank=4):
    draw = np.random.default_rng(seed)
    return {slot.name: draw.normal(0, 1, (rank, slot.d_out)).astype(np.float32) for slot in SLOTS}


def card(*, slots=SLOTS, max_rank=64):
    return PackageCard(
        format=FORMAT,
        name="tiny",
        architecture="gemma3_text",
        licence="none",
        hidden_size=16,
        layers=1,
        vocab_size=32,
        context_tokens=64,
        quantisation="int8",
        max_rank=max_rank,
        slots=slots,
        perplexity={},
    )


def learnt_a(*, seed=3, rank=4):
    draw = np.random.default_rng(seed)
    return {slot.name: draw.normal(0, 1, (slot.d_in, rank)).astype(np.float32) for slot in SLOTS}


def write(path, b, rank=4, a=None):
    adapter_write(path, base_digest=BASE, seed="round-1", rank=rank, b=b, a=a)
    return path


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_factors_in_any_order_give_the_same_bytes(tmp_path):
    b = factors()
    one = write(tmp_path / "one", b).read_bytes()
    assert write(tmp_path / "two", dict(reversed(b.items()))).read_bytes() == one
    digest = hashlib.sha256(one).hexdigest()
    assert digest == "21a70aff55cc3939732bb92859f3662551167849f4a11aaf9fd1e685bb0baded", (
        "the format of adapters that schools already hold has changed"
    )


def test_factors_come_back_within_half_a_step_and_then_never_change(tmp_path):
    b = factors()
    read = adapter_read(write(tmp_path / "one", b), base_digest=BASE)
    assert (read.rank, read.seed) == (4, "round-1")
    for name, values in b.items():
        step = np.abs(values).max(axis=1, keepdims=True) / 127
        assert np.all(np.abs(read.b[name] - values) <= step * 0.5001)
    assert write(tmp_path / "two", read.b).read_bytes() == (tmp_path / "one").read_bytes()


def test_an_adapter_of_270m_at_rank_8_is_at_most_1100000_bytes(tmp_path):
    columns = {"qkv": 1536, "o": 640, "gate": 2048, "up": 2048, "down": 640}
    draw = np.random.default_rng(2)
    b = {
        f"layers.{i}.{part}": draw.normal(0, 1, (8, width)).astype(np.float32)
        for i in range(18)
        for part, width in columns.items()
    }
    assert write(tmp_path / "adapter.bin", b, rank=8).stat().st_size <= 1_100_000


def test_an_adapter_for_another_base_is_refused(tmp_path):
    path = write(tmp_path / "one", factors())
    with pytest.raises(AdapterForAnotherBase) as caught:
        adapter_read(path, base_digest="b" * 64)
    assert caught.value.fields == {"expected": "b" * 64, "found": BASE}


def test_a_factor_that_is_not_finite_is_refused_and_nothing_is_written(tmp_path):
    b = factors()
    b["layers.0.o"][1, 2] = np.nan
    with pytest.raises(AdapterNotFinite):
        write(tmp_path / "one", b)
    assert list(tmp_path.iterdir()) == []


def test_a_learnt_a_travels_with_its_b_and_never_changes_again(tmp_path):
    a, b = learnt_a(), factors()
    read = adapter_read(write(tmp_path / "one", b, a=a), base_digest=BASE)
    for name, values in a.items():
        step = np.abs(values).max(axis=0, keepdims=True) / 127
        assert np.all(np.abs(read.a[name] - values) <= step * 0.5001)
    alone = adapter_read(write(tmp_path / "two", b), base_digest=BASE)
    assert alone.a is None
    assert alone.factors.b.keys() == read.factors.b.keys()
    for name, values in alone.b.items():
        np.testing.assert_array_equal(read.b[name], values)
    assert digest_of(write(tmp_path / "again", read.b, a=read.a)) == digest_of(tmp_path / "one")
    assert digest_of(tmp_path / "one") == "82c2321bb2e6babd02af60694086d61430a2364ccdbba799f025ff9bafad95e6", (
        "the format of adapters that schools already hold has changed"
    )


def test_a_learnt_a_that_does_not_fit_its_b_is_refused_and_nothing_is_written(tmp_path):
    whole = learnt_a()
    name = "layers.0.o"
    for a, error in (
        ({name: whole[name]}, AdapterShapeMismatch),
        (whole | {name: whole[name][:, :3]}, AdapterShapeMismatch),
        (whole | {name: np.full((12, 4), np.inf, np.float32)}, AdapterNotFinite),
    ):
        with pytest.raises(error):
            write(tmp_path / "one", factors(), a=a)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_newer_format_says_that_the_program_is_too_old(tmp_path):
    content = write(tmp_path / "one", factors()).read_bytes()
    (tmp_path / "new").write_bytes(content.replace(b'"format":1', b'"format":3'))
    with pytest.raises(AdapterTooNew) as caught:
        adapter_read(tmp_path / "new", base_digest=BASE)
    assert caught.value.fields == {"needed": 3, "has": 2}


@pytest.mark.parametrize(
    "slots", [[["a", 8], ["b", -4]], [["a", 8], ["b", 0]], [["a", "8"]], [["a", 8.0]], [["a"]], "a"]
)
def test_a_header_with_an_impossible_slot_is_refused(tmp_path, slots):
    """The first is as long as its body: 1 × (4 + 8) + 1 × (4 - 4) bytes."""
    header = {"format": 1, "base": BASE, "seed": "s", "rank": 1, "slots": slots}
    text = json.dumps(header).encode()
    (tmp_path / "one").write_bytes(b"SOROLORA" + len(text).to_bytes(4, "little") + text + bytes(12))
    with pytest.raises(AdapterDamaged):
        adapter_read(tmp_path / "one", base_digest=BASE)


def test_a_header_of_one_format_over_the_body_of_the_other_is_refused(tmp_path):
    for a, old, new in ((None, b'"format":1', b'"format":2'), (learnt_a(), b'"format":2', b'"format":1')):
        content = write(tmp_path / "one", factors(), a=a).read_bytes()
        (tmp_path / "other").write_bytes(content.replace(old, new))
        with pytest.raises(AdapterDamaged):
            adapter_read(tmp_path / "other", base_digest=BASE)


@given(where=st.integers(0, 800), byte=st.integers(0, 255), has_a=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_gives_other_numbers_or_a_refusal_with_a_code(tmp_path, where, byte, has_a):
    content = bytearray(write(tmp_path / "one", factors(), a=learnt_a() if has_a else None).read_bytes())
    content[where % len(content)] = byte
    (tmp_path / "one").write_bytes(content)
    try:
        read = adapter_read(tmp_path / "one", base_digest=BASE)
    except FederationError:
        return
    assert all(np.isfinite(values).all() for values in read.b.values())


@pytest.mark.parametrize("has_a", [True, False])
def test_the_engines_file_holds_the_adapters_own_a_or_the_seeds(tmp_path, has_a):
    adapter = adapter_read(write(tmp_path / "one", factors(), a=learnt_a() if has_a else None), base_digest=BASE)
    adapter_expand(adapter, card=card(), into=tmp_path / "expanded")
    held = onnxruntime.AdapterFormat.read_adapter(str(tmp_path / "expanded")).get_parameters()
    assert len(held) == 4
    for slot in SLOTS:
        a = frozen_a(seed="round-1", slot=slot.name, d_in=slot.d_in, rank=4)
        wanted = adapter.a[slot.name] if has_a else a
        np.testing.assert_array_equal(held[f"lora.{slot.name}.A"].numpy(), wanted)
        np.testing.assert_array_equal(held[f"lora.{slot.name}.B"].numpy(), adapter.b[slot.name])


def test_an_a_of_another_size_than_the_packages_is_refused(tmp_path):
    adapter = adapter_read(write(tmp_path / "one", factors(), a=learnt_a()), base_digest=BASE)
    slots = (Slot("layers.0.o", 13, 20), SLOTS[1])
    with pytest.raises(AdapterShapeMismatch):
        adapter_expand(adapter, card=card(slots=slots), into=tmp_path / "expanded")
    assert not (tmp_path / "expanded").exists()


def test_a_cut_or_foreign_file_is_refused(tmp_path):
    content = write(tmp_path / "one", factors()).read_bytes()
    for damaged in (b"", b"PK\3\4", content[:7], content[:11], content[:40], content[:-1], content + b"\0"):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(AdapterDamaged):
            adapter_read(tmp_path / "damaged", base_digest=BASE)


def test_a_slot_that_the_package_lacks_or_has_in_another_size_is_refused(tmp_path):
    adapter = adapter_read(write(tmp_path / "one", factors()), base_digest=BASE)
    for slots in (SLOTS[:1], (SLOTS[0], Slot("layers.0.qkv", 16, 25))):
        with pytest.raises(AdapterShapeMismatch):
            adapter_expand(adapter, card=card(slots=slots), into=tmp_path / "expanded")
    assert not (tmp_path / "expanded").exists()


@pytest.mark.parametrize(("rank", "largest"), [(5, 4), (65, 64)])
def test_an_adapter_of_a_higher_rank_than_the_card_allows_is_refused(tmp_path, rank, largest):
    adapter = adapter_read(write(tmp_path / "one", factors(rank=rank), rank=rank), base_digest=BASE)
    with pytest.raises(AdapterRankTooLarge) as caught:
        adapter_expand(adapter, card=card(max_rank=largest), into=tmp_path / "expanded")
    assert caught.value.fields == {"found": rank, "largest": largest}
    assert not (tmp_path / "expanded").exists()
    adapter_expand(adapter, card=card(max_rank=rank), into=tmp_path / "expanded")
    assert (tmp_path / "expanded").exists()
