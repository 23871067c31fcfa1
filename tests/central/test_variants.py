"""A base in several forms at the centre: kept, judged form by form, offered by hardware, learnt on together."""

import json
from dataclasses import replace

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from central.releases.describe import release_describe
from central.releases.errors import VariantsDiffer
from central.releases.gate import BaseReport, GateBounds, PerplexityPair
from central.releases.judge import release_gate, suite_stored
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.recipe import Recipe, RecipeInvalid, recipe_read
from central.releases.services import (
    release_build_begin,
    release_built,
    release_draft_create,
    release_folder,
    release_sign,
)
from central.releases.suite_comparison import SuiteReport
from central.releases.variants import BuiltPackage
from central.rollouts.models import Assignment
from central.rollouts.services import rollout_roll_back
from central.schools.models import Node
from central.training.models import Round
from central.training.plans import plan_of
from central.training.rounds import round_advance
from federation.inference.suite_run import Outcome
from federation.inference.variants import memory_need_bytes
from federation.learning.update import update_write
from federation.trust.release_bytes import index_digest, index_parse
from federation.wire.canonical import parse
from federation.wire.rounds import Factor
from federation.wire.verdicts import ReleaseVerdict
from tests.central.school import HARDWARE
from tests.central.seasons import SIZES, collecting, season_small, take_in, update_of
from tests.central.test_candidate import Gate, _aggregate
from tests.central.test_rollouts import _running

pytestmark = pytest.mark.django_db
FLAT = {language: PerplexityPair(reference=50.0, shipped=50.0) for language in ("tg", "en")}
WORSE = {**FLAT, "tg": PerplexityPair(reference=50.0, shipped=60.0)}
CARD = {"slots": [], "max_rank": 64, "vocab_size": 8, "context_tokens": 16}
WITH_GPU = replace(HARDWARE, memory_bytes=16 * 2**30, gpu_memory_bytes=8 * 2**30)


def suite(right):
    outcomes = {f"own/{number}": Outcome(subject="таърих", is_right=number < right) for number in range(8)}
    return SuiteReport(suites={"own": "1"}, outcomes=outcomes, prompts=2)


def packages(tmp_path, *names, version=1, **cards):
    made = []
    for name in names:
        folder = tmp_path / f"build-{version}" / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(f"{name} {version}".encode())
        (folder / "tokenizer.json.gz").write_bytes(b"words")
        made.append(BuiltPackage(folder=folder, card=cards.get(name, CARD), suite=suite(8), variant=name))
    return made


def built(disk, tmp_path, *names, **cards):
    release = release_draft_create(kind=ReleaseKindChoice.BASE, title="Soro", actor="t", now=timezone.now())
    release_build_begin(release=release, actor="t", now=timezone.now())
    made = packages(tmp_path, *names, version=release.version, **cards)
    release_built(release=release, packages=made, disk=disk, now=timezone.now())
    return release


def gate(release, **rights):
    """Judge the release; `rights` say how many questions each variant has right, or give another perplexity."""
    reports = {
        name: BaseReport(
            perplexity=WORSE if right == "worse" else FLAT,
            divergence=0.01,
            suite=suite(8 if right == "worse" else right),
        )
        for name, right in rights.items()
    }
    release_gate(release=release, reports=reports, now=timezone.now())


def signed(disk, tmp_path):
    release = built(disk, tmp_path, "int8", "fp16")
    gate(release, int8=8, fp16=7)
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    return release


def test_a_release_of_two_variants_has_one_digest_and_keeps_what_they_share_once(disk, keys, tmp_path):
    release = built(disk, tmp_path, "int8", "fp16")
    index = index_parse(bytes(release.index_bytes))
    assert index_digest(index) == release.digest
    first, second = index.variants
    need_bytes = memory_need_bytes(sum(entry.size_bytes for entry in second.files))
    assert (first.name, first.memory_bytes, first.gpu_memory_bytes) == ("int8", 0, 0)
    assert (second.name, second.memory_bytes, second.gpu_memory_bytes) == ("fp16", 2 * need_bytes, need_bytes)
    assert sorted(release.files.values_list("variant", "path")) == [
        ("fp16", "model.onnx"),
        ("fp16", "tokenizer.json.gz"),
        ("int8", "model.onnx"),
        ("int8", "tokenizer.json.gz"),
    ]
    assert len([path for path in disk.blobs.rglob("*") if path.is_file()]) == 3
    for name in ("int8", "fp16"):
        folder = release_folder(release=release, disk=disk, variant=name)
        assert (folder / "model.onnx").read_bytes() == f"{name} 1".encode()
    assert [variant["name"] for variant in release_describe(release)["variants"]] == ["int8", "fp16"]


