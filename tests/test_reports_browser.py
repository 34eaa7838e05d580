"""The report opens in a real browser without a network: drawn, quiet, and in the colours of the reader."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daskflow.reports.page import write
from tests.conftest import lacking
from tests.report_records import hostile_record, record_of

pytestmark = pytest.mark.slow

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
DRAWN = """() => window.Bokeh && Bokeh.documents.length > 0
  && Bokeh.documents[0].roots().length === document.querySelectorAll('[data-root-id]').length"""
TEXT_COLOURS = """() => Bokeh.documents[0].roots().flatMap(root => [...root.references()])
  .filter(model => model.type === 'LinearAxis').map(axis => axis.major_label_text_color)"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        lacking("Chromium")
    return str(found)


@pytest.fixture(params=[("light", 1280), ("dark", 390)], ids=["light and wide", "dark and narrow"])
def browser(request: pytest.FixtureRequest, chromium: str, tmp_path: Path) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    scheme, width = request.param
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"),
            executable_path=chromium,
            args=FLAGS,
            headless=True,
            offline=True,
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
        )
        yield scheme, width, context
        context.close()


def opened(context: Any, path: Path) -> tuple[Any, list[str], list[str]]:
    """Open a file and wait until all figures are drawn; also what it asked for, and what went wrong."""
    page = context.new_page()
    page.set_default_timeout(120_000)
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN)
    return page, requests, errors


def test_the_report_is_drawn_without_a_request_or_an_error(browser: Any, tmp_path: Path) -> None:
    scheme, width, context = browser
    report = tmp_path / "report.html"
    write(record_of(), report)

    page, requests, errors = opened(context, report)

    expected = {"light": "#57606a", "dark": "#9ea7b3"}[scheme]
    page.wait_for_function(f"() => ({TEXT_COLOURS})().every(colour => colour === '{expected}')")
    assert requests == [report.as_uri()]
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    values = page.evaluate("() => [...Bokeh.documents[0].get_model_by_name('metrics_shares_data').get('value')]")
    assert values == [0.7312, 0.4567]


def test_hostile_names_run_nothing_and_ask_for_nothing(browser: Any, tmp_path: Path) -> None:
    _, _, context = browser
    report = tmp_path / "report.html"
    write(hostile_record(), report)

    page, requests, errors = opened(context, report)
    for place in page.locator("figure canvas").all()[:6]:
        place.scroll_into_view_if_needed()
        place.hover(force=True)

    assert page.evaluate("window.owned") is None
    assert requests == [report.as_uri()]
    assert errors == []
    assert "<script>window.owned = 1</script>" in page.inner_text("h1")
