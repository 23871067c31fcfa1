"""Releases and the files that they are made of."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from central.releases.recipe import RecipeInvalid, recipe_read
from central.schools.models_facts import SharedFact
from central.schools.reach import EVERYWHERE
from central.schools.transitions import HasStatus, Moves, moves
from central.words import sentence
from federation.wire.releases import ReleaseKind


class ReleaseStatus(models.TextChoices):
    """How far a release has come."""

    DRAFT = "draft", _("draft")
    BUILDING = "building", _("building")
    BUILD_FAILED = "build_failed", _("build failed")
    GATED = "gated", _("at the gate")
    REFUSED = "refused", _("refused")
    AWAITING_SIGNATURE = "awaiting_signature", _("awaiting signature")
    READY = "ready", _("ready")
    DEPRECATED = "deprecated", _("deprecated")
    REVOKED = "revoked", _("revoked")


class ReleaseKindChoice(models.TextChoices):
    """A base goes out once; adapters on it are small."""

    BASE = ReleaseKind.BASE.value, _("base")
    ADAPTER = ReleaseKind.ADAPTER.value, _("adapter")


_BUILT = [
    ReleaseStatus.GATED,
    ReleaseStatus.REFUSED,
    ReleaseStatus.AWAITING_SIGNATURE,
    ReleaseStatus.READY,
    ReleaseStatus.DEPRECATED,
    ReleaseStatus.REVOKED,
]


def recipe_check(plain: object) -> None:
    """Refuse what is no recipe, in a form of the admin.

    Raises:
        ValidationError: a choice is impossible.
    """
    try:
        recipe_read(plain if isinstance(plain, dict) else {"": plain})
    except RecipeInvalid as error:
        raise ValidationError(sentence(error.code, error.fields)) from error


IN_FORCE = (ReleaseStatus.READY, ReleaseStatus.DEPRECATED)
"""Statuses of releases that TUF's targets hold, and schools may run."""
NEVER_DRAWN = ("index_bytes", "verdict_bytes", "contributions")
"""Large fields that no page shows; an index has 300 kB."""
_BULKY = (*NEVER_DRAWN, "gate_report", "card")


def bulky(*paths: str) -> list[str]:
    """Return the names of the large fields of the releases at `paths`, for whoever defers them; an index has 300 kB."""
    return [f"{path}__{name}" for path in paths for name in _BULKY]


class ReleaseQuerySet(models.QuerySet["Release"]):
    """Named choices of releases."""

    def in_force(self) -> ReleaseQuerySet:
        """Releases that TUF's targets hold."""
        return self.filter(status__in=IN_FORCE)


