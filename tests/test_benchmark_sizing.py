"""What `make bench-sizing` makes of PostgreSQL's counts."""

import pytest

from tests.benchmarks.sizing import CENTRE_SCHOOLS, STANDS, YEAR, TableSize, sizing_rows


def test_a_schools_year_is_the_sum_of_its_rows_and_a_centres_that_of_its_schools():
    sizes = {name: TableSize(rows=200, size_bytes=200 * 1000) for name in (*STANDS, *YEAR)}
    rows = {each.name: each.value for each in sizing_rows(sizes)}

    assert rows["schools_node_bytes"] == 1000
    assert rows["school_kb"] == len(STANDS)
    assert rows["school_year_kb"] == sum(YEAR.values())
    assert rows["centre_year_gb"] == pytest.approx(CENTRE_SCHOOLS * sum(YEAR.values()) / 1e6)
    assert rows["centre_year_gb_ten"] == pytest.approx(10 * rows["centre_year_gb"])
    assert TableSize(rows=0, size_bytes=8192).row_bytes == 8192
