"""Un-learning: without a school the sum is the one that never had it, bit for bit; what was shipped is named."""

import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.schools.models import AuditEvent
from central.training.combine import round_combine
from central.training.models import OptOut, Round, RoundStatus, Update, UpdateStatus
from central.training.offers import plan_for
from central.training.rounds import round_advance
from central.training.shared import seasons_shared
from central.training.withdrawal import school_readmit, school_withdraw, traces_of, withdrawals_follow
from tests.central.modes import hand_in, school_of, schools_many, season_robust
from tests.central.seasons import collecting, season_small
from tests.central.test_rollouts import release_make


@pytest.fixture
def schools(db, client, keys):
    return schools_many(client, 6)


@pytest.fixture
def season(schools):
    return season_small(wanted=3)


def withdraw(school, disk):
    return school_withdraw(school=school_of(school), actor="Гулнора", reason="asked to", disk=disk, now=timezone.now())


def adapter(round_, disk):
    return round_combine(round_=round_, disk=disk).step.adapter.b


def completed(round_, *, status, version=11, adopted=None):
    """The round as it is once its candidate stands at `status`; shipped, it is the season's adapter `adopted`."""
    release = Release.objects.create(
        kind=ReleaseKindChoice.ADAPTER,
        base=round_.season.base,
        version=version,
        title="candidate",
        status=status,
        digest=f"{version:064x}",
        contributions=list(round_.updates.accepted().values_list("digest", flat=True)),
        index_bytes=b"{}",
        created_by="test",
        created_at=timezone.now(),
    )
    ended = {"status": RoundStatus.COMPLETED, "ended_at": timezone.now(), "release": release, "version": adopted}
    Round.objects.filter(pk=round_.pk).update(**ended)
    return release


def filled(season, schools, disk):
    """A round that is about to be combined."""
    for number, school in enumerate(schools):
        hand_in(school, season, disk, number)
    round_ = collecting(season)
    round_advance(round_=round_, now=timezone.now())
    assert round_.status == RoundStatus.AGGREGATING
    return round_


@pytest.mark.parametrize("opened", [season_small, season_robust])
def test_without_the_school_the_adapter_is_that_of_a_season_that_never_had_it_to_the_last_bit(schools, disk, opened):
    with_it, without_it = opened(wanted=9), opened(wanted=9, base=release_make(2))
    for number, school in enumerate(schools):
        hand_in(school, with_it, disk, number)
        if number != 3:
            hand_in(school, without_it, disk, number)
    before = adapter(collecting(with_it), disk)

    assert withdraw(schools[3], disk) == ()

    after, never = adapter(collecting(with_it), disk), adapter(collecting(without_it), disk)
    for slot, array in never.items():
        np.testing.assert_array_equal(after[slot], array)
        assert not np.array_equal(before[slot], array)


def test_nothing_of_a_withdrawn_school_stays_on_the_disk_and_it_is_neither_asked_nor_counted(
    season, schools, disk, django_capture_on_commit_callbacks
):
    update = hand_in(schools[0], season, disk, 0)
    kept = hand_in(schools[1], season, disk, 1)
    with django_capture_on_commit_callbacks(execute=True):
        withdraw(schools[0], disk)
    update.refresh_from_db()
    assert (update.status, update.code) == (UpdateStatus.WITHDRAWN, "school_withdrawn")
    assert [path.stem for path in disk.updates.rglob("*.update")] == [kept.digest]
    node = update.node
    node.capabilities, node.running = ["train"], season.base.digest
    Update.objects.filter(pk=update.pk).delete()
    assert plan_for(node=node, now=timezone.now(), shared=seasons_shared.now()) is None
    again = hand_in(schools[0], season, disk, 5)
    assert (again.status, again.code) == (UpdateStatus.REFUSED, "school_withdrawn")
    school_readmit(school=school_of(schools[0]), actor="Гулнора", reason="", now=timezone.now())
    assert plan_for(node=node, now=timezone.now(), shared=seasons_shared.now()) is not None


