"""The chat's scripts and style use nothing that the browsers of old telephones (Chrome 70) do not know."""

import re
from pathlib import Path

import pytest

import node

STATIC = Path(node.__file__).parent / "static" / "node"
SCRIPTS = sorted([*STATIC.rglob("*.js"), Path(node.__file__).parent / "templates" / "node" / "service_worker.js"])
# What came later, and with which Chrome.
LATER = {
    r"\?\.[a-z\[(]": "optional chaining, 80",
    r"\?\?": "nullish coalescing, 80",
    r"&&=|\|\|=": "logical assignment, 85",
    r"\.replaceAll\(": "replaceAll, 85",
    r"\.at\(": "at, 92",
    r"\.requestSubmit\(": "requestSubmit, 76",
    r"\.replaceChildren\(": "replaceChildren, 86",
    r"\.(flat|flatMap|fromEntries|allSettled|any)\(": "flat 69, fromEntries 73, allSettled 76, any 85",
    r"^\s+(static |#)": "class fields, 72",
    r"\d_\d": "numeric separators, 75",
    r"import\(": "a script that waits for another",
    r"^await ": "top-level await, 89",
    r"scheduler\.|structuredClone|crypto\.randomUUID": "98 and later",
}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_uses_nothing_that_came_after_chrome_70(path):
    text = path.read_text(encoding="utf-8")
    assert [name for pattern, name in LATER.items() if re.search(pattern, text, re.MULTILINE)] == []


def test_the_scripts_are_all_there():
    assert {"page.js", "passing.js", "soro.js", "service_worker.js"} <= {path.name for path in SCRIPTS}


def test_the_style_hides_nothing_behind_what_old_browsers_do_not_know():
    style = (STATIC / "soro.css").read_text(encoding="utf-8")
    # A selector that a browser does not know takes its whole rule with it.
    for rule in re.findall(r"([^{}]+)\{", style):
        assert not re.search(r":(is|where)\(|:not\([^)]*,|@layer|@container", rule), rule
    # Shown without it too, only plainer.
    assert {rule.strip() for rule in re.findall(r"([^{}]+):has\(", style)} == {".stars label", ".tiles label"}
