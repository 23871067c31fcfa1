"""Turn documents into canonical bytes and back, with one strict parser for all of them.

A document is a frozen dataclass. Canonical bytes are JSON with sorted keys, no spaces, UTF-8 (protocol §1.1).
Fields that a newer peer added are ignored on reading; whoever must keep them keeps the signed bytes.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from federation.errors import WireError

DocumentT = TypeVar("DocumentT")
LEFT_OUT: Mapping[str, bool] = types.MappingProxyType({"is_left_out": True})
"""Metadata of a field that takes no bytes while it has its default, so that what few have to say costs few."""
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 32
LARGEST_INTEGER = 2**63 - 1
"""Every database and every other language can hold it."""


class MalformedDocument(WireError):
    """A document does not have the shape that its type demands; `field` names the place."""

    code = "malformed_document"


def canonical_bytes(document: object) -> bytes:
    """Return the one byte string that stands for `document` (a dataclass or plain JSON values)."""
    return json.dumps(
        to_plain(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def to_plain(value: object) -> Any:  # noqa: ANN401, PLR0911 - JSON has no narrower type; one line a kind of value
    """Return `value` as plain JSON values: dataclasses as objects, times as ISO 8601 UTC, bytes as base64."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in _said(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def _said(document: Any) -> list[dataclasses.Field[Any]]:  # noqa: ANN401 - any dataclass
    fields = dataclasses.fields(document)
    return [
        each for each in fields if not each.metadata.get("is_left_out") or getattr(document, each.name) != each.default
    ]


def parse(kind: type[DocumentT], content: bytes) -> DocumentT:
    """Return the document of type `kind` that `content` spells.

    Raises:
        MalformedDocument: not UTF-8 JSON, too long, or a field is missing or of another type.
    """
    if len(content) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument(document=kind.__name__, field="", problem="longer than 8 MiB")
    try:
        plain = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MalformedDocument(document=kind.__name__, field="", problem="not JSON") from error
    if _is_deeper(plain, MAX_DEPTH):
        raise MalformedDocument(document=kind.__name__, field="", problem=f"nested deeper than {MAX_DEPTH}")
    return from_plain(kind, plain)


def _no_number(constant: str) -> object:
    # json reads NaN and Infinity, which are no JSON.
    raise ValueError(constant)


def _is_deeper(plain: object, depth: int) -> bool:
    """Tell whether arrays and objects stand in one another more than `depth` times, without going so deep itself."""
    level = [plain]
    for _ in range(depth):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        level = [each for each in inner if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def from_plain(kind: type[DocumentT], plain: object) -> DocumentT:
    """Return the document of type `kind` held in the plain JSON value `plain`.

    Raises:
        MalformedDocument: a field is missing or of another type; names it.
    """
    return typing.cast("DocumentT", _read(kind, plain, kind.__name__, ""))


def _read(kind: Any, plain: object, document: str, path: str) -> object:  # noqa: ANN401 - a type expression
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_optional(kind, plain, document, path)
    if origin is tuple:
        items = _expect(plain, list, document, path)
        item_kind = typing.get_args(kind)[0]
        return tuple(_read(item_kind, item, document, f"{path}[{n}]") for n, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        members = _expect(plain, dict, document, path)
        value_kind = typing.get_args(kind)[1]
        return {name: _read(value_kind, item, document, f"{path}.{name}") for name, item in members.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, plain, document, path)
    return _read_scalar(kind, plain, document, path)


def _read_optional(kind: Any, plain: object, document: str, path: str) -> object:  # noqa: ANN401 - a type expression
    if plain is None:
        return None
    (present,) = (arm for arm in typing.get_args(kind) if arm is not types.NoneType)
    return _read(present, plain, document, path)


def _read_dataclass(kind: Any, plain: object, document: str, path: str) -> object:  # noqa: ANN401 - a type expression
    members = _expect(plain, dict, document, path)
    values = {}
    for name, hint, is_needed in _fields(kind):
        if name in members:
            values[name] = _read(hint, members[name], document, f"{path}.{name}" if path else name)
        elif is_needed:
            raise MalformedDocument(document=document, field=f"{path}.{name}".lstrip("."), problem="missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise MalformedDocument(document=document, field=path, problem=str(error)) from error


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, Any, bool], ...]:  # noqa: ANN401 - a type expression
    """Return name and type of each field of a dataclass, and whether it has no default.

    Resolving the hints takes longer than all the rest of reading a document.
    """
    hints, none = typing.get_type_hints(kind), dataclasses.MISSING
    return tuple(
        (field.name, hints[field.name], field.default is none and field.default_factory is none)
        for field in dataclasses.fields(kind)
    )


def _read_scalar(kind: Any, plain: object, document: str, path: str) -> object:  # noqa: ANN401 - a type expression
    try:
        if kind is datetime:
            return _read_time(_expect(plain, str, document, path))
        if kind is bytes:
            return base64.b64decode(_expect(plain, str, document, path), validate=True)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return kind(plain)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise MalformedDocument(document=document, field=path, problem=str(error)) from error
    if kind is float and isinstance(plain, int | float) and not isinstance(plain, bool) and math.isfinite(plain):
        return float(plain)
    return _expect(plain, kind, document, path)


def _read_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("time without a zone")
    return moment.astimezone(UTC)


def _expect(plain: object, kind: type[DocumentT], document: str, path: str) -> DocumentT:
    is_bool_for_number = kind is int and isinstance(plain, bool)
    if not isinstance(plain, kind) or is_bool_for_number:
        raise MalformedDocument(document=document, field=path, problem=f"expected {kind.__name__}")
    if kind is int and abs(typing.cast("int", plain)) > LARGEST_INTEGER:
        raise MalformedDocument(document=document, field=path, problem="more than 63 bits")
    if kind is str and not _is_text(typing.cast("str", plain)):
        raise MalformedDocument(document=document, field=path, problem="NUL or half a surrogate pair")
    return plain


def _is_text(text: str) -> bool:
    """Tell whether every database can hold `text`."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
