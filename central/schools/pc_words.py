"""What a school's PC reports as a code, in words for the ministry: what is wrong there, and who mends it how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

PC_CODES: Mapping[str, str] = {
    # What a person at the school, or a technician, mends.
    "disk_full": _("the disk is nearly full: somebody has to make room"),
    "memory_too_small": _("the model needs more memory than this PC has"),
    "gpu_too_small": _("the model needs a larger graphics card than this PC has"),
    "engine_too_old": _("the program there is too old for the model: update it"),
    "state_unreadable": _("a file that says which model is installed is damaged: restore it or install anew"),
    "package_incomplete": _("files of the installed model are missing: it has to be fetched again"),
    "package_card_invalid": _("the installed model's card is damaged: it has to be fetched again"),
    "engine_failed": _("the engine could not run the model"),
    "release_withdrawn": _("the model in use there was withdrawn: it waits for another"),
    # How the way to a new release ended.
    "chunk_mismatch": _("a part arrived altered and was refused"),
    "blob_unavailable": _("a part of the release could not be had from anywhere"),
    "link_lost": _("the link broke off during the download"),
    "fetch_stopped": _("the download was stopped there"),
    "release_damaged": _("a file of the release was damaged"),
    "release_not_trusted": _("the signed list of releases does not hold this release"),
    "variant_unknown": _("the release has no such form as the PC was told to fetch"),
    "base_missing": _("the base model that the adapter stands on is not there"),
    "adapter_for_another_base": _("the adapter was made for another base model"),
    "adapter_rank_too_large": _("the adapter is larger than the base model can carry"),
    "adapter_shape_mismatch": _("the adapter does not fit the base model"),
    "adapter_damaged": _("the adapter's file is damaged"),
    "adapter_not_finite": _("the adapter holds impossible numbers"),
    "self_test_timeout": _("the self-test took too long"),
    "self_test_crashed": _("the model ended the self-test's process"),
    "self_test_interrupted": _("the self-test was cut off too often"),
    "answers_empty": _("the model answered nothing in the self-test"),
    "perplexity_out_of_band": _("the model answers unlike it did at the centre"),
    "trial_crash_loop": _("the model crashed again and again on trial"),
    # How the way to a newer program ended.
    "program_migration_failed": _("the new program could not bring a copy of the school's data up to its tables"),
    "program_page_silent": _("the new program's page did not answer"),
    "program_engine_silent": _("the new program's engine did not answer"),
    "program_crash_loop": _("the PC went down again and again under the new program"),
    "program_damaged": _("a file of the new program was altered on the PC's disk"),
    "update_state_unreadable": _("a file that says how an update stands is damaged: install anew from a stick"),
    # What the centre itself concludes.
    "runs_another_release": _("it ran the release, and runs another one now"),
    "rolled_back": _("it went back, as the centre had told it"),
}


def pc_code_words(code: str) -> str:
    """Return what `code` says, in the reader's language; an unforeseen code is named as it is."""
    if not code:
        return ""
    words = PC_CODES.get(code)
    return gettext(words) if words else gettext("another problem (%(code)s)") % {"code": code}


def problems_words(codes: Iterable[str]) -> str:
    """Return all problems of a PC in one line; a dash where there is none."""
    return "; ".join(pc_code_words(code) for code in codes) or "–"
