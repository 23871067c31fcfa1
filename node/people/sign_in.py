"""Ways in: teachers by name and password, pupils by their class's code, their own tile and a PIN. Guessing is slow."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from node.accounts import is_teacher
from node.address import device_address
from node.guards import person_of, teacher_required
from node.people.entering import CodeUnknown, PinWrong, class_find, pupil_enter
from node.people.guessing import GuessesTooMany, guess_count, guess_forgive
from node.people.models import SchoolClass
from node.people.services import LEAST_PASSWORD, PeopleRefused, own_password_change, rules_read
from node.people.targets import device_target, staff_target
from node.sentences import error_sentence

CLASS_COOKIE = "class"
CLASS_COOKIE_SECONDS = 180 * 24 * 3600
# Two lessons: on a shared telephone the next pupil must not find the last one signed in.
PUPILS_SESSION_SECONDS = 90 * 60


class StaffForm(AuthenticationForm):
    """Name and password; each wrong pair makes the next one wait a little longer."""

    def clean(self) -> dict[str, Any]:
        """Return the fields of whoever may sign in."""
        username = str(self.cleaned_data.get("username", ""))
        targets = (device_target(_address(self.request)), staff_target(username))
        try:
            guess_count(targets=targets, now=timezone.now())
        except GuessesTooMany as error:
            raise ValidationError(error_sentence(error), code=error.code) from error
        cleaned = super().clean()
        guess_forgive(targets=targets)
        return cleaned

    def get_invalid_login_error(self) -> ValidationError:
        """Return one sentence for a wrong name, a wrong password and an account that is switched off."""
        return ValidationError(_("The name or the password is wrong."), code="invalid_login")


class StaffSignIn(LoginView):
    """The page on which teachers and the head sign in."""

    template_name = "node/sign_in.html"
    redirect_authenticated_user = True
    form_class = StaffForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Let the person in; a teacher or head who comes for the first time is asked for an own password."""
        person = form.get_user()
        has_given_password = person.last_login is None and is_teacher(person)
        answer = super().form_valid(form)
        if not has_given_password:
            return answer
        return redirect(f"{reverse('password')}?{urlencode({'next': self.get_success_url()})}")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - Django's signature
        """Add whether guests may ask."""
        return super().get_context_data(allows_guests=rules_read().allows_guests, **kwargs)


@require_http_methods(["GET", "POST"])
@teacher_required
@never_cache
def password(request: HttpRequest) -> HttpResponse:
    """Let a teacher or head choose an own password; only this session outlives the old one."""
    after = request.GET.get("next", "")
    is_inside = url_has_allowed_host_and_scheme(after, allowed_hosts={request.get_host()})
    page: dict[str, Any] = {"after": after if is_inside else "", "least": LEAST_PASSWORD}
    if request.method == "GET":
        return render(request, "node/password.html", page)
    person = person_of(request)
    try:
        own_password_change(
            person=person,
            password=request.POST.get("password", ""),
            new_password=request.POST.get("new", ""),
            again=request.POST.get("again", ""),
            now=timezone.now(),
        )
    except (PeopleRefused, GuessesTooMany) as error:
        return render(request, "node/password.html", page | {"problem": error_sentence(error)})
    update_session_auth_hash(request, person)
    messages.success(request, _("Your new password counts from now on. Other devices must sign in with it."))
    return redirect(page["after"] or "chat")


class PupilForm(forms.Form):
    """A tile and a PIN."""

    pupil = forms.IntegerField(min_value=1, max_value=2**62)
    pin = forms.CharField(required=False, max_length=20)


@require_http_methods(["GET", "POST"])
@never_cache
def class_code(request: HttpRequest) -> HttpResponse:
    """Ask for the class's code, and remember the class on this device."""
    if request.method == "GET":
        return redirect("class-who") if _remembered(request) else render(request, "node/class_code.html")
    try:
        school_class = class_find(code=request.POST.get("code", ""), address=_address(request), now=timezone.now())
    except (CodeUnknown, GuessesTooMany) as error:
        return render(request, "node/class_code.html", {"problem": error_sentence(error)})
    answer = redirect("class-who")
    # The code itself, so that a class's new code makes its devices ask again.
    answer.set_signed_cookie(
        CLASS_COOKIE, school_class.code, max_age=CLASS_COOKIE_SECONDS, httponly=True, samesite="Lax"
    )
    return answer


@require_http_methods(["GET", "POST"])
@never_cache
def class_who(request: HttpRequest) -> HttpResponse:
    """Show the class's pupils; let in whoever knows the PIN of the chosen one."""
    school_class = _remembered(request)
    if school_class is None:
        return redirect("class-code")
    page: dict[str, object] = {"school_class": school_class, "pupils": school_class.pupils.may_enter()}
    form = PupilForm(request.POST)
    if request.method == "POST" and form.is_valid():
        page["chosen"] = form.cleaned_data["pupil"]
        try:
            pupil = pupil_enter(
                school_class=school_class,
                pupil_id=form.cleaned_data["pupil"],
                pin=form.cleaned_data["pin"],
                address=_address(request),
                now=timezone.now(),
            )
        except (PinWrong, GuessesTooMany) as error:
            return render(request, "node/class_who.html", {**page, "problem": error_sentence(error)})
        login(request, pupil.person, backend="django.contrib.auth.backends.ModelBackend")
        request.session.set_expiry(PUPILS_SESSION_SECONDS)
        return redirect("chat")
    return render(request, "node/class_who.html", page)


@require_POST
def class_leave(_request: HttpRequest) -> HttpResponse:
    """Forget the class on this device."""
    answer = redirect("class-code")
    answer.delete_cookie(CLASS_COOKIE)
    return answer


def _remembered(request: HttpRequest) -> SchoolClass | None:
    code = request.get_signed_cookie(CLASS_COOKIE, default=None, max_age=CLASS_COOKIE_SECONDS)
    return SchoolClass.objects.filter(code=code).first() if code else None


def _address(request: HttpRequest | None) -> str:
    return device_address(request) if request is not None else ""
