"""One release of two variants, from a checkpoint to two schools: real build, gate, TUF, HTTP, engine and trainer."""

from dataclasses import replace
from functools import partial

import pytest
from django.utils import timezone

from central import trust_root
from central.disk import CentreDisk
from central.releases.build import base_build
from central.releases.models import Release, ReleaseStatus
from central.releases.package_slots import slot_sizes
from central.releases.recipe import Recipe
from central.releases.services import release_draft_create, release_folder, release_sign
from central.rollouts.models import Assignment
from central.rollouts.services import DEFAULT_RULES, rollout_approve, rollout_create, rollout_submit
from central.rollouts.tick import rollout_tick
from central.rollouts.wave_spec import wave_spec_read
from central.schools.invitations import school_invite
from central.schools.models import Node
from central.training.candidate import candidate_make
from central.training.plan_settings import PlanSettings
from central.training.plans import plan_of
from central.training.rounds import round_advance, round_aggregate
from central.training.seasons import season_open
from central.training.services import update_take_in
from federation.adapter_file import adapter_read
from federation.inference.adapter import adapter_expand
from federation.inference.engine import Engine
from federation.inference.package import package_open
from federation.inference.prompt import Role, Turn
from federation.learning.school_update import TrainingTask, update_learn
from federation.trust.fetch import files_size_bytes
from federation.trust.release_bytes import index_files, index_parse, variant_read
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.sheet import Sheet
from federation.wire.verdicts import ReleaseVerdict
from node.chat.serving import Serving
from node.installed.disk import release_path
from node.installed.hardware import Gauges, hardware_measure
from node.installed.models import InstallRecord
from node.installed.services import active_release
from node.sync.enrol import enrolment_read, sheet_enrol
from node.sync.models import SeenAssignment
from node.sync.services import Contact, ContactTimes
from node.sync.transport import http_client
from tests.tiny_checkpoint import tiny_checkpoint

NO_WAITING = ContactTimes(trial_seconds=0, poll_seconds=0.01, delivery_poll_seconds=0.01)
GIGABYTE = 10**9
QUESTION, CORRECTION = "салом", "ҷаҳон"


class Pc:
    """A school's PC with `gpu_memory_bytes`; the real node code, with the real engine in this process."""

    def __init__(self, root, url, *, gpu_memory_bytes):
        # Both share this test's database; each PC would have its own.
        SeenAssignment.objects.all().delete()
        InstallRecord.objects.all().delete()
        self.root, self.url = root, url
        self.root.mkdir()
        self.gauges = Gauges(hardware=lambda path: replace(hardware_measure(path), gpu_memory_bytes=gpu_memory_bytes))
        invitation = school_invite(name=root.name, region="", actor="t", now=timezone.now())
        fingerprint = trust_root.root_fingerprint()
        sheet = Sheet(code=invitation.code, root_sha256=fingerprint, authority_sha256="", address=url)
        sheet_enrol(root=root, sheet=sheet)

    @property
    def node(self):
        return Node.objects.get(pk=enrolment_read(self.root).node_id)

    def contact(self):
        """Hold one contact, then let the engine do what it finds to do."""
        http, counter = http_client()
        with http:
            options = {"clock": timezone.now, "times": NO_WAITING, "gauges": self.gauges}
            report = Contact(root=self.root, http=http, counter=counter, **options).hold()
        assert dict(report.failures) == {}
        Serving(root=self.root, clock=timezone.now).follow()

    def learn(self, plan, tmp_path):
        """Return the update that the real trainer makes on the installed package."""
        labels, document, out = (tmp_path / f"{self.root.name}.{name}" for name in ("jsonl", "plan", "update"))
        label = TeacherLabel(
            kind=LabelKind.CORRECTION, prompt=QUESTION, answer="", correction=CORRECTION, is_held_out=False
        )
        labels.write_bytes(canonical_bytes(label))
        document.write_bytes(canonical_bytes(plan))
        task = TrainingTask(
            package=release_path(self.root, plan.base),
            plan=document,
            labels=labels,
            start=None,
            key=self.root / "keys" / "node.pem",
            node_id=str(self.node.pk),
            counter=1,
            out=out,
            work=tmp_path / f"{self.root.name}-work",
            dtype="float32",
            threads=1,
            checkpoint_steps=10,
        )
        update_learn(task=task, now=timezone.now, should_stop=lambda: False, report=lambda *_event, **_fields: None)
        return out.read_bytes()


@pytest.fixture
def disk(settings, tmp_path, transactional_db):
    settings.CENTRAL_ROOT = tmp_path / "central"
    settings.BUILD_WORK = tmp_path / "work"
    settings.CENTRAL_ROOT.mkdir()
    trust_root.keys_make(now=timezone.now())
    return CentreDisk(settings.CENTRAL_ROOT)


