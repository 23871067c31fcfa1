"""`python -m federation.learning.train` as the node starts it: another process, killed and stopped like a school's."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federation.basis import SlotSize
from federation.learning.update import update_header, update_verify
from federation.trust.keys import node_key_create, node_key_load
from federation.wire.canonical import canonical_bytes
from tests.learning.plans import small_plan
from tests.learning.tiny_package import tiny_package

SLOTS = tuple(f"layers.{layer}.{part}" for layer in range(2) for part in ("qkv", "o", "gate", "up", "down"))
SIZES = {slot: SlotSize(32, columns) for slot, columns in zip(SLOTS, (64, 32, 64, 64, 32) * 2, strict=True)}
PLAN = small_plan(slots=SLOTS, max_steps=12)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def school(tmp_path) -> Path:
    (tmp_path / "plan.json").write_bytes(canonical_bytes(PLAN))
    examples = [{"prompt": "Чанд?", "answer": "Се."}, {"prompt": "Кай?", "answer": "Имрӯз."}]
    (tmp_path / "examples.jsonl").write_text("\n".join(json.dumps(example) for example in examples))
    node_key_create(tmp_path / "node.pem")
    return tmp_path


def arguments(package: Path, school: Path, out: str = "update") -> list[str]:
    paths = {"package": package, "plan": school / "plan.json", "examples": school / "examples.jsonl"}
    paths |= {"key": school / "node.pem", "out": school / out, "work": school / f"work-{out}"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return [*words, "--node-id", "school-1", "--counter", "4", "--threads", "1", "--checkpoint-steps", "1"]


def start(package: Path, school: Path, out: str = "update") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "federation.learning.train", *arguments(package, school, out)]
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
    whole = start(package, school, "whole")
    text, errors = whole.communicate()
    assert whole.returncode == 0, errors
    seen = events(text)
    assert [event["event"] for event in seen] == ["loaded", *["step"] * 12, "finished"]
    assert seen[-1]["peak_rss_bytes"] > 0
    assert seen[-1]["loss_after"] < seen[-1]["loss_before"]

    cut = start(package, school, "cut")
    read_until_step(cut, 4)
    cut.kill()
    cut.communicate()
    assert not (school / "cut").exists()
    again = start(package, school, "cut")
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


def refusal(package: Path, school: Path) -> tuple[int, str]:
    process = start(package, school)
    text, _ = process.communicate()
    assert not (school / "update").exists()
    return process.returncode, events(text)[-1]["code"]


def test_a_school_with_fewer_examples_than_the_plan_wants_is_refused(package, school):
    (school / "examples.jsonl").write_text("")
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