def test_a_candidate_that_nobody_has_signed_is_passed_over_and_the_others_count_in_the_next_round(
    season, schools, disk
):
    round_ = filled(season, schools[:3], disk)
    candidate = completed(round_, status=ReleaseStatus.AWAITING_SIGNATURE)
    assert withdraw(schools[0], disk) == ()
    candidate.refresh_from_db()
    assert candidate.status == ReleaseStatus.REFUSED
    counted = collecting(season).updates.accepted().values_list("node", flat=True)
    assert {str(node) for node in counted} == {school.node_id for school in schools[1:3]}


@pytest.mark.parametrize("is_listed_whole", [False, True], ids=["now", "before lists"])
def test_what_was_shipped_stays_and_is_named_with_every_version_built_on_it(season, schools, disk, is_listed_whole):
    round_ = filled(season, schools[:3], disk)
    shipped = completed(round_, status=ReleaseStatus.READY, adopted=1)
    later = filled(season, schools[3:], disk)
    on_top = completed(later, status=ReleaseStatus.READY, version=12, adopted=2)
    listed = [*shipped.contributions, *on_top.contributions] if is_listed_whole else on_top.contributions
    Release.objects.filter(pk=on_top.pk).update(contributions=listed, card={"start": shipped.digest})
    update = Update.objects.get(node=schools[0].node_id)

    traces = withdraw(schools[0], disk)

    assert [(trace.release, trace.round, trace.updates) for trace in traces] == [
        (11, 1, (update.digest,)),
        (12, 2, (update.digest,)),
    ]
    assert [trace.release for trace in traces_of(school_of(schools[5]))] == [12]
    update.refresh_from_db()
    assert update.status == UpdateStatus.ACCEPTED
    assert shipped.status == ReleaseStatus.READY


def test_what_is_being_combined_at_the_moment_is_taken_out_once_it_is(season, schools, disk):
    round_ = filled(season, schools[:3], disk)
    withdraw(schools[0], disk)
    assert round_.updates.accepted().count() == 3
    withdrawals_follow(disk=disk, now=timezone.now())
    assert round_.updates.accepted().count() == 3
    candidate = completed(round_, status=ReleaseStatus.AWAITING_SIGNATURE)
    withdrawals_follow(disk=disk, now=timezone.now())
    candidate.refresh_from_db()
    assert candidate.status == ReleaseStatus.REFUSED
    assert not Update.objects.accepted().filter(node=schools[0].node_id).exists()


def test_the_page_and_the_command_withdraw_a_school_and_say_what_stays(season, schools, disk, admin_client, capsys):
    round_ = filled(season, schools[:3], disk)
    completed(round_, status=ReleaseStatus.READY, adopted=1)
    form = {"school": school_of(schools[0]).pk, "reason": "asked to"}
    answer = admin_client.post("/admin/training/optout/add/", form, follow=True)
    row = OptOut.objects.get()
    assert (row.school, row.actor, row.reason) == (school_of(schools[0]), "admin", "asked to")
    assert "11" in str([str(message) for message in answer.context["messages"]])
    assert admin_client.get(f"/admin/training/optout/{row.pk}/change/").status_code == 200

    call_command("school_withdraw", name="Мактаби №2", json=True)
    assert [trace["release"] for trace in json.loads(capsys.readouterr().out)["traces"]] == [11]
    with pytest.raises(CommandError):
        call_command("school_withdraw", name="Мактаби №77")
    assert OptOut.objects.count() == 2

    admin_client.post("/admin/training/optout/", {"action": "readmit", "_selected_action": [row.pk]})
    assert OptOut.objects.get().school == school_of(schools[1])


def test_withdrawing_again_changes_nothing(season, schools, disk):
    hand_in(schools[0], season, disk, 0)
    withdraw(schools[0], disk)
    before = [list(model.objects.values()) for model in (Update, OptOut, AuditEvent)]
    withdraw(schools[0], disk)
    assert [list(model.objects.values()) for model in (Update, OptOut, AuditEvent)] == before
