"""One sentence for each error, in the reader's language: what happened, and what to do about it.

Codes without a sentence here still end in a readable line, so that no door ever shows a traceback for a typed error.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from federation.errors import CapacityError, FederationError, TransportError, TrustError

SENTENCES: dict[str, str | Promise] = {
    "account_refused": gettext_lazy("The name “%(username)s” is taken or not a valid name; choose another."),
    "already_enrolled": gettext_lazy("This PC is enrolled already, for the school “%(school)s”."),
    "not_enrolled": gettext_lazy("This PC is not enrolled yet: run “node enrol” with the claim code of the school."),
    "wrong_root": gettext_lazy(
        "The centre does not have the fingerprint that was given; check the address and the printed fingerprint."
    ),
    "sheet_malformed": gettext_lazy(
        "This is not the whole text of a claim sheet; scan the square again, or type each part as it is printed."
    ),
    "authority_mismatch": gettext_lazy(
        "The server at this address is not the one that the sheet names; check the address and the printed fingerprint."
    ),
    "authority_out_of_date": gettext_lazy(
        "The certificate that this PC trusts has ended; enrol again with a new sheet of the ministry."
    ),
    "centre_not_trusted": gettext_lazy(
        "What answers at %(url)s cannot prove that it is the centre (%(problem)s); nothing was sent. "
        "Check this PC's clock and the address, and tell the ministry."
    ),
    "centre_unreachable": gettext_lazy("The centre at %(url)s does not answer; check the address and the link."),
    "centre_busy": gettext_lazy("The centre cannot answer now (status %(status)s); try again later."),
    "centre_refused": gettext_lazy("The centre refused the request (%(reason)s); ask the ministry."),
    "session_refused": gettext_lazy("The centre ended the session; try again."),
    "window_closed": gettext_lazy("The school lets new models come at other hours."),
    "link_rule_refused": gettext_lazy(
        "This cannot be kept: give 8 to 1000000 kbit/s or nothing, and both hours or neither."
    ),
    "port_in_use": gettext_lazy("Port %(port)s on %(host)s is in use or not allowed; choose another with --port."),
    "question_refused": gettext_lazy("A question has 1 to %(most)s characters; this one has %(characters)s."),
    "conversation_missing": gettext_lazy(
        "This conversation is not here any more, or it is somebody else's. Begin a new one."
    ),
    "title_refused": gettext_lazy("A title has 1 to %(most)s characters."),
    "history_refused": gettext_lazy("The page sent something that is no conversation. Load it anew."),
    "lesson_refused": gettext_lazy("There is no such grade or subject. Choose from the lists."),
    "too_many_waiting": gettext_lazy("%(waiting)s of your questions wait for an answer. Ask on when one has come."),
    "device_crowded": gettext_lazy(
        "Many questions from this device wait for an answer. Ask on when some have come, or sign in."
    ),
    "store_full": gettext_lazy(
        "This PC's disk is full, so nothing new can be kept. Nothing old is lost. Tell a teacher; a chat that is not "
        "stored works all the same."
    ),
    "engine_unavailable": gettext_lazy("The engine is not running; start it with “node run”."),
    "no_release_installed": gettext_lazy("No model is installed yet; run “node sync --once” while a link is up."),
    "answer_failed": gettext_lazy("The engine could not answer (%(reason)s); see logs/engine.log."),
    "engine_running": gettext_lazy("Another engine process already runs for this root."),
    "no_open_plan": gettext_lazy("There is no open round to learn for; one may come with the next sync."),
    "too_few_labels": gettext_lazy("The round asks for %(min_labels)s rated answers, and there are %(labels)s."),
    "training_stopped": gettext_lazy("Learning was stopped (%(reason)s); the next one goes on where it was."),
    "learning_hindered": gettext_lazy("This PC must not learn now (%(reason)s); try again later."),
    "learning_rule_refused": gettext_lazy(
        "This cannot be kept: give both hours, 1 to 1440 minutes or nothing, and a reason of up to 200 characters."
    ),
    "cannot_train": gettext_lazy(
        "This PC does not learn: its program came without learning. An installation stick from the ministry brings it."
    ),
    "training_failed": gettext_lazy("Learning failed: %(reason)s (log: %(log)s)."),
    "plan_start_missing": gettext_lazy("No open round starts from the model that runs here; sync first."),
    "supernode_unavailable": gettext_lazy(
        "This PC cannot hand updates in by Flower: its program came without learning."
    ),
    "disk_full": gettext_lazy(
        "The disk is full: %(needed_bytes)s bytes are needed and %(free_bytes)s are free; make room."
    ),
    "chunk_mismatch": gettext_lazy(
        "A part of the new release arrived altered and was refused; nothing was installed. Tell the ministry."
    ),
    "key_unreadable": gettext_lazy("The key at %(path)s cannot be used; enrol again with a new claim code."),
    "metadata_expired": gettext_lazy("The centre's metadata is out of date; the installed model stays in use."),
    "state_unreadable": gettext_lazy("The file %(path)s is damaged; restore it or install anew."),
    "release_withdrawn": gettext_lazy(
        "The ministry has withdrawn this model. It answers until another one has come; check its answers with care."
    ),
    "memory_too_small": gettext_lazy("The new model needs more memory than this PC has; the old one stays in use."),
    "gpu_too_small": gettext_lazy(
        "The new model is for a PC with a larger graphics card; the old one stays in use. Tell the ministry."
    ),
    "variant_unknown": gettext_lazy(
        "The new model or program has no form for this PC; the old one stays in use. Tell the ministry."
    ),
    "engine_too_old": gettext_lazy(
        "The new model needs a newer version of this program; the old one stays in use. Update the program."
    ),
    "adapter_for_another_base": gettext_lazy(
        "The new model was made for another base model; the old one stays in use. Tell the ministry."
    ),
    "api_key_refused": gettext_lazy("Give the key a name of 1 to %(most)s characters."),
    "api_key_missing": gettext_lazy("There is no key with the number %(key)s."),
    "api_key_unknown": gettext_lazy("The API key is not known here or is revoked; a teacher can make a new one."),
    "person_unknown": gettext_lazy("There is no account called “%(username)s”."),
    "model_unknown": gettext_lazy("There is no model “%(model)s” here; there are: %(known)s."),
    "queue_too_long": gettext_lazy("Too many questions are waiting; try again later."),
    "prompt_too_long": gettext_lazy("The question is too long for this model. Please shorten it."),
}
SENTENCES |= {
    "backup_passphrase_refused": gettext_lazy("Type a passphrase of at least 10 characters, twice the same."),
    "backup_passphrase_wrong": gettext_lazy("This passphrase does not open the backup. Nothing was changed."),
    "backup_unreadable": gettext_lazy("This file is no backup of a school's PC. Choose another."),
    "backup_damaged": gettext_lazy("The backup is damaged or cut short. Nothing was changed; take another backup."),
    "backup_too_new": gettext_lazy(
        "The backup was made by a newer version of this program. Update the program, then put it back."
    ),
    "backup_of_another_school": gettext_lazy(
        "The backup is of the school “%(school)s”, and this PC belongs to another. Nothing was changed."
    ),
    "backup_not_proved": gettext_lazy("The stick does not give back what was written on it; take another stick."),
    "backup_cut": gettext_lazy("The work was cut off. Nothing was changed; start once more."),
    "backup_stopped": gettext_lazy("The work was stopped. Nothing was changed."),
    "backup_under_way": gettext_lazy("A backup is being made or put back at this moment; wait until it is done."),
    "restore_unsettled": gettext_lazy(
        "First say whether the backup that was put back last works, or go back to the data from before it."
    ),
    "nothing_to_undo": gettext_lazy("No data from before a restore is kept here."),
    "node_running": gettext_lazy(
        "The database here is damaged, and the program still runs (process %(pid)s). End it, then start this once more."
    ),
    "https_address_missing": gettext_lazy(
        "This PC has no address in a school's network, so no telephone could come. Connect it to the network first."
    ),
    "https_authority_unreadable": gettext_lazy(
        "The app's certificate on this PC is damaged. Switch the app off, forget the certificate and switch the app on "
        "again; telephones then need the new one."
    ),
    "https_clock_wrong": gettext_lazy(
        "This PC's clock is wrong, and telephones refuse what it would sign. Set the date and the time, then try again."
    ),
    "https_port_taken": gettext_lazy(
        "Another program has the app's port. End it, or start this one with another --https-port."
    ),
    "https_switched_on": gettext_lazy("Switch the app off first."),
    "guesses_too_many": gettext_lazy("Too many wrong tries. Wait %(wait_seconds)s seconds, then try again."),
    "class_code_unknown": gettext_lazy(
        "No class has this code. Look at it again, digit by digit, or ask your teacher."
    ),
    "comparison_refused": gettext_lazy("This comparison has been decided already, or its answers are not there yet."),
    "pin_wrong": gettext_lazy("The PIN is wrong. Your teacher can give you a new one."),
    "stick_unknown": gettext_lazy(
        "There is no stick from the ministry at %(place)s; put the courier's stick in, wait a moment and try again."
    ),
    "stick_full": gettext_lazy(
        "The stick is full: %(needed_bytes)s bytes are needed and %(free_bytes)s are free. "
        "Make room on it or take another."
    ),
    "stick_forbidden": gettext_lazy(
        "The stick cannot be used: it is write-protected, or this program may not use it. Move the small switch on it, "
        "or ask whoever looks after this PC."
    ),
    "stick_gone": gettext_lazy(
        "The stick was pulled out or does not answer. Put it in again and start once more: nothing is lost."
    ),
    "stick_cut": gettext_lazy("The work was cut off. Put the stick in again and start once more: nothing is lost."),
    "stick_crowded": gettext_lazy("The stick holds far more files than it should; ask the courier for another."),
    "letter_too_long": gettext_lazy("A file on the stick is far too long and was not read; ask for another stick."),
    "letter_unreadable": gettext_lazy(
        "The letter for this school on the stick is damaged and was not read; ask for another stick."
    ),
    "letter_of_other_reader": gettext_lazy(
        "The letter on the stick was written to another PC and was not read. Tell the ministry."
    ),
    "bad_signature": gettext_lazy(
        "Something on the stick is not from the ministry and was refused. Tell the ministry."
    ),
    "metadata_rolled_back": gettext_lazy("The list of releases is older than the one that is known here."),
    "metadata_unsigned": gettext_lazy(
        "The list of releases on the stick is not signed by the ministry and was refused. Tell the ministry."
    ),
    "metadata_damaged": gettext_lazy(
        "The list of releases on the stick is damaged; ask the courier for another stick."
    ),
    "metadata_unreachable": gettext_lazy(
        "The list of releases on the stick is not complete; ask the courier for another stick."
    ),
    "blob_unavailable": gettext_lazy(
        "The stick does not hold the whole new model; what it has was taken, and the next stick brings the rest."
    ),
    "link_lost": gettext_lazy(
        "The stick was pulled out while the model was read. Put it in again and start once more: "
        "it goes on where it was."
    ),
    "courier_unknown": gettext_lazy(
        "This PC does not know yet whom to write to; bring a stick from the ministry in first."
    ),
    "contact_under_way": gettext_lazy(
        "This PC is busy with the centre or with another stick; try again in a few minutes."
    ),
    "centre_without_address": gettext_lazy(
        "This school trades with the centre by USB stick alone; there is no address to call."
    ),
}
SENTENCES |= {
    "textbook_missing": gettext_lazy("There is no textbook with the number %(number)s."),
    "textbook_there_already": gettext_lazy("This very file is here already, as “%(title)s”. Nothing has changed."),
    "textbook_too_big": gettext_lazy(
        "The file is too big: a textbook may have 64 MB. Save it with smaller pictures, or in parts, and try again."
    ),
    "textbook_kind_unknown": gettext_lazy(
        "This is no PDF, no DOCX and no plain text. Save the book as one of these; an old DOC file as DOCX."
    ),
    "textbook_damaged": gettext_lazy("The file is damaged and cannot be read. Open it, save it anew and try again."),
    "textbook_encrypted": gettext_lazy(
        "The PDF is locked with a password. Save it without one, and add that file instead."
    ),
    "textbook_without_text": gettext_lazy(
        "There are only pictures of pages in this file, and no text that could be read. Look for an edition with text."
    ),
    "textbook_letters_broken": gettext_lazy(
        "The text of this file comes out in wrong letters, because of its fonts. Save it as DOCX or text, and add that."
    ),
    "textbook_too_long": gettext_lazy("The file has more than 2,000 pages or six million letters. Add it in parts."),
    "textbook_too_heavy": gettext_lazy(
        "Reading this file takes too much memory or time for this PC. Save it anew, or in parts, and try again."
    ),
    "textbook_reading_cut": gettext_lazy(
        "Reading was cut off three times. Replace the file by one that was saved anew, or take the book away."
    ),
}
TEXTBOOK_REASONS: dict[str, str | Promise] = {
    "title": gettext_lazy("A book needs a title of 1 to 120 characters."),
    "subject": gettext_lazy("There is no such subject. Choose from the list."),
    "grade": gettext_lazy("Grades are 1 to 11, or none."),
    "file": gettext_lazy("Choose a file."),
}
CENTRE_REASONS: dict[str, str | Promise] = {
    "claim_code_unknown": gettext_lazy("The centre does not know this claim code; check it letter by letter."),
    "claim_code_used": gettext_lazy("This claim code has been used; ask the ministry for a new one."),
    "claim_code_expired": gettext_lazy("This claim code is out of date; ask the ministry for a new one."),
    "sheet_root_unknown": gettext_lazy(
        "The centre never had the root of trust with the printed fingerprint; check the address and each digit, or ask "
        "the ministry for a new sheet. The code is not used up."
    ),
    "key_retired": gettext_lazy(
        "Another PC has taken this PC's place at the centre; enrol it again with a new sheet: node enrol --again."
    ),
    "node_not_active": gettext_lazy("The ministry has not let this PC in, or has suspended it; ask the ministry."),
}
PEOPLE_REASONS: dict[str, str | Promise] = {
    "class_name_invalid": gettext_lazy("A class needs a name of 1 to 20 characters."),
    "class_taken": gettext_lazy("There is a class of this name already."),
    "class_full": gettext_lazy("A class has at most 60 pupils."),
    "name_invalid": gettext_lazy("A person needs a first name, and no name may have over 60 characters."),
    "pupil_there_already": gettext_lazy("The class has a pupil of this name already."),
    "last_head": gettext_lazy("This is the last head who can sign in; make another first."),
    "password_twice": gettext_lazy("The new password was not typed twice alike."),
    "password_wrong": gettext_lazy("The present password is wrong."),
    "password_short": gettext_lazy("A password needs at least 10 characters. A short sentence is easy to remember."),
    "password_same": gettext_lazy("The new password is the present one. Choose another."),
    "not_staff": gettext_lazy("A pupil has no password; give a new PIN instead."),
}
COMPLETION_REASONS: dict[str, str | Promise] = {
    "not_json": gettext_lazy("The request is not a JSON object."),
    "too_large": gettext_lazy("The request is too large."),
    "missing": gettext_lazy("“%(param)s” is missing."),
    "wrong_type": gettext_lazy("“%(param)s” is of a wrong type."),
    "out_of_range": gettext_lazy("“%(param)s” is outside its allowed range."),
    "not_supported": gettext_lazy("The school's model cannot do what “%(param)s” asks for."),
    "no_question": gettext_lazy("The last message must be a question of the user."),
}
# Of errors whose `reason` says more than their own code.
REASONS: dict[str, dict[str, str | Promise]] = {
    "centre_refused": CENTRE_REASONS,
    "people_refused": PEOPLE_REASONS,
    "completion_refused": COMPLETION_REASONS,
    "textbook_refused": TEXTBOOK_REASONS,
    "answer_failed": {"prompt_too_long": SENTENCES["prompt_too_long"]},
}


class _Fields(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return "?"


def error_sentence(error: FederationError) -> str:
    """Return the sentence for `error` in the active language."""
    words = sentence_of(error.code, error.fields)
    return words if words != error.code else f"{_family(error)} ({error})"


def sentence_of(code: str, fields: Mapping[str, object]) -> str:
    """Return the sentence for `code` with `fields` filled in; the bare code where there is none for it."""
    sentence = REASONS.get(code, {}).get(str(fields.get("reason"))) or SENTENCES.get(code)
    return code if sentence is None else str(sentence) % _Fields(fields)


def code_sentence(code: str) -> str:
    """Return the sentence for a `code` that was kept without its fields; the bare code where there is none for it."""
    sentence = str(SENTENCES.get(code, ""))
    return code if not sentence or "%(" in sentence else sentence


def _family(error: FederationError) -> str:
    if isinstance(error, TrustError):
        return _("Refused, because it cannot be trusted.")
    if isinstance(error, TransportError):
        return _("It did not work this time; try again later.")
    if isinstance(error, CapacityError):
        return _("This PC needs attention.")
    return _("The request is not valid.")
