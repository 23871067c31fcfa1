"""Schools, their PCs, claim codes and the audit in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from central.admin_pages import ReadOnlyAdmin, actor_of, rows_act
from central.schools.models import AuditEvent, ClaimCode, Node, NodeStatus, School
from central.schools.services import node_activate, node_revoke, node_suspend, school_invite, school_save
from central.trust_root import root_fingerprint
from central.words import sentence
from federation.errors import FederationError

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """Accounts of ministry admins."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of accounts with the same permissions."""


@admin.register(School)
class SchoolAdmin(ModelAdmin):
    """Schools; the action prints a claim code for one more PC."""

    list_display = ("name", "region", "is_preregistered", "created_at")
    list_filter = ("region", "is_preregistered")
    search_fields = ("name", "region")
    fields = ("name", "region", "is_preregistered")
    actions = ("invite", "write_stick")

    def save_model(self, request: HttpRequest, obj: School, form: ModelForm[School], change: bool) -> None:
        """Keep the school by its service."""
        school_save(school=obj, now=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: School | None = None) -> bool:
        """Refuse: a school's history stays."""
        return False

    @admin.action(description=_("Invite one PC: show a claim code"))
    def invite(self, request: HttpRequest, queryset: QuerySet[School]) -> None:
        """Show a new claim code and the fingerprint to print with it."""
        try:
            fingerprint = root_fingerprint()
        except FederationError as error:
            messages.error(request, sentence(error.code, error.fields))
            return
        for school in queryset:
            invitation = school_invite(
                name=school.name, region=school.region, actor=actor_of(request), now=timezone.now()
            )
            text = gettext("%(school)s: claim code %(code)s (shown once), root of trust %(root)s")
            messages.success(request, text % {"school": school, "code": invitation.code, "root": fingerprint})

    @admin.action(description=_("Write a USB stick for these schools"))
    def write_stick(self, request: HttpRequest, queryset: QuerySet[School]) -> HttpResponseRedirect:
        """Go on to the page that writes sticks, with these schools chosen."""
        chosen = ",".join(str(school.pk) for school in queryset)
        return HttpResponseRedirect(f"{reverse('admin:courier_trip_write')}?schools={chosen}")


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    """School PCs; their status moves by actions alone."""

    list_display = ("school", "shown_status", "running_short", "last_contact_at", "outbox_depth", "hostname")
    list_filter = ("status", "school__region")
    search_fields = ("school__name", "id", "hostname")
    list_select_related = ("school",)
    actions = ("activate", "suspend", "revoke")

    @display(
        description=_("status"),
        ordering="status",
        label={
            NodeStatus.ACTIVE.label: "success",
            NodeStatus.CLAIMED.label: "info",
            NodeStatus.SUSPENDED.label: "warning",
            NodeStatus.REVOKED.label: "danger",
        },
    )
    def shown_status(self, node: Node) -> str:
        """The status in words."""
        return node.get_status_display()

    @admin.display(description=_("running release"))
    def running_short(self, node: Node) -> str:
        """The beginning of the running release's digest."""
        return node.running[:12]

    @admin.action(description=_("Activate"))
    def activate(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Let the PCs sync."""
        self._move(request, queryset, node_activate, gettext("is active"))

    @admin.action(description=_("Suspend"))
    def suspend(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Shut the doors to the PCs until they are activated again."""
        self._move(request, queryset, node_suspend, gettext("is suspended"))

    @admin.action(description=_("Revoke for good"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Shut the doors to the PCs for good."""
        self._move(request, queryset, node_revoke, gettext("is revoked"))

    def _move(self, request: HttpRequest, queryset: QuerySet[Node], service: Any, done: str) -> None:  # noqa: ANN401
        actor, now = actor_of(request), timezone.now()
        rows_act(request, queryset, lambda node: service(node=node, actor=actor, reason="admin", now=now), done)


@admin.register(ClaimCode)
class ClaimCodeAdmin(ReadOnlyAdmin):
    """Claim codes: who made which, and whether it was used; never the code itself."""

    list_display = ("node", "created_by", "created_at", "expires_at", "used_at")
    list_select_related = ("node__school",)
    exclude = ("digest",)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who changed what, when and why."""

    list_display = ("at", "actor", "entity", "old", "new", "reason")
    list_filter = ("new",)
    search_fields = ("entity", "actor", "reason")
