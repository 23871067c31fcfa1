"""OpenAI's own client against the page's real process: what existing programs meet, and what ends when they leave."""

import json
import socket
import subprocess
import sys
import time

import httpx
import pytest

from node.chat.openai_api import MAX_PLACE
from node.children import child_environment
from node.root import engine_socket_path
from tests.node.engine_simulator import ANSWER, QUESTION, VERSION, WORDS, EngineSimulator, release_lay
from tests.node.test_processes import MANAGE, answers, await_true

openai = pytest.importorskip("openai", reason="a school's PC has no client of its own")
pytestmark = pytest.mark.slow


class Page:
    """The page's process at a root of its own, with an engine simulator and a key."""

    def __init__(self, root):
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/v1"
        self.engine = EngineSimulator(engine_socket_path(root))
        self._manage("account_create", "--username", "munira", "--role", "teacher", "--json")
        self.key = self._manage("api_key", "create", "--username", "munira", "--name", "x", "--json")["key"]
        release_lay(root)
        arguments = [sys.executable, MANAGE, "node", "page", "--port", str(self.port)]
        self.process = subprocess.Popen(arguments, env=child_environment(root))

    def _manage(self, *arguments):
        command = [sys.executable, MANAGE, "node", *arguments]
        ended = subprocess.run(command, env=child_environment(self.root), capture_output=True, check=True)
        return json.loads(ended.stdout)

    def client(self, **changes):
        given = {"base_url": self.address, "api_key": self.key, "max_retries": 0, "timeout": 20} | changes
        return openai.OpenAI(**given)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("node"))
    page.engine.start()
    try:
        await_true(lambda: answers(page.port))
        yield page
    finally:
        page.process.terminate()
        page.process.wait(20)
        page.engine.stop()


@pytest.fixture
def engine(page):
    """The simulator as if it were new."""
    page.engine.requests.clear()
    page.engine.reader_left.clear()
    page.engine.failure_code, page.engine.place = "", 0
    page.engine.may_go_on.set()
    return page.engine


def test_the_client_finds_the_model_and_gets_a_whole_answer(page, engine):
    with page.client() as client:
        assert [model.id for model in client.models.list()] == ["current", f"release-{VERSION}"]
        assert client.models.retrieve("current").owned_by == "school"
        answer = client.chat.completions.create(model="current", messages=QUESTION, temperature=0, stop=["зебо"])
    assert answer.choices[0].message.content == ANSWER.partition("зебо")[0].strip()
    assert (answer.choices[0].finish_reason, answer.model) == ("stop", f"release-{VERSION}")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 8)


def test_the_client_streams_the_answer_piece_by_piece(page, engine):
    engine.place = 2
    with page.client() as client:
        asked = {"model": "current", "messages": QUESTION, "stream_options": {"include_usage": True}}
        with client.chat.completions.create(**asked, stream=True) as chunks:
            *pieces, last = list(chunks)
    texts = [piece.choices[0].delta.content for piece in pieces if piece.choices[0].delta.content]
    assert texts == list(WORDS)
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert (last.choices, last.usage.total_tokens) == ([], 12)


def test_each_refusal_is_the_clients_own_error(page, engine):
    def ask(client, **changes):
        return client.chat.completions.create(**{"model": "current", "messages": QUESTION, **changes})

    with page.client(api_key="soro-wrong") as stranger, pytest.raises(openai.AuthenticationError):
        ask(stranger)
    with page.client() as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            ask(client, model="gpt-4o")
        assert (unknown.value.code, unknown.value.type) == ("model_not_found", "invalid_request_error")
        with pytest.raises(openai.BadRequestError) as several:
            ask(client, n=2)
        assert several.value.param == "n"
        engine.place = MAX_PLACE
        with pytest.raises(openai.RateLimitError):
            ask(client)
        engine.place, engine.failure_code = 0, "engine_failed"
        with pytest.raises(openai.InternalServerError) as broken:
            ask(client, stream=True)
        assert broken.value.status_code == 503


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_program_that_leaves_ends_its_answer(page, engine, is_stream):
    engine.may_go_on.clear()
    body = {"model": "current", "messages": QUESTION, "stream": is_stream}
    headers = {"Authorization": f"Bearer {page.key}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{page.address}/chat/completions", json=body, headers=headers, timeout=1.5)
    started = time.monotonic()
    assert engine.reader_left.wait(10)
    assert time.monotonic() - started < 5
