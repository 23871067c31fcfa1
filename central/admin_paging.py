"""Pages of long lists that cost what they show, not what stands before them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet


class KeysFirstPaginator(Paginator):
    """Looks the keys of a page that lies far behind up before its rows.

    What is skipped is then read from an index, where that has the list's order, and not row by row with all that is
    joined; in the second half of a list it is skipped from the end.
    """

    near_rows: ClassVar[int] = 1_000
    """So many rows are skipped faster than a second query is asked."""

    def page(self, number: int | str) -> Page[Any]:
        """Return the page; its rows are in the order of the list.

        Raises:
            PageNotAnInteger, EmptyPage: as in Django.
        """
        number = self.validate_number(number)
        if number * self.per_page <= self.near_rows:
            return super().page(number)
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment] # a list page's rows are never a plain list
        start = (number - 1) * self.per_page
        stop = min(start + self.per_page, self.count)
        if start <= self.count // 2:
            keys = list(rows.values_list("pk", flat=True)[start:stop])
        else:
            keys = list(rows.reverse().values_list("pk", flat=True)[self.count - stop : self.count - start])
        return Page(rows.filter(pk__in=keys), number, self)
