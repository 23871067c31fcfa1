"""The engine process on a real, tiny package: it answers, scores, stops, keeps a good release and leaves a bad one."""

import asyncio
import json
import math
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest

from federation.adapter_file import adapter_write
from federation.inference.package import package_open
from federation.trust.release_bytes import index_build, index_digest
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import ReleaseKind
from node.chat.api_keys import api_key_create
from node.chat.engine_client import engine_ask, engine_status, engine_stream
from node.chat.engine_events import AnswerFailed, ChatMessage, EngineOp, EngineRequest, EventKind
from node.chat.engine_server import EngineServer
from node.chat.serving import ROWS
from node.installed.models import InstallRecord
from node.installed.self_test import self_test_run
from node.installed.services import candidate_test
from node.installed.state import TRIES, Phase, Slots, slots_read, slots_write
from node.root import engine_socket_path
from tests.node.test_openai_api import call, complete, stream

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
QUESTION = (ChatMessage(role="user", text="Салом"),)
CONTEXT_TOKENS = 512


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    pytest.importorskip("torch", reason="the tiny package is exported from a torch model")
    pytest.importorskip("central", reason="the centre's own steps make the tiny package")
    from tests.learning.tiny_package import tiny_package  # noqa: PLC0415 - needs torch

    folder = tiny_package(tmp_path_factory.mktemp("tiny"), context_tokens=CONTEXT_TOKENS)
    return folder, package_open(folder)


class School:
    """A root directory with releases, and the engine on it."""

    def __init__(self, root, package):
        self.root, (self.package, self.card) = root, package
        self.socket_path = engine_socket_path(root)
        self.stopping = threading.Event()
        server = EngineServer(
            root=root, socket_path=self.socket_path, clock=lambda: datetime.now(UTC), stopping=self.stopping
        )
        self.thread = threading.Thread(target=server.serve)

    def lay(self, folder, *, kind=ReleaseKind.BASE, version=1, base=None):
        index = index_build(package=folder, kind=kind, version=version, title="t", base=base, contributions=())
        target = self.root / "releases" / index_digest(index)
        shutil.copytree(folder, target)
        (target / "index.json").write_bytes(canonical_bytes(index))
        InstallRecord.objects.create(release=target.name, sequence=version, status="trial", at=datetime.now(UTC))
        return target.name

    def lay_adapter(self, base, scratch, *, version=2, is_damaged=False, made_for=None):
        scratch.mkdir()
        rng = np.random.default_rng(version)
        adapter_write(
            scratch / "adapter.bin",
            base_digest=made_for or base,
            seed="s",
            rank=2,
            b={slot.name: rng.normal(size=(2, slot.d_out)).astype(np.float32) for slot in self.card.slots},
        )
        if is_damaged:
            (scratch / "adapter.bin").write_bytes(b"SOROLORA and nothing")
        return self.lay(scratch, kind=ReleaseKind.ADAPTER, version=version, base=base)

    def trial(self, digest):
        before = slots_read(self.root)
        slots_write(self.root, Slots(current=digest, previous=before.current, phase=Phase.TRIAL, tries_left=TRIES))
        self.await_true(lambda: slots_read(self.root).phase is not Phase.TRIAL)

    def ask(self, op, **fields):
        request = EngineRequest(op=op, client="c", messages=QUESTION, **fields)
        return engine_ask(socket_path=self.socket_path, request=request, timeout_seconds=60)

    def await_true(self, is_true, seconds=60):
        until = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < until, "it did not become true in time"
            time.sleep(0.02)


@pytest.fixture
def school(root, package):
    school = School(root, package)
    school.thread.start()
    school.await_true(school.socket_path.exists)
    yield school
    school.stopping.set()
    school.thread.join()


def test_a_release_that_answers_stays_and_is_the_one_that_answers(school):
    base = school.lay(school.package)
    school.trial(base)
    assert slots_read(school.root).phase is Phase.COMMITTED
    school.await_true(lambda: InstallRecord.objects.get().status == "committed")
    answer = school.ask(EngineOp.GENERATE, max_tokens=12)
    assert (answer.release, answer.version, answer.is_stopped) == (base, 1, False)
    assert answer.text
    score = school.ask(EngineOp.SCORE, answer="салом")
    assert math.isfinite(score.logprob_per_token)
    assert score.logprob_per_token < 0


