"""One sentence for people for every code: what happened and what to do, in the language in force.

The English sentences are the keys of the translations in `locale/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

_UPDATE = _("The school's update was refused (%(code)s); the school takes part again with the next plan.")
_METADATA = _("The published release list is damaged (%(code)s); create the keys or restore the centre's backup.")
_UNKNOWN = _("The request was refused (%(code)s); tell the centre's operator this code.")

SENTENCES: Mapping[str, str] = {
    # What a school's PC sends.
    "malformed_document": _("The message cannot be read (%(field)s: %(problem)s); update the school's program."),
    "body_too_large": _("The message is too long; send at most %(limit_bytes)s bytes at a time."),
    "body_damaged": _("The message was damaged on the way; send it again."),
    "bad_signature": _("The signature is not by this school PC's key; check that its key file was not replaced."),
    "wrong_kind": _("A message of another kind (%(found)s) was sent here; update the school's program."),
    "unsuitable_key": _("The public key cannot be used (%(problem)s); make a new EC P-384 key on the school's PC."),
    "parcel_name_invalid": _("Parcel %(seq)s has an impossible name; update the school's program."),
    "parcel_number_invalid": _("Parcel %(seq)s has an impossible number; update the school's program."),
    "parse_error": _("The message cannot be read; send it again."),
    "method_not_allowed": _("This address does not take that kind of request; update the school's program."),
    "not_found": _("There is nothing at this address; check it."),
    "throttled": _("Too many requests came from this address; wait a minute and try again."),
    # Enrolment and sessions.
    "claim_code_unknown": _("This claim code is not known; check each character or ask the ministry for a new code."),
    "claim_code_used": _("This claim code was already used on another PC; ask the ministry for a new code."),
    "sheet_root_unknown": _(
        "The sheet names a root of trust that this centre never had; print a new sheet. Its claim code is not used up."
    ),
    "claim_code_expired": _("This claim code expired on %(expired_at)s; ask the ministry for a new code."),
    "key_taken": _("This key already belongs to another school PC; make a new key and try again."),
    "key_retired": _("This key was replaced; enrol the school's PC again with a new sheet."),
    "node_without_key": _("This school PC's key was withdrawn; its new claim sheet brings it back."),
    "address_missing": _("The centre's address is not set; set SORO_CENTRAL_ADDRESS to what schools are to call."),
    "authority_unreadable": _("There is no certificate in %(path)s; set SORO_CENTRAL_AUTHORITY to a PEM file."),
    "school_list_invalid": _("The list cannot be used: line %(line)s: %(problem)s. Nothing was taken from it."),
    "no_school_waits": _("No school «%(region)s» waits for its first PC; check the region's name."),
    "node_unknown": _("The centre does not know this school PC; enrol it with a claim code."),
    "node_not_active": _("This school PC is not active (%(status)s); ask the ministry to activate it."),
    "node_mismatch": _("The message is in another school PC's name; do not copy one PC's disk to another."),
    "nonce_unknown": _("The challenge is used up or too old; ask for a new one."),
    "session_unknown": _("The session has ended; open a new one."),
    "session_missing": _("This address needs an open session; open one first."),
    # USB sticks.
    "stick_unknown": _("There is no USB stick or ZIP file of one at %(place)s; check the path, or write one first."),
    "stick_full": _(
        "The stick is full: %(needed_bytes)s bytes are needed, %(free_bytes)s are free; make room or take another."
    ),
    "stick_forbidden": _("The stick at %(place)s is write-protected or not this user's; change that or take another."),
    "wheels_unavailable": _(
        "The packages for Python %(python)s could not be had (%(problem)s); connect the centre to a package index once."
    ),
    "node_code_missing": _(
        "The code for schools' PCs is not at %(path)s; install the centre from the whole project, and try again."
    ),
    "stick_gone": _(
        "The stick was pulled out or does not answer; put it in again and repeat: it goes on where it was."
    ),
    "stick_crowded": _("The stick holds far more files than it should; take another."),
    "letter_too_long": _("A file is far too long and was not read; the school writes it again on the next stick."),
    "letter_unreadable": _(
        "A file is damaged, or sealed to another centre, and was not read; "
        "the school writes it again on the next stick."
    ),
    # People at the centre.
    "status_move_illegal": _("%(entity)s cannot go from %(old)s to %(new)s; look at its present status."),
    "status_conflict": _("Somebody changed %(entity)s at the same moment; reload the page and look again."),
    "correction_missing": _("A correction cannot be empty; write it, or reject the rating."),
    "nothing_masked": _("The words are the same as before; put a word in brackets in the place of each personal one."),
    "teacher_unknown": _("No rating is by the pseudonym %(teacher)s; copy it from a rating's page."),
    "school_unknown": _("There is no school «%(name)s»; check its name or invite it first."),
    "release_unknown": _("There is no release «%(release)s»; give its version or the first 8 digits of its digest."),
    "program_unknown": _("There is no program «%(program)s»; «program list» shows each version and number."),
    "program_not_ready": _(
        "Program %(program)s is not signed or was withdrawn (%(status)s); choose one that is ready."
    ),
    "base_not_ready": _("Release %(release)s is not a signed base in force; sign it first or choose another."),
    "build_memory_short": _(
        "This build needs %(needed_bytes)s bytes of memory (for «%(step)s»), and %(available_bytes)s are to be had "
        "here; end other programs, use a machine with more memory, or choose INT8 without a chat tuning."
    ),
    "build_under_way": _("Another build works in %(work)s; wait until it is over, then build again."),
    "build_interrupted": _("The building of release %(release)s was cut off; make it a draft again and build it."),
    "variants_differ": _(
        "The variant %(variant)s differs from the first in %(what)s, so one adapter cannot serve both; "
        "report it to the developers."
    ),
    "release_not_ready": _("Release %(release)s is not signed or was revoked; choose one that is ready."),
    "rollout_unknown": _("There is no rollout %(rollout)s; check its number."),
    "wave_invalid": _("The wave «%(wave)s» cannot be read; write NAME=school,school, NAME=25%% or NAME=+50."),
    "wave_undecided": _("Wave %(wave)s is %(status)s: decide about it first, then go on."),
    "window_invalid": _("The hours begin and end at %(time)s; give two different times, or none."),
    "budget_spent": _("%(failed)s schools have failed and %(allowed)s may: find out why before you go on."),
    "filter_name_taken": _("There is a filter called «%(name)s» already; choose another name."),
    "release_never_ran": _("No school has run release %(release)s, so schools cannot return to it."),
    "rollout_without_waves": _("The rollout offers the release to nobody; add at least one wave."),
    "approver_is_creator": _("%(user)s made this rollout and may not approve it; ask a colleague."),
    "reason_missing": _("Overriding a verdict needs a reason; write one."),
    "season_unknown": _("There is no season %(season_id)s; check its id."),
    "season_under_way": _("A season on this release is open already; close it first."),
    "season_closed": _("The season %(season_id)s is closed; the school takes part in the next one."),
    "plan_unknown": _("There is no plan %(plan_id)s; check its id."),
    "round_unknown": _("There is no round %(round_id)s; check its id."),
    "round_not_enough": _("The round has updates of %(accepted)s schools and needs %(minimum)s; wait for more."),
    "round_blocked": _(
        "Another round of the season is being combined, or its candidate waits for the signature; "
        "wait, or go on without that candidate."
    ),
    "mode_terms_invalid": _("The mode cannot have %(value)s as %(field)s; docs/operations.md lists the settings."),
    "modes_exclude": _("These settings are not those of the mode «%(mode)s»; robust and private exclude each other."),
    "scheme_not_for_mode": _(
        "The mode «%(mode)s» cannot keep its promise with %(scheme)s added up by %(fusion)s; "
        "docs/operations.md says what goes together."
    ),
    "too_few_to_be_robust": _(
        "The round has %(updates)s updates, and a robust one needs %(fewest)s; let it collect longer."
    ),
    "school_twice_in_round": _("The round counts two updates of the school %(school)s; report it to the developers."),
    "update_outlier": _("The update stands apart from its round and waits; look at its figures and decide."),
    "privacy_budget_spent": _("The school's privacy budget is spent; it learns no more in private seasons."),
    "school_withdrawn": _("The school has withdrawn from learning; let it take part again first."),
    "upload_piece_invalid": _("A piece of an upload does not fit; an update has at most %(max_bytes)s bytes."),
    "upload_offset_wrong": _("Bytes before this piece are missing; go on at byte %(received_bytes)s."),
    "upload_damaged": _("The upload was damaged on the way; send it again from the start."),
    "account_region_wrong": _(
        "A regional admin needs a region, and whoever is there for the whole country has none; "
        "correct the role or the region."
    ),
    "name_reserved": _("«%(username)s» is the name of a part of the centre; choose another name."),
    "outside_region": _(
        "%(entity)s lies outside the region «%(region)s», for which your account is, or reaches beyond it; "
        "ask a national admin."
    ),
    "signin_locked": _("Too many sign-ins have failed; wait %(minutes)s minutes and try again."),
    "second_factor_wrong": _("This code is wrong or was used before; type the one that the telephone shows now."),
    "second_factor_locked": _("Too many codes were wrong; wait %(seconds)s seconds and type the one shown then."),
    "role_reads_only": _("The role of «%(user)s» only reads here; ask an admin to do it."),
    "user_exists": _("There is already a user «%(username)s»; choose another name."),
    "anchors_unreadable": _("The anchor file %(path)s is damaged at line %(line)s; restore it."),
    # The machine and its files.
    "port_in_use": _("Port %(port)s is taken by another program; end that program or choose another with %(option)s."),
    "database_unreachable": _("The database does not answer; see that it runs, and SORO_CENTRAL_DATABASE_URL."),
    "migrations_missing": _("The tables are of an older program; run: manage.py central migrate."),
    "broker_unreachable": _("The broker takes no messages; see that it runs, and SORO_CENTRAL_BROKER_URL."),
    "part_unknown": _("The centre has no part %(part)s; as its settings are, it has %(parts)s."),
    "storage_unwritable": _("The centre cannot write under %(root)s; check the disk and the folder's owner."),
    "backup_place_taken": _(
        "«%(place)s» holds something else than an earlier backup of the same kind (%(kind)s); name an empty folder."
    ),
    "storage_away": _("The storage of release files does not answer (%(problem)s); check its address and keys."),
    "storage_misnamed": _("«%(value)s» names no storage; write SORO_CENTRAL_BLOBS=s3://bucket/prefix."),
    "blob_damaged": _("The storage holds other bytes under %(sha256)s; restore it or build the release again."),
    "disk_full": _("The disk is full: %(needed_bytes)s bytes are needed, %(free_bytes)s are free; make room."),
    "repository_missing": _("The centre has no keys yet; run: manage.py central keys make."),
    "key_unreadable": _(
        "The key %(path)s is missing or damaged; restore the centre's backup, or rotate it: keys rotate."
    ),
    "key_exists": _("A key is already at %(path)s; keep it."),
    "passphrase_wrong": _("This passphrase does not open %(path)s; type it again."),
    "signatures_missing": _("It is staged (%(roles)s) and waits for the offline keys to sign it; see: keys show."),
    "key_not_in_force": _("No role has the key %(key)s, or several begin so; take its id from: keys show."),
    "key_not_needed": _("The key %(path)s counts for nothing in this request; take a key that keys show names."),
    "role_unknown": _("There is no role %(role)s that this could be done to; see: keys show."),
    "keys_too_few": _("The role %(role)s needs %(threshold)s keys; give a new one with --public."),
    "request_unreadable": _("There is no signing request in %(path)s; export it again."),
    "request_outdated": _("Nothing, or something else by now, waits for this signature; export a new request."),
    "suite_invalid": _(
        "The suite %(path)s cannot be used: line %(line)s: %(problem)s; mend it and check it with suite_check."
    ),
    "checkpoint_missing": _(
        "There is no model at %(source)s; check the path or the link to the hub of models, "
        "or install the stand-in package."
    ),
    "checkpoint_incomplete": _("The model at %(source)s lacks %(missing)s; copy it again in full."),
    "unsupported_architecture": _(
        "The model at %(source)s is of the kind %(architecture)s; use a text model of the kind %(supported)s."
    ),
    "exporter_refused": _(
        "The exporter %(exporter)s makes no graph of %(architecture)s (%(problem)s); "
        "build with --exporter %(other)s, or with that as the exporter in the recipe."
    ),
    "quantisation_too_lossy": _(
        "The small model is too much worse in %(language)s: perplexity %(shipped)s against %(reference)s; "
        "use another checkpoint."
    ),
    "package_too_large": _(
        "No package of %(max_bytes)s bytes can be made; the smallest has %(smallest_bytes)s. Allow more bytes."
    ),
    "recipe_invalid": _("The recipe cannot have %(value)s as %(name)s; docs/operations.md lists the choices."),
    "trim_too_lossy": _(
        "The smaller vocabulary loses words of %(language)s (only %(share)s stay as they were); "
        "build with the whole vocabulary or use another checkpoint."
    ),
    "trim_perplexity_too_high": _(
        "The smaller vocabulary makes text in %(language)s less likely: %(trimmed)s bits a byte instead of %(whole)s, "
        "perplexity higher by a share of %(increase)s where %(allowed)s is allowed; build with the whole vocabulary or "
        "use another checkpoint."
    ),
    "graph_unexpected": _("The exported model is not as expected (%(expected)s); use another checkpoint."),
    "hold_failed": _(
        "The centre could not measure its own part of the round (%(reason)s); see that the base can be read and memory "
        "is free, then combine the round after all."
    ),
    "probe_failed": _(
        "The centre could not try the round's updates on corrections (%(reason)s); see that the base can be read and "
        "memory is free, then combine the round after all."
    ),
    "tokenizer_unusable": _("The model's tokenizer cannot be used; use another checkpoint."),
    "engine_failed": _("The engine cannot run %(path)s (%(problem)s); build the release again."),
    "package_incomplete": _("The release at %(path)s lacks %(missing)s; build it again."),
    "package_card_invalid": _("The release's card at %(path)s is damaged; build it again."),
    "release_damaged": _("The file %(path)s of the release is damaged; build it again."),
    "adapter_damaged": _("The adapter at %(path)s is damaged; open a new round."),
    "adapter_for_another_base": _("The adapter belongs to another base; open a round on the right one."),
    "adapter_shape_mismatch": _("The adapter does not fit the base at %(slot)s; open a round on the right base."),
    "adapter_rank_too_large": _(
        "The adapter's rank %(found)s is above %(largest)s, the base's largest; open a round on another base."
    ),
    "adapter_not_finite": _("The adapter holds impossible numbers at %(slot)s; open a new round."),
    "nothing_to_aggregate": _("No update can be used; wait for more schools."),
    "contribution_mismatch": _("The update of %(node_id)s does not fit the others; refuse it and open a new round."),
    "contribution_not_finite": _("The update of %(node_id)s holds impossible numbers; open a new round."),
    "contribution_unweighable": _("The update of %(node_id)s cannot be weighed; open a new round."),
    "superlink_unreachable": _("The SuperLink at %(address)s does not answer; see its log, the centre tries again."),
    "superlink_refused": _("The SuperLink refused «%(call)s» (%(reason)s); see its log."),
    "flower_key_refused": _("Flower cannot use this school PC's key (%(reason)s); enrol the PC again."),
    "flower_key_burnt": _("This school PC's key was withdrawn from Flower for good; enrol the PC again."),
    "file_id_refused": _UPDATE,
    "run_config_refused": _("The Flower run has a wrong setting %(key)s; report it to the developers."),
    "metadata_damaged": _METADATA,
    "release_not_trusted": _METADATA,
}


class _Fields(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"


def sentence(code: str, fields: Mapping[str, object]) -> str:
    """Return the sentence for `code` with its `fields` filled in; an unforeseen code gets one that names it."""
    fallback = _UPDATE if code.startswith(("update_", "malformed_update")) else _UNKNOWN
    return gettext(SENTENCES.get(code, fallback)) % _Fields({**fields, "code": code})
