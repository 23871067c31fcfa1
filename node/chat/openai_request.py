"""A chat completion request in OpenAI's words, read strictly where it matters and with patience everywhere else.

Unknown fields are ignored and null counts as absent, because clients send many that change nothing here. What would
change the answer's kind (tools, pictures, several answers, a grammar) is refused by name: an answer that silently
lacks it would be worse than none. Knows neither the database nor the engine.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.errors import WireError
from node.chat.engine_events import ChatMessage

# Less than a line to the engine takes, so that whatever passes here fits there.
MAX_BODY_BYTES = 512 * 1024
MAX_STOPS = 4
MAX_TEMPERATURE = 2.0
SEEDS = 2**31
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "model"}
# Each changes what kind of answer it is; empty values ask for nothing.
IMPOSSIBLE_FIELDS = ("tools", "functions", "logprobs", "audio", "web_search_options")
# As long as the page lets an answer be.
DEFAULT_TOKENS = 512


class RefusalReason(enum.Enum):
    """Why a request is refused; each has a sentence in `openai_refusal`."""

    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NOT_SUPPORTED = "not_supported"
    NO_QUESTION = "no_question"


class CompletionRefused(WireError):
    """A chat completion request cannot be answered as it is: `reason`, and the field `param` where one is at fault."""

    code = "completion_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """What a client asks for."""

    model: str
    messages: tuple[ChatMessage, ...]
    """In the engine's roles; the last that is not the system's is the user's."""
    is_stream: bool
    has_usage: bool
    """Whether a stream ends with the numbers of tokens."""
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]


def completion_request_read(body: bytes) -> CompletionRequest:
    """Return the request that `body` spells.

    Raises:
        CompletionRefused: it cannot be answered; names the reason and the field.
    Source: OpenAI API reference, "Create chat completion".
    """
    if len(body) > MAX_BODY_BYTES:
        raise CompletionRefused(reason=RefusalReason.TOO_LARGE.value)
    fields = _Fields(_object(body))
    fields.possible_check()
    options = _Fields(fields.one("stream_options", _a_mapping, {}), "stream_options.")
    return CompletionRequest(
        model=fields.required("model", _a_text),
        messages=_messages(fields.required("messages", _a_list)),
        is_stream=fields.one("stream", _a_claim, False),  # noqa: FBT003 - a default
        has_usage=options.one("include_usage", _a_claim, False),  # noqa: FBT003 - a default
        max_tokens=_max_tokens(fields),
        temperature=fields.number("temperature", 0.0, lowest=0.0, highest=MAX_TEMPERATURE),
        top_p=fields.number("top_p", 1.0, lowest=0.0, highest=1.0),
        seed=_seed(fields),
        stop=_stops(fields),
    )


