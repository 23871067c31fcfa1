"""The page on which the head of the school enrols the PC with the ministry's sheet."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from federation.errors import FederationError
from federation.wire.sheet import Sheet, sheet_read, sheet_text
from node.accounts import Role, has_role
from node.sentences import error_sentence
from node.sync.self_enrol import sheet_enrol_or_keep


class SheetForm(forms.Form):
    """Takes the square's text, or else what is printed beside it."""

    square = forms.CharField(
        label=_("What the square on the sheet says"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "autofocus": True, "spellcheck": "false"}),
    )
    address = forms.CharField(label=_("The centre's address"), required=False)
    code = forms.CharField(label=_("Claim code"), required=False)
    root_sha256 = forms.CharField(label=_("Fingerprint of the root of trust"), required=False)
    authority_sha256 = forms.CharField(label=_("Fingerprint of the web server's authority"), required=False)

    def sheet(self) -> Sheet:
        """Return the sheet that was given.

        Raises:
            SheetMalformed: it is not whole.
        """
        given = self.cleaned_data
        if given["square"]:
            return sheet_read(given["square"])
        typed = Sheet(
            code="".join(given["code"].split()),
            root_sha256=given["root_sha256"].lower(),
            authority_sha256=given["authority_sha256"].lower(),
            address=given["address"],
        )
        return sheet_read(sheet_text(typed))


@require_http_methods(["GET", "POST"])
@login_required
def enrol(request: HttpRequest) -> HttpResponse:
    """Enrol this PC, or say why not."""
    if not has_role(request.user, Role.HEAD):
        raise PermissionDenied
    form = SheetForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        try:
            enrolled = sheet_enrol_or_keep(root=settings.NODE_ROOT, sheet=form.sheet())
        except FederationError as error:
            return _page(request, form, error_sentence(error))
        if enrolled is None:
            messages.info(request, gettext("There is no link now. This PC enrols by itself as soon as there is one."))
            return redirect("status")
        words = gettext("This PC is now the node of the school “%(school)s”.")
        messages.success(request, words % {"school": enrolled.enrolment.school})
        if enrolled.waits_for_approval:
            messages.info(request, gettext("The ministry has yet to approve it; until then nothing is sent."))
        return redirect("status")
    return _page(request, form, "")


def _page(request: HttpRequest, form: SheetForm, problem: str) -> HttpResponse:
    status = 400 if problem else 200
    return render(request, "node/enrol.html", {"form": form, "problem": problem}, status=status)
