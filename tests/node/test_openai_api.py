"""The OpenAI-compatible doors: what a program is answered, what it is refused, and what stays unwritten."""

import asyncio
import json

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient

from node.chat.api_keys import api_key_create
from node.chat.models import ApiKey, Conversation
from node.chat.openai_api import MAX_PLACE
from node.root import engine_socket_path
from tests.node.conftest import NOW
from tests.node.engine_simulator import ANSWER, DIGEST, QUESTION, VERSION, EngineSimulator, release_lay

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engine(root):
    release_lay(root)
    simulator = EngineSimulator(engine_socket_path(root))
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def key(teacher):
    return api_key_create(username="munira", name="x", now=NOW).text


def call(method, path, key=None, body=None, **headers):
    """Return status, headers and text of one request."""
    browser = AsyncClient()
    authorization = {"authorization": f"Bearer {key}"} if key else {}

    async def ask():
        if method == "get":
            response = await browser.get(path, headers={**authorization, **headers})
        else:
            content = body if isinstance(body, bytes) else json.dumps(body)
            response = await browser.post(
                path, content, content_type="application/json", headers={**authorization, **headers}
            )
        if not response.streaming:
            return response.status_code, response.headers, response.text
        pieces = [piece async for piece in response.streaming_content]
        return response.status_code, response.headers, b"".join(pieces).decode()

    return asyncio.run(ask())


def complete(key, **changes):
    status, headers, text = call(
        "post", "/v1/chat/completions", key, {"model": "current", "messages": QUESTION, **changes}
    )
    return status, headers, json.loads(text)


def stream(key, **changes):
    """Return the documents of a stream, and its last line."""
    body = {"model": "current", "messages": QUESTION, "stream": True, **changes}
    _, headers, text = call("post", "/v1/chat/completions", key, body)
    assert headers["Content-Type"] == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    documents = [json.loads(line) for line in lines if line != "[DONE]"]
    return documents, lines[-1]


def test_a_question_is_answered_whole_with_the_release_that_answered(engine, key, teacher):
    status, _, answer = complete(key)
    assert status == 200
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", f"release-{VERSION}")
    # The engine's word on which release answered wins over what the state file named when the question came.
    assert answer["system_fingerprint"] == DIGEST[:12]
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": ANSWER, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    (asked,) = engine.requests
    assert asked.client == f"person-{teacher.pk}"


def test_a_stream_spells_the_same_answer_and_ends_with_the_numbers_that_were_asked_for(engine, key):
    documents, end = stream(key, stream_options={"include_usage": True})
    assert end == "[DONE]"
    *chunks, usage = documents
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == ANSWER
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 12)
    assert {document["id"] for document in documents} == {documents[0]["id"]}
    assert {document["object"] for document in documents} == {"chat.completion.chunk"}
    without, _ = stream(key)
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in without)


def test_what_the_program_sets_reaches_the_engine(engine, key):
    complete(key, temperature=0.7, top_p=0.5, seed=5, stop=["Душанбе"], max_tokens=6)
    complete(key, temperature=0.7, top_p=0)
    asked, greedy = engine.requests
    assert (asked.temperature, asked.top_p, asked.seed, asked.stop, asked.max_tokens) == (0.7, 0.5, 5, ("Душанбе",), 6)
    assert greedy.temperature == 0.0


def test_the_token_budget_and_a_stop_text_end_the_answer_by_their_names(engine, key):
    _, _, answer = complete(key, max_tokens=2)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "Пойтахти Тоҷикистон"
    _, _, answer = complete(key, stop="Душанбе")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["content"] == "Пойтахти Тоҷикистон шаҳри"
    documents, _ = stream(key, max_tokens=2)
    assert documents[-1]["choices"][0]["finish_reason"] == "length"


def test_without_a_seed_two_draws_differ_and_with_one_they_are_the_same(engine, key):
    drawn = {complete(key, temperature=1)[2]["choices"][0]["message"]["content"] for _ in range(4)}
    assert len(drawn) > 1
    seeded = {complete(key, temperature=1, seed=4)[2]["choices"][0]["message"]["content"] for _ in range(4)}
    assert len(seeded) == 1


def test_nothing_that_is_asked_here_is_stored(engine, key):
    complete(key)
    stream(key)
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("header", [None, "Basic eDp5", "Bearer ", "Bearer soro-wrong"])
def test_without_a_key_in_force_nothing_is_answered(engine, key, header):
    given = {"authorization": header} if header else {}
    for method, path in (("post", "/v1/chat/completions"), ("get", "/v1/models"), ("get", "/v1/models/current")):
        status, headers, text = call(method, path, body={"model": "current", "messages": QUESTION}, **given)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert json.loads(text)["error"]["code"] == "invalid_api_key"
    assert engine.requests == []


