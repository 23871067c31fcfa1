"""Schools, their PCs, claim codes and the audit in the admin."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget

from central.admin_pages import ReadOnlyAdmin, ScopedAdmin, actor_of, pdf_answer, reach_of_request, rows_act
from central.reports import report_read
from central.schools.admin_filters import ContactFilter, ProblemFilter
from central.schools.audit_words import entity_words, value_words
from central.schools.invitations import node_reinvite, school_invite, sheets_print
from central.schools.models import AuditEvent, ClaimCode, Node, NodeStatus, RetiredKey, School
from central.schools.pc_words import problems_words
from central.schools.school_list import school_list_read, school_list_take_in
from central.schools.school_page import ability_words, hardware_words, pc_cards, rhythm_words
from central.schools.services import node_activate, node_revoke, node_suspend, school_save
from central.schools.sheets_of_centre import sheets_of_centre
from central.schools.timeline import EntryKind, school_timeline
from central.trust_root import root_fingerprint
from central.words import sentence
from federation.errors import FederationError

ENTRIES_A_PAGE = 50


class PcFilter(admin.SimpleListFilter):
    """Schools by whether their PC has come."""

    title = _("PC")
    parameter_name = "pc"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        return [("awaited", _("none yet")), ("here", _("enrolled"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[School]) -> QuerySet[School]:
        """Return the schools of the choice."""
        awaited = School.objects.without_pc().values("pk")
        if self.value() == "awaited":
            return queryset.filter(pk__in=awaited)
        return queryset.exclude(pk__in=awaited) if self.value() == "here" else queryset


class SchoolListForm(forms.Form):
    """Asks for a list of schools."""

    file = forms.FileField(
        label=_("list of schools"),
        help_text=_(
            "A CSV file in UTF-8; its first line names the columns: name, region, district, kind, tags (parted by |)."
        ),
        widget=UnfoldAdminFileFieldWidget,
    )


@admin.register(School)
class SchoolAdmin(ScopedAdmin):
    """Schools; the actions show or print a claim code for one more PC."""

    list_display = ("name", "region", "district", "kind", "is_preregistered", "created_at")
    list_per_page = 50
    list_filter = ("region", "district", "kind", "tags", "is_preregistered", PcFilter)
    search_fields = ("name", "region", "district")
    fields = ("name", "region", "district", "kind", "tags", "is_preregistered")
    actions = ("invite", "print_sheets", "write_stick")
    actions_list = ("import_list",)
    actions_detail = actions_row = ("timeline",)

    @action(description=_("Timeline"), url_path="timeline", permissions=("view",))
    def timeline(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what has happened at the school: contacts, installs, ratings, updates and keys, in one order."""
        school: School | None = self.get_object(request, object_id)
        if school is None:
            raise Http404
        kinds = {kind.value: kind for kind in EntryKind}
        chosen = request.GET.get("kind", "")
        entries = report_read(lambda: school_timeline(school, kind=kinds.get(chosen)))
        rows = Paginator(entries, ENTRIES_A_PAGE)
        shown = {"title": str(school), "school": school, "kinds": list(EntryKind), "chosen": chosen}
        cards = pc_cards(school, today=timezone.localdate())
        context = {**self.admin_site.each_context(request), "opts": self.opts, "cards": cards, **shown}
        context["rows"] = rows.get_page(request.GET.get("page"))
        return TemplateResponse(request, "schools/timeline.html", context)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401 - unfold gives an id
        """Let whoever may view schools see one; unfold asks about a page's school by its id."""
        return bool(super().has_view_permission(request, obj if isinstance(obj, School) else None))

    def save_model(self, request: HttpRequest, obj: School, form: ModelForm[School], change: bool) -> None:
        """Keep the school by its service."""
        if not change:
            obj.region = obj.region or reach_of_request(request).region or ""
        school_save(school=obj, actor=actor_of(request), now=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: School | None = None) -> bool:
        """Refuse: a school's history stays."""
        return False

    def has_invite_permission(self, request: HttpRequest) -> bool:
        """Allow codes to those who may add them."""
        return request.user.has_perm("schools.add_claimcode")

    @admin.action(description=_("Invite one PC: show a claim code"), permissions=("invite",))
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

    @admin.action(description=_("Print claim sheets; earlier unused ones become void"), permissions=("invite",))
    def print_sheets(self, request: HttpRequest, queryset: QuerySet[School]) -> HttpResponse | None:
        """Answer a PDF with one sheet for each school."""
        schools = queryset.order_by("region", "district", "name")
        return pdf_answer(
            request,
            lambda: sheets_print(
                schools=schools, render=sheets_of_centre(), actor=actor_of(request), now=timezone.now()
            ),
        )

    @action(description=_("Import a list"), url_path="import", permissions=("add",))
    def import_list(self, request: HttpRequest) -> HttpResponse:
        """Take a list of schools in."""
        form = SchoolListForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid() and self._import(request, form.cleaned_data["file"].read()):
            return redirect("admin:schools_school_changelist")
        words = {"title": gettext("Import a list"), "button": gettext("Import")}
        context = {**admin.site.each_context(request), "form": form, **words}
        return TemplateResponse(request, "schools/form_page.html", context)

    def _import(self, request: HttpRequest, content: bytes) -> bool:
        try:
            taken = school_list_take_in(schools=school_list_read(content), actor=actor_of(request), now=timezone.now())
        except FederationError as error:
            messages.error(request, sentence(error.code, error.fields))
            return False
        text = gettext("%(added)s schools are new, %(changed)s changed, %(unchanged)s as before.")
        messages.success(request, text % asdict(taken))
        return True

    def has_stick_permission(self, request: HttpRequest) -> bool:
        """Let whoever may add trips write sticks."""
        return bool(request.user.has_perm("courier.add_trip"))

    @admin.action(description=_("Write a USB stick for these schools"), permissions=("stick",))
    def write_stick(self, request: HttpRequest, queryset: QuerySet[School]) -> HttpResponseRedirect:
        """Go on to the page that writes sticks, with these schools chosen."""
        chosen = ",".join(str(school.pk) for school in queryset)
        return HttpResponseRedirect(f"{reverse('admin:courier_trip_write')}?schools={chosen}")


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    """School PCs; their status moves by actions alone."""

    list_display = (
        "school",
        "shown_status",
        "shown_problems",
        "running_short",
        "last_contact_at",
        "outbox_depth",
        "hostname",
    )
    list_filter = ("status", ContactFilter, ProblemFilter, "school__region")
    search_fields = ("school__name", "id", "hostname")
    list_select_related = ("school",)
    actions = ("activate", "suspend", "revoke", "replace")
    exclude = ("hardware", "capabilities", "problems", "variants")
    readonly_fields = ("shown_problems", "shown_rhythm", "shown_hardware", "shown_ability", "shown_variants")

    @admin.display(description=_("problems there"))
    def shown_problems(self, node: Node) -> str:
        """What is wrong there, in words."""
        return problems_words(node.problems)

    @admin.display(description=_("contact"))
    def shown_rhythm(self, node: Node) -> str:
        """How often it comes."""
        return rhythm_words(node.rhythm, today=timezone.localdate())

    @admin.display(description=_("hardware"))
    def shown_hardware(self, node: Node) -> str:
        """What it can carry."""
        return hardware_words(node)

    @admin.display(description=_("can"))
    def shown_ability(self, node: Node) -> str:
        """What it can do."""
        return ability_words(node) or "–"

    @admin.display(description=_("variants of bases on its disk"))
    def shown_variants(self, node: Node) -> str:
        """Which form of which base it holds."""
        return ", ".join(f"{base[:12]}: {name}" for base, name in sorted(node.variants.items())) or "–"

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

    def has_invite_permission(self, request: HttpRequest) -> bool:
        """Allow codes to those who may add them."""
        return request.user.has_perm("schools.add_claimcode")

    @admin.action(description=_("Let another PC take its place: print its sheet"), permissions=("invite",))
    def replace(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Withdraw the key of one PC and answer the sheet by which a PC goes on in its name."""
        if queryset.count() != 1:
            messages.error(request, gettext("Choose one PC."))
            return None
        return pdf_answer(
            request,
            lambda: node_reinvite(
                node=queryset.select_related("school").get(),
                render=sheets_of_centre(),
                actor=actor_of(request),
                reason="admin",
                now=timezone.now(),
            ),
        )

    def _move(self, request: HttpRequest, queryset: QuerySet[Node], service: Any, done: str) -> None:  # noqa: ANN401
        actor, now = actor_of(request), timezone.now()
        rows_act(request, queryset, lambda node: service(node=node, actor=actor, reason="admin", now=now), done)


@admin.register(RetiredKey)
class RetiredKeyAdmin(ReadOnlyAdmin):
    """Keys that were a PC's once."""

    list_display = ("key_id", "node", "is_withdrawn", "retired_at")
    list_filter = ("is_withdrawn",)
    list_select_related = ("node__school",)


@admin.register(ClaimCode)
class ClaimCodeAdmin(ReadOnlyAdmin):
    """Claim codes: who made which, and whether it was used; never the code itself."""

    list_display = ("school", "created_by", "created_at", "expires_at", "used_at")
    list_select_related = ("node__school",)
    exclude = ("digest",)

    @admin.display(description=_("school"), ordering="node__school__name")
    def school(self, code: ClaimCode) -> str:
        """The school that it was printed for."""
        return code.node.school.name


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who changed what, when and why."""

    list_display = ("at", "actor", "shown_entity", "shown_old", "shown_new", "reason", "shown_link")
    list_filter = ("new",)
    list_select_related = ("link",)
    readonly_fields = ("shown_link", "shown_hash")
    search_fields = ("entity", "actor", "reason")

    @admin.display(description=_("what"), ordering="entity")
    def shown_entity(self, event: AuditEvent) -> str:
        """What it is about."""
        return entity_words(event.entity)

    @admin.display(description=_("from"), ordering="old")
    def shown_old(self, event: AuditEvent) -> str:
        """What it was."""
        return value_words(event.entity, event.old) or "–"

    @admin.display(description=_("to"), ordering="new")
    def shown_new(self, event: AuditEvent) -> str:
        """What it became, or what was done to it."""
        return value_words(event.entity, event.new)

    @admin.display(description=_("link of the chain"))
    def shown_link(self, event: AuditEvent) -> str:
        """The number of the row's link; none for some seconds after it was written."""
        link = getattr(event, "link", None)
        return str(link.number) if link else "–"

    @admin.display(description=_("hash of the link"))
    def shown_hash(self, event: AuditEvent) -> str:
        """The row's own hash in the chain."""
        link = getattr(event, "link", None)
        return link.own_hash if link else "–"
