"""Tables as the page's script draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(heads: Sequence[tuple[str, str, str]], rows: Sequence[Mapping[str, Any]], more: int = 0) -> dict[str, Any]:
    """Return a table; one without rows shows what will come.

    Parameters
    ----------
    heads : sequence of (key, title, kind)
        Columns; kinds are those of the widget ``table``.
    rows : sequence of mapping
        Values by the columns' keys.
    more : int
        Rows that there are besides.

    Examples
    --------
    >>> table([("n", "Rows", "number")], [{"n": 3}])["columns"]
    [{'key': 'n', 'title': 'Rows', 'kind': 'number'}]
    """
    columns = [{"key": key, "title": title, "kind": kind} for key, title, kind in heads]
    return {"columns": columns, "rows": [dict(row) for row in rows], "more": more, "sort": None}
