"""Both references of a package, optimum's graph and PyTorch a layer at a time, say the same."""

import numpy as np
import pytest
import torch

from central.releases.packaging.layer_stream import LayerStream
from central.releases.packaging.reference import reference_open, reference_stream, reference_whole
from tests.tiny_checkpoint import tiny_prepared

TEXTS = {"tg": "салом ҷаҳон, дӯст! ҳоло баҳор аст. " * 30, "en": "the cat and the dog, again. " * 9}
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    folder = tmp_path_factory.mktemp("reference")
    return tiny_prepared(folder, layer_types=kinds, rope_scaling={"rope_type": "linear", "factor": 8.0})


def measure(checkpoint, into, reference, told=None, **more):
    into.mkdir(exist_ok=True)
    progress = (told if told is not None else []).append
    reference(checkpoint, texts=TEXTS, into=into, progress=progress, **more)
    return reference_open(into)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's and optimum's exporters warn of their own old calls.
def test_the_streamed_reference_has_the_figures_of_the_exported_one(checkpoint, tmp_path):
    whole = measure(checkpoint, tmp_path / "whole", reference_whole, threads=1)
    streamed = measure(checkpoint, tmp_path / "streamed", reference_stream)
    assert streamed.probes == whole.probes
    # Two runtimes in float32.
    assert streamed.perplexity == pytest.approx(whole.perplexity, rel=1e-4)
    for ours, theirs in zip(streamed.log_probabilities, whole.log_probabilities, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_a_streamed_reference_that_was_cut_goes_on_behind_its_last_layer(checkpoint, tmp_path):
    whole = measure(checkpoint, tmp_path / "whole", reference_stream)

    class Cut(Exception):
        pass

    def cut(share):
        if share > 0.5:
            raise Cut

    (tmp_path / "cut").mkdir()
    with pytest.raises(Cut):
        reference_stream(checkpoint, texts=TEXTS, into=tmp_path / "cut", progress=cut)
    told = []
    again = measure(checkpoint, tmp_path / "cut", reference_stream, told)
    # Two of three layers were done before.
    assert told == [1.0]
    assert again.perplexity == whole.perplexity
    assert all(map(np.array_equal, again.log_probabilities, whole.log_probabilities))
    assert not (tmp_path / "cut" / "states.pt").exists()


def test_texts_run_together_have_the_states_of_each_alone(checkpoint):
    stream = LayerStream(checkpoint.folder)
    texts = [stream.embedded([2, *range(10, 10 + length)]) for length in (3, 70, 90, 128)]
    together = stream.states(texts)
    for text, states in zip(texts, together, strict=True):
        torch.testing.assert_close(stream.states([text])[0], states, atol=1e-4, rtol=1e-4)
