"""The page that compares runs opens in a real browser without a network, for readers of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import daskflow as flow
from tests.browsing import comes
from tests.report_records import HOSTILE
from tests.run_folders import make_run, row_hashes, scores, truth
from tests.test_reports_browser import TEXT_COLOURS, browser, chromium, opened

__all__ = ["browser", "chromium"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_page_is_drawn_without_a_request_an_error_or_a_hostile_name_that_runs(browser: Any, tmp_path: Path) -> None:
    # given three runs, one with names that are markup
    scheme, width, context = browser
    rows = row_hashes(800)
    y = truth(rows)
    space = {"search": {"kind": "random", "metric": "roc_auc", "trials": 3, "space": {HOSTILE: [1]}}}
    columns = [{"name": HOSTILE, "kind": "numeric", "type": "double", "role": "feature"}]
    make_run(tmp_path, "a", rows=rows, probability=scores(y, 3.0, 1))
    make_run(tmp_path, "b", rows=rows, probability=scores(y, 2.0, 2), settings=space, columns=columns, fingerprint="x")
    make_run(tmp_path, "c", rows=rows[:500], probability=scores(y, 2.5, 3)[:500])
    found = flow.compare(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    path = found.write(tmp_path / "page.html")
    # when the page is opened
    page, requests, errors = opened(context, path)
    # then it is drawn in the reader's colours, nothing is asked for, nothing runs, and nothing sticks out
    expected = {"light": "#57606a", "dark": "#9ea7b3"}[scheme]
    page.wait_for_function(f"() => ({TEXT_COLOURS})().every(colour => colour === '{expected}')")
    assert requests == [path.as_uri()]
    assert errors == []
    assert page.evaluate("window.owned") is None
    comes(page, "() => document.documentElement.scrollWidth", width)
    # and the numbers of the table are those that were found
    cells = page.locator("#test table tbody tr.marked").all_inner_texts()
    assert [str(other.differences["roc_auc"]) in text for other, text in zip(found.against, cells, strict=True)] == [
        True
    ] * 2