class Release(HasStatus, SharedFact):
    """One release: what it was made from, what the gate said, and the exact bytes of its index and verdict."""

    REGION: ClassVar[str] = EVERYWHERE
    MOVES: ClassVar[Moves] = moves(
        {
            ReleaseStatus.DRAFT: (ReleaseStatus.BUILDING,),
            ReleaseStatus.BUILDING: (ReleaseStatus.BUILD_FAILED, ReleaseStatus.GATED),
            ReleaseStatus.BUILD_FAILED: (ReleaseStatus.DRAFT,),
            ReleaseStatus.GATED: (ReleaseStatus.REFUSED, ReleaseStatus.AWAITING_SIGNATURE),
            ReleaseStatus.AWAITING_SIGNATURE: (ReleaseStatus.READY, ReleaseStatus.REFUSED),
            ReleaseStatus.READY: (ReleaseStatus.DEPRECATED, ReleaseStatus.REVOKED),
            ReleaseStatus.DEPRECATED: (ReleaseStatus.REVOKED,),
        }
    )

    kind = models.CharField(_("kind"), max_length=8, choices=ReleaseKindChoice.choices)
    version = models.PositiveIntegerField(_("version"), unique=True)
    title = models.CharField(_("title"), max_length=200)
    status = models.CharField(_("status"), max_length=20, choices=ReleaseStatus.choices, default=ReleaseStatus.DRAFT)
    base = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="adapters", verbose_name=_("base")
    )
    checkpoint = models.CharField(
        _("checkpoint"),
        max_length=1000,
        blank=True,
        help_text=_("A folder or file on the centre; empty: the stand-in."),
    )
    has_chat_tuning = models.BooleanField(
        _("short chat tuning"),
        default=False,
        help_text=_("For a checkpoint that was never tuned to chat, such as the stand-in."),
    )
    recipe = models.JSONField(
        _("recipe"),
        default=dict,
        blank=True,
        validators=[recipe_check],
        help_text=_(
            "How the package is made: languages, quantisation (int8, int4, mixed; for a GPU fp16, fp8), max_increase, "
            "max_bytes, further (a list of quantisations: variants for PCs that can carry them), exporter (builder, "
            "optimum); empty: as usual."
        ),
    )
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    index_bytes = models.BinaryField(_("index"), null=True, editable=False)
    card = models.JSONField(_("card"), default=dict, blank=True)
    gate_report = models.JSONField(_("gate report"), default=dict, blank=True)
    verdict_bytes = models.BinaryField(_("verdict"), null=True, editable=False)
    contributions = models.JSONField(_("contributions"), default=list, blank=True)
    """Digests of the updates that its round added; one from before lists has those of the adapters before it too."""
    why = models.CharField(_("why"), max_length=500, blank=True)
    stage = models.CharField(_("stage"), max_length=80, blank=True)
    stage_share = models.FloatField(_("done"), default=0.0)
    stage_at = models.DateTimeField(_("last sign of life"), null=True, blank=True)
    created_by = models.CharField(_("made by"), max_length=150)
    created_at = models.DateTimeField(_("made"))
    published_at = models.DateTimeField(_("published"), null=True, blank=True)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        ordering = ("-version",)
        verbose_name = _("release")
        verbose_name_plural = _("releases")
        constraints = (
            models.UniqueConstraint(fields=["digest"], condition=~Q(digest=""), name="release_digest_unique"),
            models.CheckConstraint(
                condition=Q(kind="base", base=None) | Q(kind="adapter", base__isnull=False),
                name="release_adapter_has_base",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=_BUILT) | (~Q(digest="") & Q(index_bytes__isnull=False)),
                name="release_built_has_digest",
            ),
            models.CheckConstraint(condition=Q(status__in=ReleaseStatus.values), name="release_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.version}: {self.title}"

    @property
    def is_in_force(self) -> bool:
        """Tell whether schools may run it."""
        return self.status in IN_FORCE

    @property
    def cards(self) -> dict[str, dict[str, Any]]:
        """The card of each of its packages by the variant's name, the first one first; by no name where it has one."""
        return {variant.name: variant.card for variant in self.variants.all()} or {"": self.card}

    @property
    def target_path(self) -> str:
        """The name of its index among TUF's targets."""
        return f"releases/{self.digest}.json"

    @property
    def verdict_path(self) -> str:
        """The name of the gate's verdict on it among TUF's targets."""
        return f"verdicts/{self.digest}.json"


class ReleaseVariant(SharedFact):
    """One form of a base of several: what it holds and what a PC must have for it."""

    REGION: ClassVar[str] = EVERYWHERE

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="variants", verbose_name=_("release"))
    place = models.PositiveSmallIntegerField(_("place"))
    name = models.CharField(_("name"), max_length=20)
    size_bytes = models.BigIntegerField(_("size, bytes"))
    memory_bytes = models.BigIntegerField(_("memory that a PC must have, bytes"))
    gpu_memory_bytes = models.BigIntegerField(_("memory that its GPU must have, bytes"))
    card = models.JSONField(_("card"), default=dict, blank=True)

    class Meta:
        ordering = ("place",)
        verbose_name = _("variant")
        verbose_name_plural = _("variants")
        constraints = (
            models.UniqueConstraint(fields=["release", "name"], name="release_variant_name_unique"),
            models.UniqueConstraint(fields=["release", "place"], name="release_variant_place_unique"),
            models.CheckConstraint(
                condition=Q(place__gt=0) | Q(memory_bytes=0, gpu_memory_bytes=0), name="release_first_variant_for_all"
            ),
        )

    def __str__(self) -> str:
        return self.name


class ReleaseFile(models.Model):
    """One file of a release, kept as a blob under its digest."""

    REGION: ClassVar[str] = EVERYWHERE

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="files", verbose_name=_("release"))
    variant = models.CharField(_("variant"), max_length=20, blank=True)
    path = models.CharField(_("path"), max_length=500)
    size_bytes = models.BigIntegerField(_("size, bytes"))
    sha256 = models.CharField(_("SHA-256"), max_length=64, db_index=True)

    class Meta:
        ordering = ("variant", "path")
        verbose_name = _("file")
        verbose_name_plural = _("files")
        constraints = (models.UniqueConstraint(fields=["release", "variant", "path"], name="release_path_unique"),)

    def __str__(self) -> str:
        return self.path
