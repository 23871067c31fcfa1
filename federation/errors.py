"""The errors of the federation, in four families named after who can act on them.

Each error has a stable `code` and typed fields, and no words for people: those are made at the door, in the
reader's language. docs/errors.md lists every code with what to do.
"""

from __future__ import annotations

from typing import ClassVar


class FederationError(Exception):
    """A refusal or failure with a stable `code`; its fields are the keyword arguments it was raised with."""

    code: ClassVar[str]

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        super().__init__(", ".join([self.code, *(f"{name}={value}" for name, value in fields.items())]))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword fields, so that an error crosses a process boundary whole."""
        return _rebuild, (type(self), self.fields)


def _rebuild(kind: type[FederationError], fields: dict[str, object]) -> FederationError:
    return kind(**fields)


class WireError(FederationError):
    """The sender must change what it sends."""


class TrustError(FederationError):
    """Nobody can mend it: the thing is refused."""


class TransportError(FederationError):
    """Trying again later may succeed."""


class CapacityError(FederationError):
    """The operator of this machine must act: disk, memory, ports, settings or input files."""
