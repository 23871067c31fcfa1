"""A running release that the centre has withdrawn: what a stick tells the school, and what the school goes back to."""

from central.releases.services import release_revoke
from central.rollouts.models import Assignment
from central.schools.models import Node
from federation.trust import stick_layout as layout
from federation.trust.stick_disk import StickDisk
from node.installed.services import running_is_withdrawn, trial_commit
from node.installed.state import slots_read
from node.stick.sentences import brought_in_sentences
from node.sync.services import problems_find
from tests.courier.conftest import package_make


def install(centre, school, stick, folder, **kind):
    """Roll a release out, and let the school run it and say so."""
    release = centre.publish(folder, **kind)
    centre.roll_out(release)
    centre.export(stick)
    assert school.bring_in(stick).failures == ()
    commit(centre, school, stick)
    return release


def commit(centre, school, stick):
    assert trial_commit(root=school.root, now=school.clock())
    school.write_out(stick)
    assert centre.take_in(stick).problems == []


def withdraw(centre, stick, release):
    release_revoke(release=release, disk=centre.disk, actor="t", reason="t", now=centre.clock())
    centre.export(stick)


def test_a_stick_takes_the_school_back_to_the_release_that_it_ran_before(centre, enrolled, stick, package, tmp_path):
    first = install(centre, enrolled, stick, package)
    second = install(centre, enrolled, stick, package_make(tmp_path / "second", seed=5))
    withdraw(centre, stick, second)

    outcome = enrolled.bring_in(stick)

    assert (outcome.release_version, outcome.release_state, outcome.failures) == (first.version, "trial", ())
    assert not outcome.is_withdrawn
    commit(centre, enrolled, stick)
    assert slots_read(enrolled.root).current == first.digest == Node.objects.get().running
    newest = Assignment.objects.get(rollout__release=second)
    assert (newest.status, newest.error_code) == ("reverted", "rolled_back")


def test_without_another_release_the_withdrawn_one_goes_on_and_both_sides_know(centre, enrolled, stick, package):
    release = install(centre, enrolled, stick, package)
    withdraw(centre, stick, release)
    before = slots_read(enrolled.root)
    assert problems_find(enrolled.root) == ()

    outcome = enrolled.bring_in(stick)

    assert (outcome.is_withdrawn, outcome.failures) == (True, ())
    assert "Вазорат ин моделро бозпас гирифтааст" in " ".join(brought_in_sentences(outcome))
    assert (slots_read(enrolled.root), running_is_withdrawn(root=enrolled.root)) == (before, True)
    assert (enrolled.root / "releases" / release.digest / "model.bin").exists()
    enrolled.write_out(stick)
    centre.take_in(stick)
    assert Node.objects.get().problems == ["release_withdrawn"]


def test_a_stick_does_not_carry_the_base_of_a_withdrawn_adapter_to_a_school_that_has_it(
    centre, enrolled, stick, package, tmp_path
):
    base = install(centre, enrolled, stick, package)
    adapter = package_make(tmp_path / "adapter", seed=9)
    (adapter / "model.bin").rename(adapter / "adapter.bin")
    second = install(centre, enrolled, stick, adapter, base=base)
    third = centre.publish(package_make(tmp_path / "third", seed=7), base=base)
    centre.roll_out(third)
    (tmp_path / "empty").mkdir()
    empty = StickDisk(tmp_path / "empty")
    withdraw(centre, empty, second)
    carried = {path.name for path in (empty.place / "soro" / layout.TARGETS).rglob("*.json")}
    assert carried == {f"{third.digest}.{third.digest}.json"}
