"""How near a package is to its reference, token by token."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from central.releases.packaging.parity import log_probabilities, parity_measure, probes_make
from federation.inference.engine import Engine

TEXTS = {"tg": "салом ҷаҳон, дӯст! ҳоло баҳор аст. " * 8}


@pytest.fixture(scope="module")
def engine(packaged):
    return Engine.load(packaged / "package", threads=1)


@pytest.fixture(scope="module")
def model(packaged):
    return AutoModelForCausalLM.from_pretrained(packaged / "checkpoint", dtype=torch.float32)


def test_the_probes_reach_over_the_sliding_window_and_stay_in_the_context(engine):
    short, long = probes_make(engine.tokenizer, TEXTS, context_tokens=128, window_tokens=64)
    assert (len(short.ids), len(long.ids)) == (96, 128)
    assert short.ids == long.ids[:96]
    assert short.ids[0] == engine.tokenizer.bos
    _, longer = probes_make(engine.tokenizer, TEXTS, context_tokens=4096, window_tokens=20)
    assert len(longer.ids) == 20 + 128


def test_the_package_expects_what_pytorch_expects_and_a_changed_one_does_not(engine, model):
    probes = probes_make(engine.tokenizer, TEXTS, context_tokens=128, window_tokens=64)
    with torch.no_grad():
        reference = [log_probabilities(model(torch.tensor([probe.ids])).logits[0, -16:].numpy()) for probe in probes]
    near = parity_measure(probes, reference=reference, shipped=engine.logits)["tg"]
    # A random model this small is far more upset by 8-bit activations than a real one.
    assert max(near.divergence_short, near.divergence_long) < 0.3
    assert near.agreement > 0.5
    far = parity_measure(probes, reference=reference, shipped=lambda ids, last: -engine.logits(ids, last))["tg"]
    assert far.divergence_short > 5 * near.divergence_short
    assert far.agreement < near.agreement


def test_equal_expectations_have_no_divergence(engine):
    probes = probes_make(engine.tokenizer, TEXTS, context_tokens=64, window_tokens=64)
    reference = [log_probabilities(engine.logits(probe.ids, 8)) for probe in probes]
    same = parity_measure(probes, reference=reference, shipped=engine.logits)["tg"]
    assert (same.divergence_short, same.divergence_long) == pytest.approx((0, 0), abs=1e-6)
    assert same.agreement == 1
    assert np.allclose(np.exp(reference[0]).sum(axis=-1), 1, atol=1e-4)
