"""The profile's page opens in a real browser without a network: drawn, quiet, in the reader's colours, searchable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daskflow.reports.profile_page import write
from tests.browsing import comes
from tests.profiled import profiled
from tests.test_profile_page import HOSTILE
from tests.test_reports_browser import TEXT_COLOURS, browser, chromium, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

__all__ = ["browser", "chromium"]


def test_the_page_is_drawn_without_a_request_or_an_error_and_finds_columns(browser: Any, tmp_path: Path) -> None:
    # given a table of 120 columns with hostile levels, drift, gaps and a target
    scheme, width, context = browser
    rng = np.random.default_rng(0)
    n = 1_000
    frame = pd.DataFrame({f"c{i:03}": rng.normal(size=n) + (np.arange(n) > 500) * (i % 3) for i in range(117)})
    frame["c005"] = frame["c005"].where(rng.random(n) < 0.7)
    frame["level"] = rng.choice(HOSTILE, n)
    frame["y"] = rng.choice(HOSTILE[:2], n)
    page_path = tmp_path / "page.html"
    write(profiled(frame, tmp_path / "blocks", parts=5, target="y"), page_path)
    # when
    page, requests, errors = opened(context, page_path)
    # then it is drawn in the colours of the reader, and asks for nothing
    expected = {"light": "#57606a", "dark": "#9ea7b3"}[scheme]
    page.wait_for_function(f"() => ({TEXT_COLOURS})().every(colour => colour === '{expected}')")
    assert requests == [page_path.as_uri()]
    assert errors == []
    comes(page, "() => document.documentElement.scrollWidth", width)
    # and a column is found by its name, and by a finding's link when it is hidden
    page.fill("#wanted", "leve")
    found = "() => [...document.querySelectorAll('.card:not([hidden]) h3')].map((one) => one.textContent)"
    comes(page, found, ["level"])
    comes(page, "() => document.getElementById('shown').innerText", "1 of 119 columns")
    page.fill("#wanted", "no such column")
    page.click("a[href^='#column-']")
    page.wait_for_function("() => document.querySelectorAll('.card:not([hidden])').length === 119")