def test_variants_that_one_adapter_could_not_serve_are_refused_and_nothing_is_kept(disk, keys, tmp_path):
    with pytest.raises(VariantsDiffer):
        built(disk, tmp_path, "int8", "fp16", fp16={**CARD, "slots": [{"name": "other"}]})
    left = Release.objects.get()
    assert (left.status, left.digest, left.files.count()) == (ReleaseStatus.BUILDING, "", 0)
    assert not disk.blobs.exists()


def test_a_release_is_let_through_only_if_each_variant_is_and_the_reason_names_the_variant(disk, keys, tmp_path):
    release = built(disk, tmp_path, "int8", "fp16")
    gate(release, int8=8, fp16="worse")
    assert (release.status, release.why) == (ReleaseStatus.REFUSED, "fp16 perplexity: tg 50.00 → 60.00")
    verdict = parse(ReleaseVerdict, bytes(release.verdict_bytes))
    assert verdict.reasons == ("fp16 perplexity: tg 50.00 → 60.00",)
    assert verdict.variants["int8"].reasons == ()
    assert verdict.variants["fp16"].reasons == ("perplexity: tg 50.00 → 60.00",)
    assert verdict.perplexity["tg"].shipped == 50.0


def test_each_variant_is_compared_with_the_replaced_releases_own_and_a_new_one_with_its_first(disk, keys, tmp_path):
    before = signed(disk, tmp_path)
    assert [suite_stored(before, name) for name in ("int8", "fp16", "fp8")] == [suite(8), suite(7), suite(8)]
    release = built(disk, tmp_path, "int8", "fp16", "fp8")
    gate(release, int8=7, fp16=7, fp8=7)
    verdict = parse(ReleaseVerdict, bytes(release.verdict_bytes))
    assert verdict.replaced == before.digest
    assert {name: each.subjects[0].lost for name, each in verdict.variants.items()} == {"int8": 1, "fp16": 0, "fp8": 1}


@pytest.mark.parametrize(("names", "is_refused"), [(("",), True), (("int8", "fp16"), False)])
def test_more_variants_do_not_make_it_likelier_that_a_release_is_refused_by_chance(
    disk, keys, tmp_path, names, is_refused
):
    before = built(disk, tmp_path, *names)
    gate(before, **dict.fromkeys(names, 8))
    release_sign(release=before, disk=disk, actor="t", now=timezone.now())
    again = built(disk, tmp_path, *names)
    gate(again, **dict.fromkeys(names, 3))
    # Five of eight lost: one chance in 32, which is below the bound and above half of it.
    assert GateBounds().alpha / 2 < 1 / 32 < GateBounds().alpha
    assert (again.status == ReleaseStatus.REFUSED) is is_refused


def test_a_node_is_offered_what_fits_its_hardware_and_keeps_it_when_the_hardware_changes(
    disk, keys, school, other_school, tmp_path
):
    release = signed(disk, tmp_path)
    _running(release, "ҳама=100%")
    other_school.hardware = WITH_GPU
    assert (school.word().variant, other_school.word().variant) == ("int8", "fp16")
    before = other_school.word()
    other_school.hardware = HARDWARE
    school.hardware = WITH_GPU
    assert other_school.word() == before
    assert (school.word().variant, other_school.word().variant) == ("int8", "fp16")
    assert dict(Assignment.objects.values_list("node_id", "variant")) == {
        Node.objects.get(pk=school.node_id).pk: "int8",
        Node.objects.get(pk=other_school.node_id).pk: "fp16",
    }
    assert Node.objects.get(pk=school.node_id).hardware["gpu_memory_bytes"] == WITH_GPU.gpu_memory_bytes


def test_a_node_that_has_a_variant_is_named_that_one_for_every_adapter_on_it(disk, keys, school, tmp_path):
    base = signed(disk, tmp_path)
    school.hardware = WITH_GPU
    school.variants = {base.digest: "int8"}
    adapter = release_draft_create(kind=ReleaseKindChoice.ADAPTER, title="x", actor="t", base=base, now=timezone.now())
    release_build_begin(release=adapter, actor="t", now=timezone.now())
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter.bin").write_bytes(b"a")
    package = BuiltPackage(folder=folder, card={})
    release_built(release=adapter, packages=[package], disk=disk, now=timezone.now())
    Release.objects.filter(pk=adapter.pk).update(status=ReleaseStatus.READY)
    adapter.refresh_from_db()
    _running(adapter, "ҳама=100%")
    word = school.word()
    assert (word.release, word.variant) == (adapter.digest, "int8")


def test_a_release_rolled_back_to_is_named_in_the_variant_that_the_node_has(disk, keys, school, tmp_path):
    first = signed(disk, tmp_path)
    _running(first, "ҳама=100%")
    school.install()
    school.variants = {first.digest: "int8"}
    second = signed(disk, tmp_path)
    rollout = _running(second, "ҳама=100%")
    school.hardware = WITH_GPU
    assert school.install().variant == "fp16"
    rollout_roll_back(rollout=rollout, actor="t", reason="bad", now=timezone.now())
    word = school.word()
    assert (word.release, word.variant, word.waiting_reason) == (first.digest, "int8", "rolling_back")


