"""The head's page of accounts, and the page of a class for those who teach it."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from node.accounts import Role, has_role
from node.guards import head_required, person_of, teacher_required
from node.people import services
from node.people.importing import roll_import
from node.people.models import Pupil, SchoolClass
from node.people.roll import MAX_BYTES, RollRefused
from node.people.sentences import problem_sentence
from node.sentences import error_sentence

STAFF = [Role.TEACHER.value, Role.HEAD.value]


class PersonForm(forms.Form):
    """A person's names; a teacher also has one for signing in."""

    last_name = forms.CharField(required=False, max_length=200)
    first_name = forms.CharField(required=False, max_length=200)
    username = forms.CharField(required=False, max_length=150)


@require_GET
@head_required
def accounts(request: HttpRequest) -> HttpResponse:
    """Show classes, teachers and what guests may."""
    return _accounts_page(request)


@require_POST
@head_required
def guests(request: HttpRequest) -> HttpResponse:
    """Let guests ask, or no more."""
    services.guests_allow(is_allowed=request.POST.get("allowed") == "1")
    return redirect("accounts")


@require_POST
@head_required
@never_cache
def roll(request: HttpRequest) -> HttpResponse:
    """Take a roll in whole, and show the PINs and passwords this once; or say what is wrong with which line."""
    given = request.FILES.get("roll")
    try:
        taken = roll_import(content=given.read(MAX_BYTES + 1) if given else b"")
    except RollRefused as error:
        lines = [problem_sentence(problem) for problem in error.problems]
        return _accounts_page(request, roll_problems=lines)
    return render(request, "node/roll_taken.html", {"taken": taken})


@require_POST
@head_required
@never_cache
def teacher_add(request: HttpRequest) -> HttpResponse:
    """Make a teacher's account and show its password this once."""
    form = PersonForm(request.POST)
    form.is_valid()
    given = {name: form.cleaned_data.get(name, "") for name in form.fields}
    try:
        fresh = services.teacher_create(**given, classes=())
    except FederationError as error:
        return _accounts_page(request, teacher_problem=error_sentence(error))
    return _accounts_page(request, fresh=fresh)


@require_POST
@head_required
@never_cache
def password_renew(request: HttpRequest, person_id: int) -> HttpResponse:
    """Give a teacher or head a new password and show it this once."""
    staff = User.objects.filter(groups__name__in=STAFF).distinct()
    return _accounts_page(request, fresh=services.staff_password_renew(person=get_object_or_404(staff, pk=person_id)))


@require_POST
@head_required
def account_switch(request: HttpRequest, person_id: int) -> HttpResponse:
    """Let a person sign in, or no more."""
    person = get_object_or_404(User.objects.select_related("pupil"), pk=person_id)
    _try(request, lambda: services.account_switch(person=person, is_active=request.POST.get("active") == "1"))
    pupil = Pupil.objects.filter(person=person).first()
    return redirect("class", pupil.school_class_id) if pupil else redirect("accounts")


@require_POST
@head_required
def class_add(request: HttpRequest) -> HttpResponse:
    """Make a class."""
    try:
        made = services.class_create(name=request.POST.get("name", ""))
    except services.PeopleRefused as error:
        return _accounts_page(request, class_problem=error_sentence(error))
    return redirect("class", made.pk)


@require_POST
@head_required
def class_change(request: HttpRequest, class_id: int) -> HttpResponse:
    """Set who teaches the class and whether it needs PINs."""
    ids = [int(text) for text in request.POST.getlist("teachers") if text.isdecimal()]
    services.class_change(
        school_class=get_object_or_404(SchoolClass, pk=class_id),
        asks_pin=request.POST.get("asks_pin") == "1",
        teacher_ids=ids,
    )
    messages.success(request, _("Saved."))
    return redirect("class", class_id)


@require_POST
@head_required
@never_cache
def pupil_add(request: HttpRequest, class_id: int) -> HttpResponse:
    """Add a pupil to the class and show the PIN this once."""
    school_class = get_object_or_404(SchoolClass, pk=class_id)
    form = PersonForm(request.POST)
    form.is_valid()
    try:
        fresh = services.pupil_create(
            school_class=school_class,
            last_name=form.cleaned_data.get("last_name", ""),
            first_name=form.cleaned_data.get("first_name", ""),
        )
    except services.PeopleRefused as error:
        return _class_page(request, school_class, problem=error_sentence(error))
    return _class_page(request, school_class, fresh=fresh)


@require_POST
@head_required
def pupil_move(request: HttpRequest, pupil_id: int) -> HttpResponse:
    """Put a pupil into another class."""
    pupil = get_object_or_404(Pupil, pk=pupil_id)
    target = get_object_or_404(SchoolClass, name=request.POST.get("class", ""))
    _try(request, lambda: services.pupil_move(pupil=pupil, school_class=target))
    return redirect("class", pupil.school_class_id)


@require_GET
@teacher_required
def classes(request: HttpRequest) -> HttpResponse:
    """Show the classes that one teaches; the head all."""
    return render(request, "node/classes.html", {"classes": SchoolClass.objects.taught_by(person_of(request))})


@require_GET
@teacher_required
def class_page(request: HttpRequest, class_id: int) -> HttpResponse:
    """Show a class's code and pupils to the head and to those who teach it."""
    return _class_page(request, _own_class(request, class_id))


@require_POST
@teacher_required
def code_renew(request: HttpRequest, class_id: int) -> HttpResponse:
    """Give the class a new code."""
    services.class_code_renew(school_class=_own_class(request, class_id))
    return redirect("class", class_id)


@require_POST
@teacher_required
@never_cache
def pin_renew(request: HttpRequest, pupil_id: int) -> HttpResponse:
    """Give a pupil of one's own class a new PIN and show it this once."""
    pupil = get_object_or_404(Pupil.objects.select_related("person"), pk=pupil_id)
    school_class = _own_class(request, pupil.school_class_id)
    return _class_page(request, school_class, fresh=services.pupil_pin_renew(pupil=pupil))


def _own_class(request: HttpRequest, class_id: int) -> SchoolClass:
    return get_object_or_404(SchoolClass.objects.taught_by(person_of(request)), pk=class_id)


def _accounts_page(request: HttpRequest, **more: object) -> HttpResponse:
    staff = User.objects.filter(groups__name__in=STAFF).distinct().prefetch_related("groups", "classes")
    count = Count("pupils", filter=Q(pupils__person__is_active=True))
    page = {
        "rules": services.rules_read(),
        "classes": SchoolClass.objects.annotate(size=count).order_by("grade", "name"),
        "staff": staff.order_by("-is_active", "last_name", "first_name", "username"),
    }
    return render(request, "node/accounts.html", {**page, **more})


def _class_page(request: HttpRequest, school_class: SchoolClass, **more: object) -> HttpResponse:
    teachers = User.objects.filter(groups__name__in=STAFF, is_active=True).distinct()
    page = {
        "school_class": school_class,
        "pupils": school_class.pupils.in_order(),
        "is_head": has_role(request.user, Role.HEAD),
        "teachers": teachers.order_by("last_name", "first_name", "username"),
        "teaching": set(school_class.teachers.values_list("pk", flat=True)),
        "classes": SchoolClass.objects.exclude(pk=school_class.pk).order_by("grade", "name"),
    }
    return render(request, "node/class.html", {**page, **more})


def _try(request: HttpRequest, act: Callable[[], None]) -> None:
    try:
        act()
    except services.PeopleRefused as error:
        messages.error(request, error_sentence(error))