def test_the_key_of_an_account_that_is_switched_off_answers_nothing(engine, key):
    User.objects.update(is_active=False)
    assert complete(key)[0] == 401
    assert engine.requests == []


def test_a_signed_in_browser_has_no_entry_without_a_key(engine, client, teacher):
    client.force_login(teacher)
    body = json.dumps({"model": "current", "messages": QUESTION})
    assert client.post("/v1/chat/completions", body, content_type="application/json").status_code == 401
    assert client.get("/v1/models").status_code == 401
    assert engine.requests == []


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"model": "gpt-4o"}, 404, "model_not_found", None),
        ({"model": f"release-{VERSION + 1}"}, 404, "model_not_found", None),
        ({"n": 2}, 400, "not_supported", "n"),
        ({"messages": []}, 400, "no_question", "messages"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_never_asked(engine, key, changes, status, code, param):
    for is_stream in (False, True):
        found, _, document = complete(key, stream=is_stream, **changes)
        error = document["error"]
        assert (found, error["code"], error["param"], error["type"]) == (status, code, param, "invalid_request_error")
        assert error["message"]
    assert engine.requests == []


def test_a_body_that_is_too_large_is_refused(engine, key):
    status, _, text = call("post", "/v1/chat/completions", key, b" " * 3_000_000)
    assert (status, json.loads(text)["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        ("prompt_too_long", 400, "context_length_exceeded"),
        ("no_release_installed", 503, "no_release_installed"),
        ("engine_failed", 503, "engine_failed"),
    ],
)
def test_what_the_engine_refuses_has_a_status_of_its_own_in_a_stream_too(engine, key, failure, status, code):
    engine.failure_code = failure
    for is_stream in (False, True):
        found, headers, document = complete(key, stream=is_stream)
        assert (found, document["error"]["code"]) == (status, code)
        assert ("Retry-After" in headers) == (status == 503)


def test_a_program_far_back_in_the_queue_is_told_to_come_later(engine, key):
    engine.place = MAX_PLACE
    status, headers, document = complete(key)
    assert (status, document["error"]["code"], headers["Retry-After"]) == (429, "rate_limit_exceeded", "20")
    engine.place = MAX_PLACE - 1
    assert complete(key)[0] == 200
    documents, _ = stream(key)
    assert documents[-1]["choices"][0]["finish_reason"] == "stop"


def test_an_answer_that_the_engine_left_unfinished_is_not_passed_off_as_whole(engine, key):
    engine.is_ending = True
    status, _, document = complete(key)
    assert (status, document["error"]["code"]) == (503, "engine_unavailable")
    documents, end = stream(key)
    assert documents[-1]["error"]["code"] == "engine_unavailable"
    assert end != "[DONE]"


def test_a_node_without_engine_or_release_says_so(root, key):
    assert complete(key)[2]["error"]["code"] == "no_release_installed"
    assert json.loads(call("get", "/v1/models", key)[2])["data"] == []
    release_lay(root)
    status, _, document = complete(key)
    assert (status, document["error"]["code"]) == (503, "engine_unavailable")


def test_the_models_are_the_release_that_runs_under_two_names(engine, key):
    _, _, text = call("get", "/v1/models", key)
    listed = json.loads(text)["data"]
    assert [entry["id"] for entry in listed] == ["current", f"release-{VERSION}"]
    assert listed[0]["created"] > 1_700_000_000
    status, _, text = call("get", f"/v1/models/release-{VERSION}", key)
    assert (status, json.loads(text)) == (200, listed[1])
    status, _, text = call("get", "/v1/models/gpt-4o", key)
    assert (status, json.loads(text)["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("accepted", "words"),
    [
        (None, "Чунин модел"),
        ("ru,en;q=0.5", "Модели «gpt-4o» здесь нет"),
        ("en-GB", "There is no model"),
        ("*", "Чунин модел"),
    ],
)
def test_a_refusal_is_in_the_callers_language(engine, key, accepted, words):
    headers = {"accept-language": accepted} if accepted else {}
    body = {"model": "gpt-4o", "messages": QUESTION}
    _, _, text = call("post", "/v1/chat/completions", key, body, **headers)
    assert words in json.loads(text)["error"]["message"]


def test_a_key_says_on_which_day_it_was_last_used(engine, key):
    complete(key)
    assert ApiKey.objects.get().last_used_on is not None
