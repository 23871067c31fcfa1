"""Classes with their codes and teachers, pupils with their PINs, what the head allows, and wrong guesses."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models

from node.accounts import Role, has_role


class SchoolRules(models.Model):
    """What the head of the school decided about its page; one row."""

    is_only = models.BooleanField(default=True, unique=True)
    allows_guests = models.BooleanField(default=True)

    class Meta:
        """What the database itself refuses."""

        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="people_rules_one_row")]

    def __str__(self) -> str:
        """Name the row for logs."""
        return "school rules"


class SchoolClassQuerySet(models.QuerySet["SchoolClass"]):
    """Named selections of classes."""

    def taught_by(self, person: User) -> SchoolClassQuerySet:
        """Those of one teacher; the head has all."""
        own = self if has_role(person, Role.HEAD) else self.filter(teachers=person)
        return own.order_by("grade", "name")


class SchoolClass(models.Model):
    """A class: the code opens its list of pupils, and a pupil's PIN the account."""

    name = models.CharField(max_length=20, unique=True)
    code = models.CharField(max_length=8, unique=True)
    grade = models.PositiveSmallIntegerField(default=0)
    asks_pin = models.BooleanField(default=True)
    teachers = models.ManyToManyField(User, related_name="classes")

    objects = SchoolClassQuerySet.as_manager()

    class Meta:
        """What the database itself refuses."""

        constraints = [
            models.CheckConstraint(condition=models.Q(grade__range=(0, 11)), name="people_class_grade_range"),
        ]

    def __str__(self) -> str:
        """Name the class; never its code."""
        return self.name


class PupilQuerySet(models.QuerySet["Pupil"]):
    """Named selections of pupils."""

    def may_enter(self) -> PupilQuerySet:
        """Those who may sign in, by name."""
        return self.filter(person__is_active=True).in_order()

    def in_order(self) -> PupilQuerySet:
        """By name, each with the account."""
        return self.select_related("person").order_by("person__last_name", "person__first_name", "pk")


class Pupil(models.Model):
    """A pupil's place in a class; the account itself has no password."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="pupil")
    school_class = models.ForeignKey(SchoolClass, on_delete=models.PROTECT, related_name="pupils")
    picture = models.CharField(max_length=20)
    pin_hash = models.CharField(max_length=128)

    objects = PupilQuerySet.as_manager()

    def __str__(self) -> str:
        """Name the row for logs, without the pupil's name."""
        return f"pupil {self.pk}"


class Guess(models.Model):
    """How often one door was tried in vain; the door is known by a digest, because people type passwords as names."""

    door_sha256 = models.CharField(max_length=64, unique=True)
    failures = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField()

    def __str__(self) -> str:
        """Name the row for logs."""
        return f"guesses at {self.door_sha256[:8]}"
