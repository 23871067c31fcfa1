"""Which chat completion requests are read, and as what; which are refused, and by which field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chat.engine_events import MAX_LINE_BYTES, ChatMessage, EngineOp, EngineRequest, line_of
from node.chat.openai_request import MAX_BODY_BYTES, CompletionRefused, CompletionRequest, completion_request_read

QUESTION = {"role": "user", "content": "Салом"}


def read(**changes):
    return completion_request_read(json.dumps({"model": "current", "messages": [QUESTION], **changes}).encode())


def refusal(**changes):
    with pytest.raises(CompletionRefused) as caught:
        read(**changes)
    return caught.value.fields


def test_a_request_of_two_fields_asks_for_what_the_page_asks_for():
    assert read() == CompletionRequest(
        model="current",
        messages=(ChatMessage(role="user", text="Салом"),),
        is_stream=False,
        has_usage=False,
        max_tokens=EngineRequest(op=EngineOp.GENERATE).max_tokens,
        temperature=0.0,
        top_p=1.0,
        seed=None,
        stop=(),
    )


def test_roles_and_parts_become_the_engines_messages():
    messages = [
        {"role": "system", "content": "Кӯтоҳ."},
        {"role": "developer", "content": [{"type": "text", "text": "Ба "}, {"type": "text", "text": "тоҷикӣ."}]},
        {"role": "user", "content": "Салом", "name": "Анвар"},
        {"role": "assistant", "content": "Салом!", "tool_calls": None},
        {"role": "user", "content": "Чӣ хел?"},
    ]
    assert [(message.role, message.text) for message in read(messages=messages).messages] == [
        ("system", "Кӯтоҳ."),
        ("system", "Ба тоҷикӣ."),
        ("user", "Салом"),
        ("model", "Салом!"),
        ("user", "Чӣ хел?"),
    ]


def test_settings_are_read_and_null_counts_as_absent():
    asked = read(
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=7,
        max_completion_tokens=9,
        temperature=1,
        top_p=0.5,
        seed=-1,
        stop=["а", "б"],
        n=1,
        tools=[],
        logprobs=False,
        user="x",
        frequency_penalty=0.1,
        response_format={"type": "text"},
    )
    assert (asked.is_stream, asked.has_usage, asked.max_tokens, asked.temperature) == (True, True, 9, 1.0)
    assert (asked.top_p, asked.seed, asked.stop) == (0.5, 2**31 - 1, ("а", "б"))
    assert read(max_tokens=7).max_tokens == 7
    assert read(stop="а").stop == ("а",)
    nothing = dict.fromkeys(("stream", "stream_options", "max_tokens", "temperature", "top_p", "seed", "stop", "n"))
    assert read(**nothing) == read()


@pytest.mark.parametrize(
    ("changes", "reason", "param"),
    [
        ({"model": None}, "missing", "model"),
        ({"model": 3}, "wrong_type", "model"),
        ({"messages": None}, "missing", "messages"),
        ({"messages": "Салом"}, "wrong_type", "messages"),
        ({"messages": []}, "no_question", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no_question", "messages"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "x"}]}, "no_question", "messages"),
        ({"messages": ["Салом"]}, "wrong_type", "messages[0]"),
        ({"messages": [{"role": "user"}]}, "missing", "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "not_supported", "messages[0].role"),
        ({"messages": [{**QUESTION, "tool_calls": [{}]}]}, "not_supported", "messages[0].tool_calls"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "not_supported",
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "missing", "messages[0].content[0].text"),
        ({"n": 2}, "not_supported", "n"),
        ({"tools": [{}]}, "not_supported", "tools"),
        ({"logprobs": True}, "not_supported", "logprobs"),
        ({"response_format": {"type": "json_object"}}, "not_supported", "response_format.type"),
        ({"stream": 1}, "wrong_type", "stream"),
        ({"stream_options": {"include_usage": "yes"}}, "wrong_type", "stream_options.include_usage"),
        ({"max_tokens": 0}, "out_of_range", "max_tokens"),
        ({"max_tokens": True}, "wrong_type", "max_tokens"),
        ({"temperature": 2.1}, "out_of_range", "temperature"),
        ({"temperature": float("nan")}, "out_of_range", "temperature"),
        ({"temperature": 10**400}, "wrong_type", "temperature"),
        ({"top_p": -0.1}, "out_of_range", "top_p"),
        ({"stop": list("абвгд")}, "out_of_range", "stop"),
        ({"stop": ""}, "out_of_range", "stop"),
        ({"stop": [1]}, "wrong_type", "stop"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_its_field(changes, reason, param):
    assert refusal(**changes) == {"reason": reason, "param": param}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"[]", "not_json"),
        (b"\xff", "not_json"),
        (b'{"model": "\\ud800"}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b" " * (MAX_BODY_BYTES + 1), "too_large"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body, reason):
    with pytest.raises(CompletionRefused) as caught:
        completion_request_read(body)
    assert caught.value.fields["reason"] == reason


def test_the_longest_request_fits_on_a_line_to_the_engine():
    text = '"' * ((MAX_BODY_BYTES - 200) // 2)
    messages = read(messages=[{"role": "user", "content": text}]).messages
    assert len(line_of(EngineRequest(op=EngineOp.GENERATE, messages=messages))) < MAX_LINE_BYTES


# A few letters of each kind: to draw from all of Unicode, its table is made first, which takes a slow PC seconds.
TEXT = st.text(st.sampled_from('a1 қ\n\0😀"{'), max_size=5)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = SCALAR | st.lists(SCALAR, max_size=2) | st.dictionaries(st.sampled_from(["type", "role", "content"]), SCALAR)
FIELDS = ("model", "messages", "stream", "stream_options", "max_tokens", "temperature", "top_p", "seed", "stop", "n")


@given(st.dictionaries(st.sampled_from((*FIELDS, "tools", "response_format")), JSON, max_size=4), st.booleans())
def test_any_json_is_read_or_refused_and_breaks_nothing(fields, is_question):
    whole = {"model": "current", "messages": [QUESTION], **fields} if is_question else fields
    try:
        asked = completion_request_read(json.dumps(whole).encode())
    except CompletionRefused:
        return
    assert asked.messages[-1].role in ("user", "system")
    assert 0 <= asked.temperature <= 2
