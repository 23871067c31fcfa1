"""What a package's own engine says of the texts: measured once for the same bytes, texts, reference and runtime."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import onnxruntime

from central.releases.packaging.parity import parity_measure, renumbered
from central.releases.packaging.quantise import WordOrder
from central.releases.packaging.reference import ReferenceMeasures
from central.releases.packaging.step_folder import step_finish
from central.releases.packaging.workshop import Workshop
from federation.inference.engine import Engine
from federation.inference.package import Parity, Perplexity

_FILE = "measures.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What goes into the card, by language."""

    perplexity: Mapping[str, Perplexity]
    parity: Mapping[str, Parity]


def package_measure(
    package: Path,
    *,
    shop: Workshop,
    texts: Mapping[str, str],
    reference: ReferenceMeasures,
    words: WordOrder | None,
) -> Measures:
    """Return what `package` makes of `texts`, beside `reference`; `words` is how its words were renumbered."""
    causes = (_digest(package), json.dumps(dict(texts), sort_keys=True), json.dumps(dict(reference.perplexity)))
    folder, is_finished = shop.place("measured", *causes, onnxruntime.__version__)
    with shop.step("measure") as part:
        if not is_finished:
            engine = Engine.load(package, threads=shop.threads)
            perplexity = {}
            for done, (language, text) in enumerate(texts.items()):
                told = partial(_part_of, part, done, len(texts) + 1)
                shipped = engine.perplexity(text, progress=told)
                perplexity[language] = asdict(Perplexity(fp32=reference.perplexity[language], shipped=shipped))
            logits = engine.logits if words is None else renumbered(engine.logits, words.old_ids)
            found = parity_measure(reference.probes, reference=reference.log_probabilities, shipped=logits)
            parity = {language: asdict(figures) for language, figures in found.items()}
            (folder / _FILE).write_text(json.dumps({"perplexity": perplexity, "parity": parity}), "utf-8")
            step_finish(folder)
    document = json.loads((folder / _FILE).read_text("utf-8"))
    return Measures(
        perplexity={language: Perplexity(**figures) for language, figures in document["perplexity"].items()},
        parity={language: Parity(**figures) for language, figures in document["parity"].items()},
    )


def _part_of(progress: Callable[[float], None], done: int, wholes: int, part: float) -> None:
    """Tell `progress` that `done` of `wholes` equal pieces of work are over, and `part` of the next."""
    progress((done + part) / wholes)


def _digest(package: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(package.iterdir()):
        with path.open("rb") as stream:
            whole.update(f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
