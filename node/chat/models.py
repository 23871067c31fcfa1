"""Conversations on the school's page: questions with the answers that the engine gave, and which release gave them.

Beside them the keys by which other programs ask; what those ask and are answered is kept nowhere.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Left, NullIf

from node.chat.pitch import Lesson
from node.subjects import Subject
from node.textbooks.models import TITLE_CHARACTERS as TITLE_OF_BOOK_CHARACTERS
from node.textbooks.models import Passage

TITLE_CHARACTERS = 80
DEVICE_DIGITS = 16


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Named selections of conversations."""

    def of(self, *, person_id: int | None, session_key: str) -> ConversationQuerySet:
        """Those of one signed-in person, or of one guest's browser; newest first."""
        if person_id is not None:
            return self.filter(person_id=person_id).order_by("-started_at")
        return self.filter(person=None, session_key=session_key).order_by("-started_at")

    def titled(self) -> ConversationQuerySet:
        """With `name` (the title, else how the first question begins) and `asked_at`; last asked first."""
        own = Turn.objects.filter(conversation=models.OuterRef("pk"))
        first = own.order_by("asked_at").annotate(beginning=Left("question", TITLE_CHARACTERS)).values("beginning")
        # Two look-ups by index. A join with Max would look for the first question anew at each turn.
        return self.annotate(
            name=Coalesce(NullIf("title", models.Value("")), models.Subquery(first[:1])),
            asked_at=models.Subquery(own.order_by("-asked_at").values("asked_at")[:1]),
        ).order_by("-asked_at")

    def speaking_of(self, pattern: str) -> ConversationQuerySet:
        """Those whose title, a question or an answer matches the regular expression `pattern`."""
        # LIKE of SQLite knows no capital letters but the Latin ones; REGEXP is Python's, and knows all.
        said = Turn.objects.filter(models.Q(question__iregex=pattern) | models.Q(answer__text__iregex=pattern))
        return self.filter(models.Q(title__iregex=pattern) | models.Q(pk__in=said.values("conversation_id")))


class Conversation(models.Model):
    """Turns that share a context; it belongs to a person, or to a guest's browser."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    session_key = models.CharField(max_length=40, blank=True, db_index=True)
    title = models.CharField(max_length=TITLE_CHARACTERS, blank=True)
    started_at = models.DateTimeField()

    objects = ConversationQuerySet.as_manager()

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"conversation {self.pk}"


class Turn(models.Model):
    """One question of a conversation, the turn that it follows, and what its answer was to be pitched to.

    Turns that follow the same one are versions of each other: edited questions, or the same one answered anew.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="children")
    question = models.TextField()
    subject = models.CharField(max_length=32, choices=Subject.choices, blank=True)
    grade = models.PositiveSmallIntegerField(default=0)
    is_hinted = models.BooleanField(default=False)
    asked_at = models.DateTimeField(db_index=True)

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        indexes = [models.Index(fields=["conversation", "asked_at"], name="chat_turn_in_order")]
        constraints = [
            models.CheckConstraint(condition=models.Q(grade__range=(0, 11)), name="chat_turn_grade_range"),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"turn {self.pk}"

    @property
    def lesson(self) -> Lesson:
        """What its answer was to be pitched to."""
        return Lesson(subject=self.subject, grade=self.grade, is_hinted=self.is_hinted)

    def passages_left(self) -> list[Passage]:
        """Return the passages that its answer was given to draw from, as far as their books are still here."""
        cited = self.citations.select_related("passage")
        return [citation.passage for citation in cited if citation.passage is not None]


class Answer(models.Model):
    """What the engine answered to one turn; a finished one names its release."""

    class Status(models.TextChoices):
        """How far the answer is."""

        WAITING = "waiting"
        WRITING = "writing"
        FINISHED = "finished"
        STOPPED = "stopped"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    turn = models.OneToOneField(Turn, on_delete=models.CASCADE, related_name="answer")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.WAITING)
    text = models.TextField(blank=True)
    release = models.CharField(max_length=64, blank=True)
    release_version = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    finished_at = models.DateTimeField(null=True)
    device = models.CharField(max_length=DEVICE_DIGITS, blank=True, default="")
    """The guest's device while the question waits, by a keyed digest; emptied with its end."""

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        indexes = [models.Index(fields=["device"], condition=~models.Q(device=""), name="chat_answer_waits_of_device")]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(status="finished") | ~models.Q(release=""),
                name="chat_answer_finished_names_release",
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"answer {self.pk} ({self.status})"


class Citation(models.Model):
    """A passage that a turn's answer was given to draw from; what it is called stays when the book goes."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="citations")
    number = models.PositiveSmallIntegerField()
    """By which the answer names it, from 1."""
    passage = models.ForeignKey("textbooks.Passage", on_delete=models.SET_NULL, null=True, related_name="+")
    title = models.CharField(max_length=TITLE_OF_BOOK_CHARACTERS)
    page = models.PositiveIntegerField()

    class Meta:
        """What the database itself refuses, and in which order rows come."""

        ordering = ("number",)
        constraints = [models.UniqueConstraint(fields=["turn", "number"], name="chat_citation_number_once")]

    def __str__(self) -> str:
        """Name the row for logs, without the book's title."""
        return f"citation {self.pk}"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Named selections of API keys."""

    def in_force(self) -> ApiKeyQuerySet:
        """Those that nobody has revoked."""
        return self.filter(revoked_at=None)

    def admitting(self) -> ApiKeyQuerySet:
        """Those in force whose person may still sign in."""
        return self.in_force().filter(person__is_active=True)

    def seen_by(self, *, person_id: int, is_head: bool) -> ApiKeyQuerySet:
        """Those in force that a person may see and revoke: the head all of the school's, others their own."""
        keys = self.in_force().select_related("person").order_by("-created_at")
        return keys if is_head else keys.filter(person_id=person_id)


class ApiKey(models.Model):
    """A bearer key of one person for programs; only its digest is here, so that a copied database opens nothing."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    key_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    # The day alone: enough to find a forgotten key, too little to follow a person by.
    last_used_on = models.DateField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiKeyQuerySet.as_manager()

    def __str__(self) -> str:
        """Name the row for logs."""
        return f"API key {self.pk}"