def test_an_adapter_changes_the_answers_and_a_damaged_one_is_reverted(school, tmp_path):
    base = school.lay(school.package)
    school.trial(base)
    before = school.ask(EngineOp.SCORE, answer="салом").logprob_per_token
    damaged = school.lay_adapter(base, tmp_path / "damaged", is_damaged=True)
    school.trial(damaged)
    assert slots_read(school.root).current == base
    school.await_true(lambda: InstallRecord.objects.get(release=damaged).status == "reverted")
    assert InstallRecord.objects.get(release=damaged).error_code == "adapter_damaged"
    school.await_true(lambda: engine_status(socket_path=school.socket_path).release == base)
    assert school.ask(EngineOp.SCORE, answer="салом").logprob_per_token == before
    adapter = school.lay_adapter(base, tmp_path / "adapter")
    school.trial(adapter)
    assert slots_read(school.root).current == adapter
    after = school.ask(EngineOp.SCORE, answer="салом")
    assert after.release == adapter
    assert abs(after.logprob_per_token - before) > 1e-3


def test_the_previous_adapter_and_the_base_answer_beside_the_release_that_runs(school, tmp_path):
    base = school.lay(school.package)
    older = school.lay_adapter(base, tmp_path / "older", version=2)
    newer = school.lay_adapter(base, tmp_path / "newer", version=3)
    alone = {}
    for digest in (base, older, newer):
        school.trial(digest)
        alone[digest] = school.ask(EngineOp.GENERATE, max_tokens=12).text
    assert len(set(alone.values())) == 3
    with ThreadPoolExecutor() as pool:
        asked = [
            (digest, pool.submit(school.ask, EngineOp.GENERATE, max_tokens=12, release=digest))
            for digest in (older, newer, base, older)
        ]
        for digest, answer in asked:
            assert (answer.result().release, answer.result().text) == (digest, alone[digest])
    assert school.ask(EngineOp.SCORE, answer="Салом", release=base) != school.ask(EngineOp.SCORE, answer="Салом")
    assert slots_read(school.root).current == newer


def test_a_release_on_another_base_cannot_be_asked_and_disturbs_nothing(school, tmp_path):
    base = school.lay(school.package)
    adapter = school.lay_adapter(base, tmp_path / "adapter")
    school.trial(adapter)
    other = school.lay(school.package, version=4)
    school.trial(other)
    for digest in (adapter, base, "e" * 64):
        with pytest.raises(AnswerFailed) as refused:
            school.ask(EngineOp.GENERATE, max_tokens=4, release=digest)
        assert refused.value.fields["reason"] == "release_not_at_hand"
    assert school.ask(EngineOp.GENERATE, max_tokens=4).release == other


def test_a_program_may_ask_the_previous_release_by_its_name(school, tmp_path, teacher):
    base = school.lay(school.package)
    school.trial(base)
    school.trial(school.lay_adapter(base, tmp_path / "adapter"))
    key = api_key_create(username="munira", name="x", now=datetime.now(UTC)).text
    _, _, text = call("get", "/v1/models", key)
    assert [model["id"] for model in json.loads(text)["data"]] == ["current", "release-2", "release-1"]
    answers = {name: complete(key, model=name, max_tokens=12)[2] for name in ("current", "release-2", "release-1")}
    assert [answer["model"] for answer in answers.values()] == ["release-2", "release-2", "release-1"]
    words = [answer["choices"][0]["message"]["content"] for answer in answers.values()]
    assert words[0] == words[1] != words[2]


def test_an_adapter_made_for_another_base_is_refused_before_its_trial_with_the_reason(school, tmp_path):
    base = school.lay(school.package)
    school.trial(base)
    stranger = school.lay_adapter(base, tmp_path / "stranger", made_for="e" * 64)
    verdict = candidate_test(root=school.root, digest=stranger, self_test=self_test_run, now=datetime.now(UTC))
    assert (verdict.has_passed, verdict.code) == (False, "adapter_for_another_base")
    assert slots_read(school.root) == Slots(current=base, phase=Phase.COMMITTED)
    record = InstallRecord.objects.get(release=stranger)
    assert (record.status, record.error_code) == ("reverted", "adapter_for_another_base")


