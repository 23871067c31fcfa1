"""Cookies of the HTTPS door have names of their own, and go by HTTPS alone.

Browsers keep one jar for a host, whatever the port: without names of its own a telephone that came by HTTPS once could
not sign in at the plain door any more, for it would refuse to replace what is marked as Secure; and what anybody set by
plain HTTP would count here. The prefix makes browsers see to that. Source: RFC 6265bis, 4.1.3.2 and 5.7.

Stands before all else that reads cookies. Everything behind it knows cookies by their plain names.
"""

from __future__ import annotations

from node.body_limit import Application, Message, Receive, Scope, Send

PREFIX = b"__Host-"


class SecureCookies:
    """An ASGI application that shows `inner`, of a request by HTTPS, the cookies that were set by HTTPS."""

    def __init__(self, inner: Application) -> None:
        """Stand before `inner`."""
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one by plain HTTP as it is."""
        if scope.get("scheme") != "https":
            await self._inner(scope, receive, send)
            return

        async def renamed(message: Message) -> None:
            await send({**message, "headers": _answered(message["headers"])} if "headers" in message else message)

        await self._inner({**scope, "headers": _asked(scope["headers"])}, receive, renamed)


def _asked(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, _own(value) if name == b"cookie" else value) for name, value in headers]


def _own(cookies: bytes) -> bytes:
    pairs = (pair.strip() for pair in cookies.split(b";"))
    return b"; ".join(pair.removeprefix(PREFIX) for pair in pairs if pair.startswith(PREFIX))


def _answered(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, PREFIX + value + b"; Secure" if name.lower() == b"set-cookie" else value) for name, value in headers]
