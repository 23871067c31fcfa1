"""What came of a stick, in plain sentences in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext as _

from federation.wire.releases import InstallState
from node.installed.errors import ReleaseWithdrawn
from node.sentences import CENTRE_REASONS, sentence_of
from node.stick.outcomes import BroughtIn, Failure, WrittenOut


def brought_in_sentences(outcome: BroughtIn) -> list[str]:
    """Return what a stick brought, the most important first; what failed comes last, each with what to do."""
    lines = []
    if outcome.school:
        lines.append(_("This PC is now the node of the school “%(school)s”.") % {"school": outcome.school})
    if outcome.address:
        lines.append(_("Should a link come, this PC calls the centre at %(address)s.") % {"address": outcome.address})
    if outcome.refusal:
        lines.append(_refusal(outcome.refusal))
    elif not outcome.has_letter and not outcome.is_first_release:
        lines.append(_("There is no letter for this school on the stick; ask the courier for one that has it."))
    if outcome.ratings_safe:
        lines.append(_("Ratings that have arrived at the centre: %(count)d.") % {"count": outcome.ratings_safe})
    if outcome.updates_settled:
        lines.append(_("The centre has answered on what this school learnt."))
    if outcome.has_plan:
        lines.append(_("The centre invites this school to a round of learning."))
    lines += _release(outcome)
    if outcome.is_withdrawn:
        lines.append(sentence_of(ReleaseWithdrawn.code, {}))
    if outcome.is_older:
        lines.append(_("The stick is older than what this PC knows already; only its files were used."))
    return lines + list(dict.fromkeys(map(_failure, outcome.failures)))


def written_out_sentences(outcome: WrittenOut) -> list[str]:
    """Return what was put on a stick, and what happens next."""
    if outcome.is_enrolment:
        return [
            _("The request to enrol is on the stick; the answer comes on a later one."),
            _("Take the stick out and give it to the courier."),
        ]
    lines = [_("Ratings on the stick: %(count)d.") % {"count": outcome.ratings}]
    if outcome.updates:
        lines.append(_("What this school learnt is on the stick too."))
    return [*lines, _("Take the stick out and give it to the courier.")]


def _failure(failure: Failure) -> str:
    words = sentence_of(failure.code, failure.fields)
    if words != failure.code:
        return words
    return _("Something on the stick could not be used (%(code)s); tell the ministry.") % {"code": failure.code}


def _refusal(code: str) -> str:
    if code == "node_not_active":
        return _("The ministry has not admitted this PC, or has suspended it; ask the ministry.")
    reason = CENTRE_REASONS.get(code, _("The centre refused the request (%(reason)s); ask the ministry."))
    return str(reason) % {"reason": code}


def _release(outcome: BroughtIn) -> list[str]:
    version = {"version": outcome.release_version}
    if outcome.release_state == InstallState.COMMITTED.value:
        return [_("Release %(version)d is in use.") % version]
    if outcome.release_state == InstallState.TRIAL.value:
        return [_("Release %(version)d is being tried; the page «Status» shows when it stays.") % version]
    if outcome.release_state:
        return [_("Release %(version)d was not put in use; the old model stays.") % version]
    return []
