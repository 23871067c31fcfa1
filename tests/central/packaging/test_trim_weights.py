import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from central.releases.packaging.errors import CheckpointIncomplete
from central.releases.packaging.text_names import EMBEDDING, HEAD, NORM
from central.releases.packaging.trim_weights import embedding_rows, weights_trim


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float8_e4m3fn])
def test_kept_rows_and_all_other_tensors_come_over_bit_by_bit(tmp_path, dtype):
    # 24 MB in four bytes: more than is read at once, and rows that do not divide it.
    table = torch.arange(70_000)[:, None].expand(-1, 90).add(torch.arange(90)).remainder(241).to(dtype).contiguous()
    tensors = {EMBEDDING: table, HEAD: table.roll(1, 1), NORM: table[7:9].clone()}
    (tmp_path / "into").mkdir()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    rows = np.flatnonzero(np.random.default_rng(1).random(70_000) < 0.4).tolist()
    told = []
    saved = weights_trim(folder=tmp_path, into=tmp_path / "into", rows=rows, progress=told.append)
    after = load_file(tmp_path / "into" / "model.safetensors")
    assert after.keys() == tensors.keys()
    for name in (EMBEDDING, HEAD):
        assert torch.equal(after[name].view(torch.uint8), tensors[name].view(torch.uint8)[rows])
    assert torch.equal(after[NORM].view(torch.uint8), tensors[NORM].view(torch.uint8))
    assert saved == 2 * (70_000 - len(rows)) * 90 * table.element_size()
    with safe_open(tmp_path / "into" / "model.safetensors", framework="pt") as reader:
        assert reader.metadata() == {"format": "pt"}
    assert told == [1.0]


def test_the_list_of_shards_tells_the_sizes_that_are_true_now(tmp_path):
    table = torch.arange(40.0).reshape(10, 4)
    save_file({EMBEDDING: table}, tmp_path / "model-1.safetensors")
    save_file({NORM: table[0].clone()}, tmp_path / "model-2.safetensors")
    index = {
        "metadata": {"total_size": 176, "total_parameters": 44},
        "weight_map": {EMBEDDING: "model-1.safetensors", NORM: "model-2.safetensors"},
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "into").mkdir()
    weights_trim(folder=tmp_path, into=tmp_path / "into", rows=[0, 3, 9], progress=lambda part: None)
    after = json.loads((tmp_path / "into" / "model.safetensors.index.json").read_text())
    assert after["metadata"] == {"total_size": 64, "total_parameters": 16}
    assert after["weight_map"] == index["weight_map"]
    assert embedding_rows(tmp_path / "into") == 3


def test_a_checkpoint_without_an_embedding_is_refused(tmp_path):
    save_file({NORM: torch.zeros(4)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointIncomplete) as caught:
        embedding_rows(tmp_path)
    assert caught.value.fields["missing"] == EMBEDDING