@pytest.fixture
def release(disk, tmp_path):
    """A release of int8 and fp16, built, judged, signed and offered to every school."""
    draft = release_draft_create(
        kind="base",
        title="Soro",
        checkpoint=str(tiny_checkpoint(tmp_path / "tiny", context_tokens=512)),
        recipe=Recipe(languages=(), further=("fp16",)),
        actor="t",
        now=timezone.now(),
    )
    base_build(release=draft, disk=disk, actor="t", clock=timezone.now)
    release = Release.objects.get()
    assert release.status == ReleaseStatus.AWAITING_SIGNATURE, release.why
    release_sign(release=release, disk=disk, actor="t", now=timezone.now())
    return release


def offer(release):
    rollout = rollout_create(
        release=release, waves=[wave_spec_read("ҳама=100%")], creator="a", rules=DEFAULT_RULES, now=timezone.now()
    )
    rollout_submit(rollout=rollout, actor="a", now=timezone.now())
    rollout_approve(rollout=rollout, approver="b", now=timezone.now())
    return rollout


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's and optimum's exporters warn of their own old calls.
def test_each_school_gets_the_variant_that_fits_its_pc_and_both_learn_one_adapter(release, disk, live_server, tmp_path):
    index = index_parse(bytes(release.index_bytes))
    verdict = parse(ReleaseVerdict, bytes(release.verdict_bytes))
    assert [variant.name for variant in index.variants] == ["int8", "fp16"]
    assert verdict.variants.keys() == {"int8", "fp16"}
    assert verdict.variants["int8"].perplexity != verdict.variants["fp16"].perplexity
    shared = set(index_blobs(index, "int8")) & set(index_blobs(index, "fp16"))
    assert "tokenizer.json.gz" in [index_blobs(index, "int8")[sha256].path for sha256 in shared]
    blobs = [path.name for path in disk.blobs.rglob("*") if path.is_file()]
    assert sorted(blobs) == sorted({*index_blobs(index, "int8"), *index_blobs(index, "fp16")})

    rollout = offer(release)
    rollout_tick(rollout_id=rollout.pk, now=timezone.now())
    pcs = {}
    for variant, gpu_memory_bytes in (("int8", 0), ("fp16", GIGABYTE)):
        pc = pcs[variant] = Pc(tmp_path / f"maktab-{variant}", live_server.url, gpu_memory_bytes=gpu_memory_bytes)
        pc.contact()
        directory = release_path(pc.root, release.digest)
        wanted = {entry.path for entry in index_files(index, variant)} | {"index.json", "variant"}
        assert {path.name for path in directory.iterdir()} == wanted
        assert (variant_read(directory), active_release(root=pc.root).digest) == (variant, release.digest)
        assert package_open(directory).quantisation.startswith(variant)
        assert InstallRecord.objects.get().bytes_fetched == files_size_bytes(index_files(index, variant))
        pc.contact()
        assert pc.node.running == release.digest
        assert pc.node.variants == {release.digest: variant}
        assigned = Assignment.objects.get(node=pc.node)
        assert (assigned.status, assigned.variant) == ("committed", variant)

    settings = PlanSettings(max_steps=20, learning_rate=0.01, max_norm=20.0, minimum=2)
    season = season_open(
        base=release,
        slot_sizes=slot_sizes(release),
        wanted=2,
        key=trust_root.director_key(),
        actor="t",
        now=timezone.now(),
        settings=settings,
    )
    for variant, pc in pcs.items():
        update = update_take_in(content=pc.learn(plan_of(season.plans.get()), tmp_path), disk=disk, now=timezone.now())
        assert (update.status, update.code, update.variant) == ("accepted", "", variant)
    round_ = season.rounds.get()
    round_advance(round_=round_, now=timezone.now())
    round_aggregate(round_=round_, disk=disk, clock=timezone.now, make=partial(made, disk))
    candidate = Release.objects.get(kind="adapter")
    judged = parse(ReleaseVerdict, bytes(candidate.verdict_bytes))
    assert judged.variants.keys() == {"int8", "fp16"}
    assert judged.replaced == release.digest
    adapter_file = release_folder(release=candidate, disk=disk) / "adapter.bin"
    adapter = adapter_read(adapter_file, base_digest=release.digest)
    gains = [gain(release_path(pc.root, release.digest), adapter, tmp_path / variant) for variant, pc in pcs.items()]
    # It helps on both, and on both alike: the difference is what rounding to 8 bits makes of it.
    assert min(gains) > 1.0
    assert max(gains) < 1.05 * min(gains)


def made(disk, round_):
    return candidate_make(round_=round_, disk=disk, clock=timezone.now)


def gain(package, adapter, scratch):
    """Return by how many nats a token the adapter makes the correction likelier on this package."""
    engine = Engine.load(package, threads=1)
    before = engine.logprob_per_token([Turn(Role.USER, QUESTION)], CORRECTION)
    adapter_expand(adapter, card=engine.card, into=scratch)
    engine.swap_adapter(scratch)
    return engine.logprob_per_token([Turn(Role.USER, QUESTION)], CORRECTION) - before


def index_blobs(index, variant):
    return {entry.sha256: entry for entry in index_files(index, variant)}
