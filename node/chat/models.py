"""Conversations on the school's page: questions with the answers that the engine gave, and which release gave them.

Beside them the keys by which other programs ask; what those ask and are answered is kept nowhere.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Named selections of conversations."""

    def of(self, *, person_id: int | None, session_key: str) -> ConversationQuerySet:
        """Those of one signed-in person, or of one guest's browser; newest first."""
        if person_id is not None:
            return self.filter(person_id=person_id).order_by("-started_at")
        return self.filter(person=None, session_key=session_key).order_by("-started_at")


class Conversation(models.Model):
    """Turns that share a context; it belongs to a person, or to a guest's browser."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    session_key = models.CharField(max_length=40, blank=True, db_index=True)
    started_at = models.DateTimeField()

    objects = ConversationQuerySet.as_manager()

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"conversation {self.pk}"


class Turn(models.Model):
    """One question of a conversation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    question = models.TextField()
    asked_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"turn {self.pk}"


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

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [
            models.CheckConstraint(
                condition=~models.Q(status="finished") | ~models.Q(release=""),
                name="chat_answer_finished_names_release",
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"answer {self.pk} ({self.status})"


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
