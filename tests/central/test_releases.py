"""Releases: states, the gate, signing, and the doors to their bytes."""

import json
import math

import pytest
from django.utils import timezone

from central.releases.errors import BaseNotReady
from central.releases.gate import AdapterReport, BaseReport, GateBounds, PerplexityPair, adapter_judge, base_judge
from central.releases.judge import release_gate
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.recipe import recipe_read
from central.releases.services import (
    builds_interrupted_fail,
    release_build_begin,
    release_built,
    release_draft_create,
    release_folder,
    release_pass_over,
    release_revoke,
    release_sign,
)
from central.releases.suite_comparison import SuiteReport, suites_compare
from central.releases.variants import BuiltPackage
from central.schools.errors import StatusConflict
from central.schools.models import AuditEvent
from central.schools.transitions import StatusMoveIllegal
from federation.inference.suite_run import Outcome
from federation.trust.tuf_publisher import targets_read
from federation.wire.canonical import sha256_hex

pytestmark = pytest.mark.django_db
SUITE = SuiteReport(suites={"own": "0"}, outcomes={"own/1": Outcome(subject="s", is_right=True)}, prompts=1)
ALONE = suites_compare(SUITE, None, alpha=0.05)


def _base_report(**shipped):
    perplexity = {lang: PerplexityPair(reference=60.0, shipped=value) for lang, value in shipped.items()}
    return BaseReport(perplexity=perplexity, divergence=0.01, suite=SUITE)


GOOD = _base_report(tg=60.5, en=60.5)
BAD = _base_report(tg=120.0, en=120.0)


def _built(disk, tmp_path, *, report=GOOD, kind=ReleaseKindChoice.BASE, base=None, content=b"weights"):
    release = release_draft_create(kind=kind, title="Soro", actor="t", base=base, now=timezone.now())
    release_build_begin(release=release, actor="t", now=timezone.now())
    folder = tmp_path / f"build-{release.version}"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    (folder / "card.json").write_bytes(b"{}")
    release_built(release=release, packages=[BuiltPackage(folder=folder, card={})], disk=disk, now=timezone.now())
    release_gate(release=release, reports={"": report}, now=timezone.now())
    return release


def test_a_release_that_passes_the_gate_is_signed_and_its_index_is_a_target(disk, keys, tmp_path, client):
    release = _built(disk, tmp_path)
    assert release.status == ReleaseStatus.AWAITING_SIGNATURE
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    assert targets_read(root=disk.tuf) == (f"releases/{release.digest}.json", f"verdicts/{release.digest}.json")
    assert sha256_hex(bytes(Release.objects.get().index_bytes)) == release.digest
    name = f"releases/{release.digest}.{release.digest}.json"
    answer = client.get(f"/tuf/targets/{name}")
    assert (answer.status_code, sha256_hex(answer.content)) == (200, release.digest)


def test_a_refused_release_stays_refused_with_its_reasons(disk, keys, tmp_path):
    release = _built(disk, tmp_path, report=BAD)
    assert release.status == ReleaseStatus.REFUSED
    assert "60.00 → 120.00" in release.why
    with pytest.raises(StatusMoveIllegal):
        release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    assert targets_read(root=disk.tuf) == ()
    assert Release.objects.get().status == ReleaseStatus.REFUSED


def test_signing_twice_publishes_once(disk, keys, tmp_path):
    release = _built(disk, tmp_path)
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    rows = AuditEvent.objects.count()
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    assert AuditEvent.objects.count() == rows


def test_signing_after_a_cut_between_publishing_and_the_status_ends_ready(disk, keys, tmp_path):
    release = _built(disk, tmp_path)
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    Release.objects.update(status=ReleaseStatus.AWAITING_SIGNATURE)
    again = Release.objects.get()
    release_sign(release=again, disk=disk, actor="t", now=timezone.now())
    assert again.status == ReleaseStatus.READY
    assert len(targets_read(root=disk.tuf)) == 2


def test_a_worker_that_finds_the_targets_before_the_status_is_set_has_signed_for_the_person(disk, keys, tmp_path):
    in_hand = _built(disk, tmp_path)
    release_sign(release=Release.objects.get(), disk=disk, actor="worker", now=timezone.now())
    rows = AuditEvent.objects.count()
    release_sign(release=in_hand, disk=disk, actor="t", now=timezone.now())
    assert in_hand.status == ReleaseStatus.READY
    assert AuditEvent.objects.count() == rows


