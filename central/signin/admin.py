"""Accounts of the ministry's people in the admin: a name, a role, and for some a region."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminPasswordChangeForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from central.admin_pages import ScopedAdmin, actor_of, row_become, rows_act
from central.schools.accounts import account_change, account_create, password_note, region_fits
from central.schools.models import Account, School
from central.schools.roles import Role
from central.signin.services import factor_forget
from central.words import sentence
from federation.errors import FederationError

admin.site.unregister(User)
# What an account may do hangs on its role alone; `groups` keeps the roles' groups.
admin.site.unregister(Group)
# Its page would show the secrets of telephones.
admin.site.unregister(TOTPDevice)


class AccountForm(forms.ModelForm):
    """Asks who it is, what they are there for, and where."""

    role = forms.ChoiceField(label=_("role"), choices=Role.choices, widget=UnfoldAdminSelectWidget)
    region = forms.ChoiceField(
        label=_("region"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("A regional admin needs one; a reviewer may have one."),
    )

    class Meta:
        model = User
        fields = ("username", "is_active")
        widgets = {"username": UnfoldAdminTextInputWidget, "is_active": UnfoldBooleanSwitchWidget}

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*arguments, **options)
        regions = School.objects.exclude(region="").order_by("region").values_list("region", flat=True).distinct()
        account = Account.objects.filter(user=self.instance.pk).first()
        held = {account.region} - {""} if account else set()
        field = self.fields["region"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "—"), *((region, region) for region in sorted({*regions, *held}))]
        if account:
            self.initial.update({"role": account.role, "region": account.region})

    def clean(self) -> dict[str, Any]:
        """Refuse a role without its region."""
        asked = super().clean() or {}
        if "role" in asked:
            try:
                region_fits(role=Role(asked["role"]), region=asked.get("region", ""))
            except FederationError as error:
                raise ValidationError(sentence(error.code, error.fields)) from error
        return asked


@admin.register(User)
class UserAdmin(ScopedAdmin, DjangoUserAdmin):  # type: ignore[misc] # unfold and Django differ in what views answer
    """Accounts of the ministry's people."""

    form = add_form = AccountForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "shown_role", "shown_region", "is_active", "has_factor", "last_login")
    list_filter = ("is_active", "account__role", "account__region")
    list_select_related = ("account",)
    search_fields = ("username",)
    filter_horizontal = ()
    fieldsets = ((None, {"fields": ("username", "role", "region", "is_active")}),)
    actions = ("forget_factor",)
    add_fieldsets = ((None, {"fields": ("username", "role", "region")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:  # noqa: ANN401
        """Keep the name, by which the audit knows the person."""
        return ("username",) if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Leave superusers to whoever has the machine."""
        return super().has_change_permission(request, obj) and not (obj is not None and obj.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Refuse: an account is switched off, and its name stays in the audit."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm[User], change: bool) -> None:
        """Keep the account by its service; a new one's password is shown this once."""
        role, region = Role(form.cleaned_data["role"]), form.cleaned_data["region"]
        actor, now = actor_of(request), timezone.now()
        if change:
            account_change(user=obj, role=role, region=region, is_active=obj.is_active, actor=actor, now=now)
            return
        made = account_create(username=obj.username, role=role, region=region, actor=actor, now=now)
        row_become(obj, User.objects.get(username=made.username))
        text = gettext("%(user)s: password %(password)s (shown once)")
        messages.success(request, text % {"user": made.username, "password": made.password})

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        """Give the user another password, and record that it was done."""
        answer: HttpResponse = super().user_change_password(request, id, form_url)
        user = self.get_object(request, id)
        if request.method == "POST" and answer.status_code == HTTPStatus.FOUND and user is not None:
            password_note(user=user, actor=actor_of(request), now=timezone.now())
        return answer

    @admin.display(description=_("role"), ordering="account__role")
    def shown_role(self, user: User) -> str:
        """The role in words."""
        if user.is_superuser:
            return gettext("superuser")
        account = getattr(user, "account", None)
        return account.get_role_display() if account else "—"

    @admin.display(description=_("region"), ordering="account__region")
    def shown_region(self, user: User) -> str:
        """The region, where the account has one."""
        account = getattr(user, "account", None)
        return account.region if account else ""

    @admin.display(description=_("second factor"), boolean=True)
    def has_factor(self, user: User) -> bool:
        """Tell whether the account has a second factor."""
        return bool(getattr(user, "factors", 0))

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the users with the number of their factors."""
        factors = Count("totpdevice", filter=Q(totpdevice__confirmed=True))
        return super().get_queryset(request).annotate(factors=factors)

    @admin.action(description=_("Forget the second factor: the telephone is lost"), permissions=("change",))
    def forget_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Take factors away, so that their owners enrol again."""
        actor, now = actor_of(request), timezone.now()
        rows_act(
            request,
            queryset,
            lambda user: factor_forget(user=user, actor=actor, now=now),
            gettext("has no second factor any more"),
        )