def test_a_program_gets_the_real_engines_words_and_counts_whole_and_in_pieces(school, teacher):
    base = school.lay(school.package)
    school.trial(base)
    key = api_key_create(username="munira", name="x", now=datetime.now(UTC)).text
    status, _, answer = complete(key, max_tokens=5)
    (choice,) = answer["choices"]
    assert (status, answer["model"], answer["system_fingerprint"]) == (200, "release-1", base[:12])
    assert answer["usage"]["prompt_tokens"] > 10
    assert (answer["usage"]["completion_tokens"], choice["finish_reason"]) == (5, "length")
    chunks, end = stream(key, max_tokens=5)
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert ("".join(pieces).strip(), end) == (choice["message"]["content"], "[DONE]")


def test_a_stopped_answer_ends_early_and_the_next_question_is_answered(school):
    school.trial(school.lay(school.package))
    answers = []

    def ask():
        answers.append(school.ask(EngineOp.GENERATE, generation="g", max_tokens=400))

    asking = threading.Thread(target=ask)
    asking.start()
    school.await_true(lambda: school.ask(EngineOp.STOP, generation="g").is_stopped)
    asking.join(60)
    assert answers[0].is_stopped
    assert school.ask(EngineOp.GENERATE, max_tokens=2).release


def test_a_question_that_is_too_long_is_refused_and_the_engine_goes_on(school):
    school.trial(school.lay(school.package))
    long = EngineRequest(
        op=EngineOp.GENERATE, client="c", messages=(ChatMessage(role="user", text="с" * 2000),), max_tokens=8
    )
    with pytest.raises(AnswerFailed, match="prompt_too_long"):
        engine_ask(socket_path=school.socket_path, request=long, timeout_seconds=60)
    assert school.ask(EngineOp.GENERATE, max_tokens=2).release


def test_twenty_pupils_at_once_all_get_the_answer_that_one_alone_gets(school):
    base = school.lay(school.package)
    school.trial(base)
    alone = school.ask(EngineOp.GENERATE, max_tokens=12).text

    async def ask(number):
        request = EngineRequest(op=EngineOp.GENERATE, client=f"pupil {number}", messages=QUESTION, max_tokens=12)
        return [event async for event in engine_stream(socket_path=school.socket_path, request=request)]

    async def ask_all():
        return await asyncio.gather(*(ask(number) for number in range(ROWS + 4)))

    heard = asyncio.run(ask_all())
    assert {events[-1].text for events in heard} == {alone}
    assert {events[-1].release for events in heard} == {base}
    for events in heard:
        pieces = "".join(event.text for event in events if event.kind is EventKind.PIECE)
        assert pieces.strip() == alone
        assert events[-1].tokens <= 12


def test_an_answer_ends_before_a_stop_text_and_says_how_long_it_was(school):
    base = school.lay(school.package)
    school.trial(base)
    whole = school.ask(EngineOp.GENERATE, max_tokens=12)
    assert (whole.is_complete, whole.tokens) == (False, 12)
    assert whole.prompt_tokens > len(QUESTION)
    cut = school.ask(EngineOp.GENERATE, max_tokens=12, stop=(whole.text[2:4],))
    assert cut.is_complete
    assert cut.text == whole.text.partition(whole.text[2:4])[0].strip()


def test_the_engine_tells_how_many_it_answers_and_since_when_nobody_was(school):
    school.trial(school.lay(school.package))
    asking = threading.Thread(
        target=school.ask, args=(EngineOp.GENERATE,), kwargs={"generation": "g", "max_tokens": 400}
    )

    def status():
        return engine_status(socket_path=school.socket_path)

    asking.start()
    school.await_true(lambda: status().answering == 1)
    assert status().idle_seconds < 5
    school.ask(EngineOp.STOP, generation="g")
    asking.join(60)
    school.await_true(lambda: status().idle_seconds > 0.2)
    assert (status().answering, status().waiting) == (0, 0)