def test_signing_what_was_passed_over_meanwhile_leaves_it_refused(disk, keys, tmp_path):
    in_hand = _built(disk, tmp_path)
    release_pass_over(release=Release.objects.get(), actor="t", reason="passed_over", now=timezone.now())
    with pytest.raises(StatusConflict):
        release_sign(release=in_hand, disk=disk, actor="t", now=timezone.now())
    assert Release.objects.get().status == ReleaseStatus.REFUSED


def test_revoking_a_base_withdraws_its_adapters_too(disk, keys, tmp_path):
    base = _built(disk, tmp_path)
    release_sign(release=base, disk=disk, actor="t", now=timezone.now())
    adapter = _built(disk, tmp_path, kind=ReleaseKindChoice.ADAPTER, base=base, content=b"adapter")
    release_sign(release=adapter, disk=disk, actor="t", now=timezone.now())
    release_revoke(release=base, disk=disk, actor="t", reason="bad", now=timezone.now())
    assert set(Release.objects.values_list("status", flat=True)) == {"revoked"}
    assert targets_read(root=disk.tuf) == ()


def test_an_adapter_needs_a_base_in_force(disk, keys, tmp_path):
    base = _built(disk, tmp_path)
    with pytest.raises(BaseNotReady):
        release_draft_create(kind=ReleaseKindChoice.ADAPTER, title="x", actor="t", base=base, now=timezone.now())
    assert Release.objects.count() == 1


def test_a_build_whose_process_has_died_is_marked_as_failed(db):
    release = release_draft_create(kind=ReleaseKindChoice.BASE, title="x", actor="t", now=timezone.now())
    release_build_begin(release=release, actor="t", now=timezone.now() - timezone.timedelta(hours=1))
    assert builds_interrupted_fail(now=timezone.now()) == 1
    assert Release.objects.get().status == ReleaseStatus.BUILD_FAILED


def test_a_releases_folder_holds_its_files_under_their_names(disk, keys, tmp_path):
    folder = release_folder(release=_built(disk, tmp_path), disk=disk)
    assert (folder / "model.onnx").read_bytes() == b"weights"


def test_a_blob_needs_a_token_and_comes_in_ranges(disk, school, tmp_path):
    release = _built(disk, tmp_path)
    sha256 = release.files.get(path="model.onnx").sha256
    assert school.client.get(f"/blobs/{sha256}").status_code == 401
    headers = {"Authorization": f"Bearer {school.token}", "Range": "bytes=2-3", "Accept": "application/octet-stream"}
    answer = school.client.get(f"/blobs/{sha256}", headers=headers)
    assert (answer.status_code, b"".join(answer.streaming_content)) == (206, b"ig")


def test_the_repositorys_door_opens_to_metadata_names_alone(client, keys):
    assert client.get("/tuf/metadata/timestamp.json").status_code == 200
    for name in ("metadata/..%2f..%2fkeys%2fdirector.pem", "metadata/.lock", "targets/x.json", "keys/director.pem"):
        assert client.get(f"/tuf/{name}").status_code == 404


def test_the_gate_refuses_what_is_missing_or_not_a_number():
    assert len(base_judge(_base_report(tg=math.nan), ALONE, GateBounds()).reasons) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"unrelated_loss": 0.06}, "unrelated_loss"), ({"corrections_gain": -0.1}, "corrections_gain"), ({}, "")],
)
def test_an_adapter_must_help_and_must_not_harm(changes, reason):
    fields = {"unrelated_loss": 0.05, "corrections_gain": 1.0, **changes}
    report = AdapterReport(perplexity=GOOD.perplexity, unrelated_count=10, corrections_count=2, suite=SUITE, **fields)
    verdict = adapter_judge(report, ALONE, GateBounds())
    assert verdict.has_passed is (reason == "")
    assert json.dumps(verdict.reasons).count(reason or "none of these") == (1 if reason else 0)


@pytest.mark.parametrize(
    ("recipe", "is_made"),
    [
        ('{"quantisation": "mixed", "max_bytes": 164000000}', True),
        ("{}", True),
        ('{"quantisation": "int3"}', False),
        ('{"words": 3}', False),
        ('"mixed"', False),
    ],
)
def test_the_admin_makes_a_draft_by_a_recipe_and_refuses_an_impossible_one(admin_client, recipe, is_made):
    form = {"title": "Soro", "checkpoint": "", "recipe": recipe}
    answer = admin_client.post("/admin/releases/release/add/", form)
    assert answer.status_code == (302 if is_made else 200)
    drafts = list(Release.objects.all())
    assert len(drafts) == is_made
    if is_made:
        assert recipe_read(drafts[0].recipe) == recipe_read(json.loads(recipe))
