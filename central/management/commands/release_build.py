"""`central release_build`: a base release from a checkpoint, through export, quantisation and the gate."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.releases.build import base_build
from central.releases.describe import release_describe
from central.releases.models import ReleaseKindChoice
from central.releases.recipe import BUILDER, EXPORTERS, INT8, LANGUAGES, MAX_INCREASE, QUANTISATIONS, Recipe
from central.releases.services import release_draft_create

ACTOR = "command line"


class Command(CentreCommand):
    """Build a base release in this process; progress goes to standard error."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the checkpoint and the title."""
        parser.add_argument("--checkpoint", default="", help="folder, GGUF file or hub id (default: the stand-in)")
        parser.add_argument("--title", required=True)
        parser.add_argument(
            "--chat-tuning",
            choices=("auto", "yes", "no"),
            default="auto",
            help="tune a checkpoint that cannot chat to the chat format first (auto: only the stand-in)",
        )
        parser.add_argument(
            "--languages",
            default=",".join(LANGUAGES),
            help="whose words stay in the vocabulary, for instance tg,ru,en (empty: the whole vocabulary)",
        )
        parser.add_argument(
            "--quantisation",
            default=INT8,
            metavar="NAME[,NAME]",
            help=f"what holds the weights: {', '.join(QUANTISATIONS)} (default int8); fp16 and fp8 are for a GPU. "
            "Several make a release of variants: the first for every school, the others, best first, for PCs that fit",
        )
        parser.add_argument(
            "--max-perplexity-increase",
            type=float,
            default=MAX_INCREASE,
            metavar="SHARE",
            help="refuse a package that is further off fp32; mixed chooses bits within it (default 0.03)",
        )
        parser.add_argument("--max-bytes", type=int, metavar="N", help="mixed: the best package of at most N bytes")
        parser.add_argument(
            "--exporter",
            choices=EXPORTERS,
            default=BUILDER,
            help="what makes the graph: onnxruntime-genai's builder (default), or optimum, which knows more models",
        )
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Build, and print what became of it."""
        tuning = options["chat_tuning"]
        release = release_draft_create(
            kind=ReleaseKindChoice.BASE,
            title=options["title"],
            checkpoint=options["checkpoint"],
            has_chat_tuning=tuning == "yes" or (tuning == "auto" and not options["checkpoint"]),
            recipe=_recipe(options),
            actor=ACTOR,
            now=timezone.now(),
        )
        base_build(release=release, disk=centre_disk(), actor=ACTOR, clock=timezone.now, watcher=self._show)
        description = release_describe(release)
        self.answer(description, as_json=options["json"], text=f"Release {release.version}: {release.status}")

    def _show(self, stage: str, share: float) -> None:
        self.stderr.write(f"{stage} {share:.0%}")


def _recipe(options: dict[str, Any]) -> Recipe:
    quantisation, *further = options["quantisation"].split(",")
    return Recipe(
        languages=tuple(language for language in options["languages"].split(",") if language),
        quantisation=quantisation,
        max_increase=options["max_perplexity_increase"],
        max_bytes=options["max_bytes"],
        further=tuple(further),
        exporter=options["exporter"],
    )
