"""`python -m federation.learning.train` as the node starts it: another process, killed and stopped like a school's."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from federation.adapter_file import adapter_write
from federation.basis import SlotSize
from federation.learning.update import update_header, update_verify
from federation.trust.keys import node_key_create, node_key_load
from federation.wire.canonical import canonical_bytes
from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.rounds import Objective, Precision, SchemeName
from tests.learning.plans import small_plan
from tests.learning.tiny_package import tiny_package

SLOTS = tuple(f"layers.{layer}.{part}" for layer in range(2) for part in ("qkv", "o", "gate", "up", "down"))
SIZES = {
    slot: SlotSize(64 if slot.endswith("down") else 32, columns)
    for slot, columns in zip(SLOTS, (64, 32, 64, 64, 32) * 2, strict=True)
}
PLAN = small_plan(slots=SLOTS, max_steps=12)
LABELS = [
    TeacherLabel(kind=LabelKind.CORRECTION, prompt=prompt, answer="Намедонам.", correction=answer, is_held_out=is_held)
    for prompt, answer, is_held in (("Чанд?", "Се.", False), ("Кай?", "Имрӯз.", False), ("Ку?", "Ин ҷо.", True))
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def school(tmp_path) -> Path:
    (tmp_path / "plan.json").write_bytes(canonical_bytes(PLAN))
    (tmp_path / "labels.jsonl").write_bytes(b"".join(canonical_bytes(label) + b"\n" for label in LABELS))
    node_key_create(tmp_path / "node.pem")
    return tmp_path


def arguments(package: Path, school: Path, out: str = "update") -> list[str]:
    paths = {"package": package, "plan": school / "plan.json", "labels": school / "labels.jsonl"}
    paths |= {"key": school / "node.pem", "out": school / out, "work": school / f"work-{out}"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return [*words, "--node-id", "school-1", "--counter", "4", "--threads", "1", "--checkpoint-steps", "1"]


def start(package: Path, school: Path, *more: str, out: str = "update") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "federation.learning.train", *arguments(package, school, out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def read_until_step(process: subprocess.Popen[str], step: int) -> None:
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "step" and event["step"] == step:
            return
    raise AssertionError(process.stderr.read())


def test_a_training_killed_and_started_again_writes_the_arrays_of_one_left_alone(package, school):
    whole = start(package, school, out="whole")
    text, errors = whole.communicate()
    assert whole.returncode == 0, errors
    seen = events(text)
    assert [event["event"] for event in seen] == ["loaded", *["step"] * 12, "finished"]
    assert seen[-1]["peak_rss_bytes"] > 0
    assert seen[-1]["loss_after"] < seen[-1]["loss_before"]

    cut = start(package, school, out="cut")
    read_until_step(cut, 4)
    cut.kill()
    cut.communicate()
    assert not (school / "cut").exists()
    again = start(package, school, out="cut")
    text, errors = again.communicate()
    assert again.returncode == 0, errors
    assert events(text)[0]["steps"] >= 4

    left, right = ((school / name).read_bytes() for name in ("whole", "cut"))
    assert update_header(left).body_sha256 == update_header(right).body_sha256
    update = update_verify(
        right,
        key=node_key_load(school / "node.pem").public_key(),
        node_id="school-1",
        plan=PLAN,
        dimensions=SIZES,
    )
    assert (update.header.labels, update.header.steps, update.header.counter) == (2, 12, 4)
    assert not (school / "work-cut" / "checkpoint.pt").exists()


def test_a_training_told_to_stop_leaves_a_checkpoint_and_no_update(package, school):
    process = start(package, school)
    read_until_step(process, 2)
    process.send_signal(signal.SIGTERM)
    text, errors = process.communicate()
    assert process.returncode == 75, errors
    assert events(text)[-1]["event"] == "stopped"
    assert not (school / "update").exists()
    assert (school / "work-update" / "checkpoint.pt").exists()


def refusal(package: Path, school: Path, *more: str) -> tuple[int, str]:
    process = start(package, school, *more)
    text, _ = process.communicate()
    assert not (school / "update").exists()
    return process.returncode, events(text)[-1]["code"]


def test_a_school_with_fewer_labels_than_the_plan_wants_is_refused(package, school):
    (school / "labels.jsonl").write_text("")
    assert refusal(package, school) == (1, "too_few_examples")


def test_a_missing_input_is_refused_by_its_code(package, school):
    (school / "plan.json").unlink()
    assert refusal(package, school) == (1, "training_input_unreadable")


def test_a_computer_without_the_train_extra_is_told_so(package, school):
    hidden = "import sys; sys.modules['torch'] = None; from federation.learning.train import main; sys.exit(main())"
    command = [sys.executable, "-c", hidden, *arguments(package, school)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    assert events(process.stdout) == [
        {"event": "refused", "code": "training_unavailable", "fields": {"missing": "torch"}}
    ]


@pytest.mark.parametrize("scheme", SchemeName)
def test_an_update_of_each_scheme_starts_from_an_adapter_and_carries_the_schools_scores(package, school, scheme):
    objective = Objective(preference=0.5, ratings=0.5, beta=0.1)
    changes = {"scheme": scheme, "precision": Precision.INT8, "start": "a" * 64, "objective": objective}
    plan = small_plan(slots=SLOTS, max_steps=2, **changes)
    (school / "plan.json").write_bytes(canonical_bytes(plan))
    b = {slot: np.full((plan.rank, size.d_out), 0.01, np.float32) for slot, size in SIZES.items()}
    adapter_write(school / "adapter.bin", base_digest=plan.base, seed=plan.seed, rank=plan.rank, b=b)
    command = [sys.executable, "-m", "federation.learning.train", *arguments(package, school)]
    process = subprocess.run([*command, "--start", school / "adapter.bin"], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr + process.stdout
    key = node_key_load(school / "node.pem").public_key()
    content = (school / "update").read_bytes()
    update = update_verify(content, key=key, node_id="school-1", plan=plan, dimensions=SIZES)
    assert (update.header.labels, update.header.scores.labels) == (2, 1)
    assert 0 < update.norm <= plan.max_norm * 1.01


def test_a_training_without_the_adapter_that_its_plan_starts_from_is_refused(package, school):
    (school / "plan.json").write_bytes(canonical_bytes(small_plan(slots=SLOTS, start="a" * 64)))
    assert refusal(package, school) == (1, "start_mismatch")


def test_a_start_of_another_seed_is_refused(package, school):
    plan = small_plan(slots=SLOTS, start="a" * 64)
    (school / "plan.json").write_bytes(canonical_bytes(plan))
    b = {slot: np.zeros((plan.rank, size.d_out), np.float32) for slot, size in SIZES.items()}
    adapter_write(school / "adapter.bin", base_digest=plan.base, seed="spring", rank=plan.rank, b=b)
    assert refusal(package, school, "--start", str(school / "adapter.bin")) == (1, "start_mismatch")
