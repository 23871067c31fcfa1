import numpy as np
import pytest
import torch

from central.releases.packaging.build import package_build
from central.releases.packaging.errors import QuantisationTooLossy
from federation.inference.engine import Engine
from federation.inference.package import FILES, package_open
from tests.tiny_checkpoint import tiny_prepared

TEXTS = {"tg": "салом ҷаҳон, дӯст! ҳоло баҳор аст.", "en": "the cat and the dog, again."}
# Threads cost far more than they save on matrices this small.
torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's and optimum's exporters warn of their own old calls.
def test_a_build_leaves_only_what_a_node_needs_and_a_second_one_the_same_bytes(tmp_path):
    checkpoint = tiny_prepared(tmp_path)
    told = []
    made = []
    for name in ("one", "two"):
        card = package_build(
            checkpoint=checkpoint,
            texts=TEXTS,
            into=tmp_path / name,
            work=tmp_path / "work",
            progress=lambda step, part: told.append((step, part)),
            threads=1,
        )
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(FILES)
        assert card == package_open(tmp_path / name)
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert made[0] == made[1]
    assert told.count(("chat tuning", 1.0)) >= 2
    engine = Engine.load(tmp_path / "one", threads=1)
    for language, text in TEXTS.items():
        assert np.isclose(engine.perplexity(text), card.perplexity[language].shipped, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_package_that_lost_too_much_is_refused_and_nothing_is_left(tmp_path):
    checkpoint = tiny_prepared(tmp_path)
    with pytest.raises(QuantisationTooLossy):
        package_build(
            checkpoint=checkpoint,
            texts=TEXTS,
            into=tmp_path / "out" / "package",
            work=tmp_path / "work",
            progress=lambda step, part: None,
            tune=False,
            threads=1,
            allowed_increase=-0.5,
        )
    assert list((tmp_path / "out").iterdir()) == []
