"""The common end of every benchmark."""

import json

from tests.benchmarks.report import report, row
from tests.benchmarks.rounds import rows_kept


def test_a_benchmark_whose_bar_does_not_hold_says_so_in_its_file_and_its_status(tmp_path):
    rows = [row("slow", 3.0, "s", at_most=2.0), row("quick", 1.0, "s", at_most=2.0), row("only told", 7.0, "MB")]

    status = report("sample", rows, root=tmp_path)

    written = json.loads((tmp_path / "sample.json").read_text())
    assert status == 1
    assert [entry["holds"] for entry in written["rows"]] == [False, True, True]
    assert written["rows"][0] == {"name": "slow", "value": 3.0, "unit": "s", "bar": "<= 2", "holds": False}
    assert written["machine"]["cores"]
    assert (tmp_path / "sample.png").read_bytes().startswith(b"\x89PNG")


def test_a_benchmark_whose_bars_all_hold_ends_with_zero(tmp_path):
    assert report("sample", [row("ratio", 1.5, "x", at_least=1.0, at_most=2.0)], root=tmp_path) == 0


def test_a_part_of_the_rounds_that_is_measured_alone_keeps_the_figures_of_the_others(tmp_path):
    report("rounds-scale", [row("updates_lost", 0, "", at_most=0)], root=tmp_path)
    report("rounds-exchange", [row("old", 9.0, "s")], root=tmp_path)
    report("rounds-exchange", [row("exchange_seconds", 7.0, "s", at_most=10)], root=tmp_path)
    assert [(each.name, each.value) for each in rows_kept(tmp_path)] == [("updates_lost", 0), ("exchange_seconds", 7.0)]