class _Fields:
    """The request's members, each read by name; null and absent are one."""

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self._members = members
        self._path = path

    def one(self, name: str, read: Callable[[object], Any], default: object) -> Any:  # noqa: ANN401 - as `read` says
        value = self._members.get(name)
        if value is None:
            return default
        try:
            return read(value)
        except (TypeError, OverflowError) as error:
            raise CompletionRefused(reason=RefusalReason.WRONG_TYPE.value, param=self._path + name) from error

    def required(self, name: str, read: Callable[[object], Any]) -> Any:  # noqa: ANN401 - as `read` says
        value = self.one(name, read, None)
        if value is None:
            raise CompletionRefused(reason=RefusalReason.MISSING.value, param=self._path + name)
        return value

    def number(self, name: str, default: float, *, lowest: float, highest: float) -> float:
        value = float(self.one(name, _a_number, default))
        if not lowest <= value <= highest:
            raise CompletionRefused(reason=RefusalReason.OUT_OF_RANGE.value, param=name)
        return value

    def possible_check(self) -> None:
        for name in IMPOSSIBLE_FIELDS:
            if self._members.get(name):
                raise CompletionRefused(reason=RefusalReason.NOT_SUPPORTED.value, param=name)
        if self.one("n", _a_count, 1) != 1:
            raise CompletionRefused(reason=RefusalReason.NOT_SUPPORTED.value, param="n")
        form = self.one("response_format", _a_mapping, {})
        if form.get("type", "text") != "text":
            raise CompletionRefused(reason=RefusalReason.NOT_SUPPORTED.value, param="response_format.type")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        plain = json.loads(body)
        # Half of a surrogate pair is JSON and no text: nothing behind this door could write it down.
        json.dumps(plain, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise CompletionRefused(reason=RefusalReason.NOT_JSON.value) from error
    if not isinstance(plain, dict):
        raise CompletionRefused(reason=RefusalReason.NOT_JSON.value)
    return plain


def _messages(entries: Sequence[object]) -> tuple[ChatMessage, ...]:
    messages = tuple(_message(entry, f"messages[{number}]") for number, entry in enumerate(entries))
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "user":
        raise CompletionRefused(reason=RefusalReason.NO_QUESTION.value, param="messages")
    return messages


def _message(entry: object, path: str) -> ChatMessage:
    if not isinstance(entry, dict):
        raise CompletionRefused(reason=RefusalReason.WRONG_TYPE.value, param=path)
    fields = _Fields(entry, f"{path}.")
    role = ROLES.get(fields.required("role", _a_text))
    if role is None:
        raise CompletionRefused(reason=RefusalReason.NOT_SUPPORTED.value, param=f"{path}.role")
    if entry.get("tool_calls"):
        raise CompletionRefused(reason=RefusalReason.NOT_SUPPORTED.value, param=f"{path}.tool_calls")
    content = fields.required("content", _a_text_or_list)
    text = content if isinstance(content, str) else "".join(_parts(content, f"{path}.content"))
    return ChatMessage(role=role, text=text)


def _parts(entries: Sequence[object], path: str) -> list[str]:
    texts = []
    for number, entry in enumerate(entries):
        place = f"{path}[{number}]"
        if not isinstance(entry, dict):
            raise CompletionRefused(reason=RefusalReason.WRONG_TYPE.value, param=place)
        if entry.get("type") != "text":
            raise CompletionRefused(reason=RefusalReason.NOT_SUPPORTED.value, param=f"{place}.type")
        texts.append(_Fields(entry, f"{place}.").required("text", _a_text))
    return texts


def _max_tokens(fields: _Fields) -> int:
    # The newer name wins where a client sends both.
    for name in ("max_completion_tokens", "max_tokens"):
        most = fields.one(name, _a_count, None)
        if most is not None and most < 1:
            raise CompletionRefused(reason=RefusalReason.OUT_OF_RANGE.value, param=name)
        if most is not None:
            return int(most)
    return DEFAULT_TOKENS


def _seed(fields: _Fields) -> int | None:
    seed = fields.one("seed", _a_count, None)
    return None if seed is None else int(seed) % SEEDS


def _stops(fields: _Fields) -> tuple[str, ...]:
    given = fields.one("stop", _a_text_or_list, [])
    stops = [given] if isinstance(given, str) else given
    if not all(isinstance(stop, str) for stop in stops):
        raise CompletionRefused(reason=RefusalReason.WRONG_TYPE.value, param="stop")
    if len(stops) > MAX_STOPS or not all(stops):
        raise CompletionRefused(reason=RefusalReason.OUT_OF_RANGE.value, param="stop")
    return tuple(stops)


def _expect(value: object, kinds: tuple[type, ...]) -> Any:  # noqa: ANN401 - one of `kinds`
    # JSON's true and false are numbers in Python and nowhere else.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError
    return value


def _a_text(value: object) -> str:
    return str(_expect(value, (str,)))


def _a_claim(value: object) -> bool:
    return bool(_expect(value, (bool,)))


def _a_count(value: object) -> int:
    return int(_expect(value, (int,)))


def _a_number(value: object) -> float:
    return float(_expect(value, (int, float)))


def _a_list(value: object) -> list[object]:
    return list(_expect(value, (list,)))


def _a_mapping(value: object) -> dict[str, Any]:
    return dict(_expect(value, (dict,)))


def _a_text_or_list(value: object) -> str | list[object]:
    checked: str | list[object] = _expect(value, (str, list))
    return checked
