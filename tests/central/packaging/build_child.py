"""A build in a process of its own, to be killed: `python -m … SOURCE INTO WORK`; each word of progress is a line."""

import sys
import warnings
from pathlib import Path

import torch

from central.releases.packaging.build import package_build
from central.releases.packaging.checkpoint import checkpoint_cached
from central.releases.packaging.step_folder import steps_hold
from central.releases.recipe import Recipe

TEXTS = {"tg": "салом ҷаҳон, дӯст! ҳоло баҳор аст. " * 20, "en": "the cat and the dog, again. " * 5}


def main(source: str, into: str, work: str) -> None:
    """Build as the centre does."""
    # Threads cost far more than they save on matrices this small.
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with steps_hold(Path(work)):
        checkpoint = checkpoint_cached(source=Path(source), work=Path(work), progress=tell)
        package_build(
            checkpoint=checkpoint,
            texts=TEXTS,
            into=Path(into),
            work=Path(work),
            progress=tell,
            recipe=Recipe(languages=("tg",), max_increase=0.9),
            tune=False,
            threads=1,
            # As if the model were too large to be held as a whole.
            largest_whole=0,
        )


def tell(step: str, share: float) -> None:
    """Print one line and wait for the reader's, so that a killer finds the build where it says that it is."""
    sys.stdout.write(f"{step} {share}\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
