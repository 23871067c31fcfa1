"""How a checkpoint becomes a package, or several: what the operator chose, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from federation.errors import CapacityError

LANGUAGES = ("tg", "ru", "en")
INT8, INT4, MIXED, FP16, FP8 = "int8", "int4", "mixed", "fp16", "fp8"
QUANTISATIONS = (INT8, INT4, MIXED, FP16, FP8)
GPU_QUANTISATIONS = (FP16, FP8)
BUILDER, OPTIMUM = "builder", "optimum"
EXPORTERS = (BUILDER, OPTIMUM)
MAX_INCREASE = 0.03


class RecipeInvalid(CapacityError):
    """The choice `name` of a build cannot be `value`."""

    code = "recipe_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is chosen for a build.

    `languages` keep their words in the vocabulary; none keeps all of it. `quantisation` is int8 or int4 everywhere, or
    mixed: then each matrix gets its own bits, within `max_increase` of the perplexity (0.03 is three percent), or, with
    `max_bytes`, the best that a package of that size can be. fp16 and fp8 hold small floats, for PCs with a GPU.
    `further` names the release's further variants, in the order of preference, for PCs that can carry them; every
    school can run the first, so that one is not for a GPU then.
    `exporter` makes the graph: onnxruntime-genai's builder, or optimum for an architecture that the builder lacks.

    Raises:
        RecipeInvalid: a choice is impossible.
    """

    languages: tuple[str, ...] = LANGUAGES
    quantisation: str = INT8
    max_increase: float = MAX_INCREASE
    max_bytes: int | None = None
    further: tuple[str, ...] = ()
    exporter: str = BUILDER

    def __post_init__(self) -> None:
        unknown = [language for language in self.languages if language not in LANGUAGES]
        if unknown:
            raise RecipeInvalid(name="languages", value=unknown[0])
        named = (self.quantisation, *self.further)
        is_known = all(name in QUANTISATIONS for name in named) and len(set(named)) == len(named)
        if not is_known or (self.further and self.quantisation in GPU_QUANTISATIONS):
            raise RecipeInvalid(name="quantisation", value=",".join(named))
        if not 0 < self.max_increase < 1:
            raise RecipeInvalid(name="max-perplexity-increase", value=self.max_increase)
        if self.max_bytes is not None and (self.max_bytes < 1 or MIXED not in named):
            raise RecipeInvalid(name="max-bytes", value=self.max_bytes)
        if self.exporter not in EXPORTERS:
            raise RecipeInvalid(name="exporter", value=self.exporter)

    def variants(self) -> tuple[Recipe, ...]:
        """Return the recipe of each variant, named by its quantisation; of a release of one form, that recipe."""
        return tuple(
            replace(self, quantisation=name, max_bytes=self.max_bytes if name == MIXED else None, further=())
            for name in (self.quantisation, *self.further)
        )

    def plain(self) -> dict[str, Any]:
        """Return the recipe as JSON holds it."""
        return asdict(self) | {"languages": list(self.languages), "further": list(self.further)}


def recipe_read(plain: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `plain` (see `Recipe.plain`) holds; what is missing is as by default.

    Raises:
        RecipeInvalid: a choice is impossible.
    """
    kinds: dict[str, type | tuple[type, ...]] = {
        "languages": list,
        "quantisation": str,
        "max_increase": (int, float),
        "max_bytes": (int, type(None)),
        "further": list,
        "exporter": str,
    }
    for name, value in plain.items():
        if name not in kinds or not isinstance(value, kinds[name]):
            raise RecipeInvalid(name=name, value=value)
    chosen: dict[str, Any] = dict(plain)
    chosen |= {name: tuple(map(str, chosen[name])) for name in ("languages", "further") if name in chosen}
    return Recipe(**chosen)
