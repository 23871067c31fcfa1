"""The school's textbooks and their passages. The index of words is a table of SQLite's own (migration 0001)."""

from __future__ import annotations

from django.db import models

from node.subjects import Subject
from node.textbooks.cutting import MOST_HEADING_CHARACTERS

TITLE_CHARACTERS = 120


class Textbook(models.Model):
    """One book. While a file that shall replace it is read, its passages stay those that were read last."""

    class Status(models.TextChoices):
        """WAITING → READING → READY | FAILED | STOPPED; STOPPED | FAILED | READY → WAITING; a cut leaves READING."""

        WAITING = "waiting"
        READING = "reading"
        READY = "ready"
        STOPPED = "stopped"
        FAILED = "failed"

    title = models.CharField(max_length=TITLE_CHARACTERS)
    subject = models.CharField(max_length=32, choices=Subject.choices, blank=True)
    grade = models.PositiveSmallIntegerField(default=0)
    sha256 = models.CharField(max_length=64, unique=True)
    """Of the file that was given last."""
    size_bytes = models.PositiveBigIntegerField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    """How often reading this file was begun."""
    pages_read = models.PositiveIntegerField(default=0)
    pages_total = models.PositiveIntegerField(default=0)
    """0: not known, as of a file that has no pages."""
    error_code = models.CharField(max_length=64, blank=True)
    added_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)

    class Meta:
        """What the database itself refuses."""

        constraints = [
            models.CheckConstraint(condition=models.Q(grade__range=(0, 11)), name="textbooks_textbook_grade_range"),
            models.CheckConstraint(
                condition=models.Q(status="failed") | models.Q(error_code=""), name="textbooks_textbook_failed_has_code"
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without its title."""
        return f"textbook {self.pk} ({self.status})"

    @property
    def is_under_way(self) -> bool:
        """Whether its file is being read or will be."""
        return self.status in (self.Status.WAITING, self.Status.READING)


class Passage(models.Model):
    """Some 60 to 150 words of a book in a row; `page` is 0 where its file knows no pages."""

    textbook = models.ForeignKey(Textbook, on_delete=models.CASCADE, related_name="passages")
    place = models.PositiveIntegerField()
    page = models.PositiveIntegerField()
    heading = models.CharField(max_length=MOST_HEADING_CHARACTERS, blank=True)
    text = models.TextField()

    class Meta:
        """What the database itself refuses."""

        constraints = [
            models.UniqueConstraint(fields=["textbook", "place"], name="textbooks_passage_place_once"),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without its words."""
        return f"passage {self.pk}"
