"""Pages whose keys are looked up first hold what plain pages hold, in the same order."""

from datetime import UTC, datetime

import pytest
from django.core.paginator import EmptyPage, Paginator

from central.admin_paging import KeysFirstPaginator
from central.schools.models import School

WHEN = datetime(2026, 9, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


class Far(KeysFirstPaginator):
    near_rows = 0


@pytest.mark.parametrize("order", ["-region", "name"])
@pytest.mark.parametrize("pages", [Far, KeysFirstPaginator])
def test_every_page_is_that_of_a_plain_paginator(order, pages):
    School.objects.bulk_create(
        School(name=f"Мактаби {n}", region="ВМКБ" if n % 3 else "Суғд", created_at=WHEN) for n in range(23)
    )
    rows = School.objects.order_by(order, "-pk")
    plain, keyed = Paginator(rows, 5), pages(rows, 5)
    for number in plain.page_range:
        assert list(keyed.page(number).object_list) == list(plain.page(number).object_list)
    with pytest.raises(EmptyPage):
        keyed.page(6)


def test_an_empty_list_has_one_empty_page():
    assert list(Far(School.objects.order_by("pk"), 5).page(1).object_list) == []


def test_what_is_skipped_is_counted_from_the_nearer_end(django_assert_num_queries):
    School.objects.bulk_create(School(name=f"Мактаби {n}", region="Суғд", created_at=WHEN) for n in range(23))
    pages = Far(School.objects.order_by("pk"), 5)
    assert pages.count == 23
    with django_assert_num_queries(2) as asked:
        list(pages.page(5).object_list)
    assert "OFFSET" not in asked.captured_queries[0]["sql"]
    assert asked.captured_queries[0]["sql"].endswith("LIMIT 3")
