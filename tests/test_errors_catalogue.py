"""docs/errors.md and the code name the same error codes."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _codes_in_code() -> Counter:
    codes = Counter()
    for folder in ("central", "node", "federation"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and node.bases:
                    codes.update(_code_of(node))
    return codes


def _code_of(node: ast.ClassDef) -> list[str]:
    return [
        statement.value.value
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and [ast.unparse(target) for target in statement.targets] == ["code"]
        and isinstance(statement.value, ast.Constant)
    ]


def _codes_in_docs() -> Counter:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return Counter(re.findall(r"^\| `([a-z0-9_]+)` \|", page, flags=re.MULTILINE))


def test_the_code_and_the_catalogue_name_the_same_error_codes():
    assert set(_codes_in_code()) == set(_codes_in_docs())


def test_no_two_errors_share_a_code():
    assert [code for code, count in _codes_in_code().items() if count > 1] == []
