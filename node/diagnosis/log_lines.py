"""What of a log may leave the school: which of our sentences was said, with numbers and codes, and where an error was.

No line is passed on as it stands, because an error's words repeat what it failed on. A line is matched with the
sentences that this program's source can log. Of what filled them in, numbers and error codes are kept, and all else is
«…». Of other programs' lines, logger and level are kept, and of a traceback its places and its kind.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import federation
import node
from federation.errors import FederationError
from node.sentences import SENTENCES

MOST_LINES = 400
PROCESSES = ("page", "engine", "sync", "relay", "train", "stick", "backup", "textbooks", "supernode")
"""Each has a log of its own; another file beside these is nobody's."""
HIDDEN = "…"
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (DEBUG|INFO|WARNING|ERROR|CRITICAL) ([\w.]{1,80}) (.*)")
_LOGGERS = ("node", "federation", "django", "uvicorn", "asyncio", "httpx", "zeroconf", "tuf", "flwr", "py.warnings")
_PLACE = re.compile(r'  File "([^"]{1,400})", line (\d{1,6}), in ')
_KIND = re.compile(r"(?:[a-z_][\w.]{0,80}\.)?([A-Z]\w{1,60})(?::.*)?$")
_FILLED = re.compile(r"%(?:[+-]?[\d.]*)([srdf])")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,6})?")
_LOG_CALLS = frozenset(("debug", "info", "warning", "error", "exception", "critical"))


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What the program's source may log, and how a line of it is recognised."""

    words: str
    shape: re.Pattern[str]


def lines_kept(lines: Iterable[str]) -> list[str]:
    """Return what of `lines` may leave the school: the newest `MOST_LINES`, then how many lines nobody knows."""
    kept, unknown = list[str](), 0
    for line in lines:
        told = _told(line)
        if told:
            kept.append(told)
        else:
            unknown += 1
    return [*kept[-MOST_LINES:], f"({unknown} other lines are not shown)"]


def _told(line: str) -> str:
    if found := _LINE.fullmatch(line):
        at, level, logger, message = found.groups()
        return f"{at} {level} {logger} {_message(message)}" if _is_known_logger(logger) else ""
    if found := _PLACE.match(line):
        place = _own_place(Path(found[1]))
        return f"    {place}:{found[2]}" if place else ""
    if (found := _KIND.fullmatch(line)) and found[1] in _error_kinds():
        return f"    {found[1]}"
    return ""


def _is_known_logger(logger: str) -> bool:
    return logger.startswith(_LOGGERS)


def _message(message: str) -> str:
    for sentence in _sentences():
        if found := sentence.shape.fullmatch(message):
            return _refilled(sentence.words, found.groups())
    return HIDDEN


def _refilled(words: str, filled: Sequence[str]) -> str:
    values = map(_value, filled)
    return _FILLED.sub(lambda _blank: next(values), words)


def _value(filled: str) -> str:
    """Return a number, a process or the code of an error; what else filled the sentence in is nobody's business."""
    if _NUMBER.fullmatch(filled) or filled in PROCESSES:
        return filled
    code = filled.partition(",")[0]
    return code if code in SENTENCES else HIDDEN


@cache
def _sentences() -> tuple[_Sentence, ...]:
    folders = (Path(each.__file__).parent for each in (node, federation) if each.__file__)
    found = {words for folder in folders for path in folder.rglob("*.py") for words in _logged(path)}
    # The longest first: one with more words of its own says more than one that is nearly all blanks.
    return tuple(_Sentence(words, _shape(words)) for words in sorted(found, key=len, reverse=True))


def _logged(path: Path) -> Iterator[str]:
    for each in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in _LOG_CALLS:
            owner, first = each.func.value, each.args[0] if each.args else None
            if isinstance(owner, ast.Name) and owner.id == "_log" and isinstance(first, ast.Constant):
                yield str(first.value)


def _shape(words: str) -> re.Pattern[str]:
    parts = _FILLED.split(words)
    kinds = {"d": r"([+-]?\d+)", "f": r"([+-]?[\d.]+)"}
    shape = re.escape(parts[0])
    for kind, after in zip(parts[1::2], parts[2::2], strict=True):
        shape += kinds.get(kind, "(.*)") + re.escape(after)
    return re.compile(shape)


@cache
def _error_kinds() -> frozenset[str]:
    own = (each.__name__ for each in _below(FederationError))
    return frozenset((*own, *(name for name, each in vars(builtins).items() if _is_error(each))))


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _below(kind: type[FederationError]) -> Iterator[type[FederationError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _own_place(path: Path) -> str:
    """Return where in the program or its packages a file lies that is really there."""
    if path.suffix != ".py" or not path.is_file():
        return ""
    tree = Path(node.__file__ or "").parent.parent
    parts = path.parts
    if "site-packages" in parts:
        return "/".join(parts[parts.index("site-packages") + 1 :])
    return str(path.relative_to(tree)) if path.is_relative_to(tree) else ""