def _learnt(school, season, *, variant, scale):
    plan = plan_of(season.plans.get())
    arrays = {(slot, Factor.B): np.full((plan.rank, size.d_out), scale, np.float32) for slot, size in SIZES.items()}
    figures = {"counter": 1, "labels": 2, "steps": 5, "loss_before": 3.0, "loss_after": 0.1, "variant": variant}
    return update_write(
        plan=plan, node_id=school.node_id, arrays=arrays, made_at=timezone.now(), key=school.key, **figures
    )


def test_schools_on_different_variants_learn_one_adapter_which_is_judged_on_each(
    disk, keys, school, other_school, tmp_path
):
    base = signed(disk, tmp_path)
    season = season_small(base=base)
    round_ = collecting(season)
    first = take_in(_learnt(school, season, variant="int8", scale=0.1), disk)
    second = take_in(_learnt(other_school, season, variant="fp16", scale=0.3), disk)
    assert [(each.status, each.variant) for each in (first, second)] == [("accepted", "int8"), ("accepted", "fp16")]
    round_advance(round_=round_, now=timezone.now())
    measured = []

    def measure(**options):
        measured.append((options["package"] / "model.onnx").read_bytes())
        return Gate(unrelated_loss=0.5 if len(measured) == 2 else 0.0)(**options)

    _aggregate(round_, disk, measure)
    assert measured == [b"int8 1", b"fp16 1"]
    adapter = Round.objects.get(number=1).release
    assert adapter.status == ReleaseStatus.REFUSED
    assert adapter.why == "fp16 unrelated_loss: 0.500 > 0.050"
    assert parse(ReleaseVerdict, bytes(adapter.verdict_bytes)).variants.keys() == {"int8", "fp16"}
    assert index_parse(bytes(adapter.index_bytes)).variants == ()


@pytest.mark.parametrize("variant", ["", "fp8"])
def test_an_update_learnt_on_a_form_that_the_base_does_not_have_is_refused(disk, keys, school, tmp_path, variant):
    season = season_small(base=signed(disk, tmp_path))
    refused = take_in(_learnt(school, season, variant=variant, scale=0.1), disk)
    assert (refused.status, refused.code) == ("refused", "update_variant_unknown")
    assert not list(disk.updates.rglob("*.update"))


def test_an_update_of_a_base_of_one_form_names_none(disk, keys, school):
    season = season_small()
    assert take_in(_learnt(school, season, variant="int8", scale=0.1), disk).code == "update_variant_unknown"
    assert take_in(update_of(school, season), disk).status == "accepted"


def test_the_page_of_a_release_shows_each_variant_with_its_own_verdict(client, disk, keys, tmp_path):
    release = built(disk, tmp_path, "int8", "fp16")
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    address = f"/admin/releases/release/{release.pk}/change/"
    assert (
        client.get(address, headers={"Accept-Language": "en"}).content.decode().count("The gate has not judged it yet.")
        == 2
    )
    gate(release, int8=8, fp16="worse")
    page = client.get(address, headers={"Accept-Language": "en"}).content.decode()
    first, second = page.split("Variant fp16")
    assert "Variant int8" in first
    assert "Passed: nothing speaks against it." in first
    assert "Refused, because:" in second
    assert str(release.variants.get(name="fp16").gpu_memory_bytes) in page


def test_a_recipe_of_variants_gives_each_its_own_and_reads_back_the_same():
    recipe = Recipe(quantisation="mixed", max_bytes=7, further=("fp16", "fp8"))
    assert recipe_read(json.loads(json.dumps(recipe.plain()))) == recipe
    assert [(each.quantisation, each.max_bytes, each.further) for each in recipe.variants()] == [
        ("mixed", 7, ()),
        ("fp16", None, ()),
        ("fp8", None, ()),
    ]
    assert Recipe(quantisation="fp16").variants() == (Recipe(quantisation="fp16"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"further": ("int3",)},
        {"further": ("int8",)},
        {"further": ("fp16", "fp16")},
        {"quantisation": "fp16", "further": ("int8",)},
        {"further": ("fp16",), "max_bytes": 7},
    ],
)
def test_an_impossible_recipe_of_variants_is_refused(changes):
    with pytest.raises(RecipeInvalid):
        Recipe(**changes)


def test_the_command_takes_variants_by_comma_and_makes_no_draft_of_impossible_ones(disk, keys):
    with pytest.raises(CommandError):
        call_command("release_build", "--title", "x", "--quantisation", "fp16,int8")
    assert Release.objects.count() == 0
    with pytest.raises(CommandError):
        call_command("release_build", "--title", "x", "--quantisation", "int8,fp16", "--checkpoint", "/nowhere")
    assert recipe_read(Release.objects.get().recipe) == Recipe(further=("fp16",))
