"""No request may be longer than any page of ours sends: Django would first write all of it to the disk.

Stands before Django, because only there a body without an end can still be cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRule:
    """How long a request may be, and what is said of one that is longer."""

    most_bytes: int
    sentence: str | Promise
    linger_seconds: float = 0.0
    """For so long what still comes is taken and dropped: a browser in the middle of sending shows no answer before."""


EVERYDAY = BodyRule(
    most_bytes=MAX_BODY_BYTES,
    sentence=_("What was sent is too much for this PC, or damaged. Go back, make it shorter and try again."),
)
RuleOf = Callable[[Scope], Awaitable[BodyRule | None]]


class BodyLimit:
    """An ASGI application that lets `inner` see only requests as long as their rule allows."""

    def __init__(self, inner: Application, *, rule_of: RuleOf) -> None:
        """Stand before `inner`; a request for which `rule_of` has no rule falls under the everyday one."""
        self._inner = inner
        self._rule_of = rule_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; one that is too long is answered here, and `inner` takes its reader for gone."""
        rule = EVERYDAY
        if _declared_bytes(scope) > MAX_BODY_BYTES or _is_endless(scope):
            rule = await self._rule_of(scope) or EVERYDAY
        if _declared_bytes(scope) > rule.most_bytes:
            await _refuse(receive, send, rule)
            return
        seen_bytes, is_begun = 0, False

        async def counted() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen_bytes > rule.most_bytes else message

        async def noted(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        await self._inner(scope, counted, noted)
        if seen_bytes > rule.most_bytes and not is_begun:
            await _refuse(receive, send, rule)


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope.get("headers", ())).get(b"content-length", b"")
    return int(declared) if declared.isdigit() else 0


def _is_endless(scope: Scope) -> bool:
    return b"transfer-encoding" in dict(scope.get("headers", ()))


async def _refuse(receive: Receive, send: Send, rule: BodyRule) -> None:
    # The languages of Django's request are not known here.
    sentences = []
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            sentences.append(str(rule.sentence))
    body = "\n".join(sentences).encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if rule.linger_seconds:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_drain(receive), rule.linger_seconds)
    await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    has_more = True
    while has_more:
        has_more = bool((await receive()).get("more_body"))
        # What comes as fast as it is read would leave nobody else, and no clock, a turn.
        await asyncio.sleep(0)
