"""The live pages in a real browser: they grow with the run, are marked and asked, and outlive their server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from daskflow.dashboard.serving import Server
from tests.browsing import Processor, comes, launch_options, until
from tests.open_ports import open_port
from tests.told_runs import stage_moment, told_run
from tests.told_source import Told, until_now

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DRAWN = "() => document.documentElement.dataset.drawn === 'true'"
MODEL = "Bokeh.documents[0].get_model_by_name"
COUNT = f"() => {MODEL}('search_scores_data').get_length()"
COLOURS = """() => [...new Set(Bokeh.documents[0].roots().flatMap(root => [...root.references()])
  .filter(model => model.type === 'LinearAxis').map(axis => axis.major_label_text_color))]"""
AWAY = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE", "ERR_SOCKET", "ERR_CONTENT_LENGTH")
"""How a browser calls a server that went away: before, while or after it was asked."""


class Visitor:
    """A browser's page, with everything that it asked for and that went wrong."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))
        self.page.on("console", self._said)

    def _said(self, message: Any) -> None:
        # A server that is away is what one of these tests is about, and how all of them end.
        if message.type in ("error", "warning") and not any(f"net::{word}" in message.text for word in AWAY):
            self.errors.append(message.text)

    def open(self, server: Server, page: str) -> Any:
        """Open one of the pages as somebody who has the link."""
        self.page.goto(server.address)
        self.page.goto(f"{self.page.url.rsplit('/', 1)[0]}/{page}")
        self.page.wait_for_function(DRAWN)
        return self.page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    options = launch_options()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Any) -> Iterator[Visitor]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    found = Visitor(context)
    yield found
    context.close()
    assert found.errors == []
    assert {url.split("/")[2] for url in found.requests if url.startswith("http")} == {
        url.split("/")[2] for url in found.requests[:1]
    }


def parted(run: list[dict[str, Any]], *shares: float) -> list[list[dict[str, Any]]]:
    """What is told up to each share of the search, as if now, one piece after the other."""
    run = until_now(run)
    ends = [len(stage_moment(run, "search", share)) for share in shares]
    return [run[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


LINKED = """() => [...new Set([...Bokeh.documents[0].roots()].flatMap(root => [...root.references()]))]
  .filter(one => one.type === 'ColumnDataSource' && one.columns().includes('trial') && one.get_length() > 0)
  .map(one => [[...one.selected.indices].sort((a, b) => a - b), [...one.get('trial')].map((id, row) => [id, row])
    .filter(([id]) => daskflow.marks.has(id)).map(([, row]) => row)])"""
"""Of every figure's source: the rows that are marked, and those of trials that are."""


def test_a_search_is_watched_marked_and_asked(visitor: Visitor) -> None:
    # given a run in the midst of its search, whose names try to break the page
    first, more = parted(told_run(hostile=True), 0.5, 0.8)
    source = Told(first)
    with Server(source, act=source.act) as server:
        page = visitor.open(server, "daskflow-search")
        page.wait_for_function(f"() => ({COUNT})() > 20")
        before = page.evaluate(COUNT)
        # when the run goes on, then points are added
        source.tell(*more)
        page.wait_for_function(f"() => ({COUNT})() > {before}")

        # when dots are marked by a box, then the same trials are marked in every figure and in the table
        place = page.locator("#panel-search_scores .place")
        place.scroll_into_view_if_needed()
        place.hover()
        figure = "Bokeh.documents[0].roots().find(one => one.name === 'search_scores')"
        page.wait_for_function(f"() => {figure}.toolbar.gestures.pan.active !== null")

        def drag() -> None:
            box = place.bounding_box()
            page.mouse.move(box["x"] + 0.15 * box["width"], box["y"] + 60)
            page.mouse.down()
            page.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
            page.mouse.up()

        until(page, drag, "() => daskflow.marks.size() > 5")
        # figures out of sight come after those in sight
        page.wait_for_function(f"() => ({LINKED})().every(([has, of]) => has.join() === of.join())")
        linked = page.evaluate(LINKED)
        assert sum(len(has) > 0 for has, _ in linked) >= 3
        page.wait_for_function(
            "() => document.querySelector('.marked-line').innerText.includes(`${daskflow.marks.size()} trials marked`)"
        )
        page.locator("#panel-search_trials .rows").scroll_into_view_if_needed()
        page.wait_for_selector("#panel-search_trials tr.chosen")
        page.keyboard.press("Escape")
        page.wait_for_selector(".marked-line", state="hidden")
        comes(page, "() => document.querySelectorAll('tr.chosen').length", 0)
        # and back: a row that is ticked is marked in the figures
        page.locator("#panel-search_trials tbody input").first.check()
        page.wait_for_function(f"() => {MODEL}('search_scores_data').selected.indices.length > 0")

        # when a head of the table is chosen, then rows stand in its order
        cells = "#panel-search_trials tbody tr[data-trial] td:nth-child(5)"
        page.click("#panel-search_trials th:nth-child(5) button")
        page.wait_for_selector("#panel-search_trials th:nth-child(5)[aria-sort=descending]")
        scores = [float(text) for text in page.locator(cells).all_inner_texts() if text != "–"]
        assert scores == sorted(scores, reverse=True)
        page.click("#panel-search_trials th:nth-child(5) button")
        page.wait_for_selector("#panel-search_trials th:nth-child(5)[aria-sort=ascending]")
        scores = [float(text) for text in page.locator(cells).all_inner_texts() if text != "–"]
        assert scores == sorted(scores)
        assert len(scores) > 5

        # when a trial is opened by its address, then what is known of it stands there as text
        page.evaluate("() => { location.hash = 'trial=2-5' }")
        page.wait_for_selector("#trial pre")
        assert "ValueError: not converged<img src=x onerror=alert(1)>" in page.inner_text("#trial pre")
        assert page.locator("#trial img, main img").count() == 0
        page.keyboard.press("Escape")
        page.wait_for_selector("#trial", state="hidden")
        page.wait_for_function("() => !location.hash.includes('trial')")  # the address follows a moment later

        # when it is asked to pause, and then to stop, then it does, the latter after a second question
        page.click(".acts [value=pause]")
        page.wait_for_function("() => document.querySelector('.status').textContent === 'paused'")
        # the answer to the question and the news of the run come each on their own
        comes(page, "() => document.querySelector('.answer-line p').textContent", "pause was asked for.")
        comes(page, "() => document.querySelector('.acts [value=pause]').textContent", "Go on")
        page.click(".acts [value=stop]")
        page.wait_for_selector("#confirm[open]")
        assert "the best so far is kept" in page.inner_text("#confirm")
        page.click("#confirm button[value=no]")
        page.wait_for_selector("#confirm", state="hidden")
        page.click(".acts [value=stop]")
        page.wait_for_selector("#confirm[open]")
        page.click("#confirm button[value=yes]")
        page.wait_for_function("() => document.querySelector('.status').textContent === 'stopping'")
        page.wait_for_selector(".acts [value=stop]:disabled")

        # when other colours are chosen, then figures have them, and the browser remembers
        page.click(".theme")
        comes(page, COLOURS, ["#9ea7b3"])
        page.reload()
        page.wait_for_function(DRAWN)
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        comes(page, COLOURS, ["#9ea7b3"])


WRITTEN_DOWN = """() => {
  window.lost = []
  const line = document.querySelector('.connection-line')
  new MutationObserver(() => {
    if (!line.hidden) window.lost.push([line.innerText, document.querySelector('.truth').textContent])
  }).observe(line, {attributes: true, childList: true, characterData: true, subtree: true})
}"""
"""What the page says, and what stands there, whenever the connection is lost."""


def test_a_page_outlives_its_server_and_sees_the_run_end(visitor: Visitor) -> None:
    run = told_run()
    first, more = parted(run, 0.3, 0.6)
    source = Told(first)
    with Server(source, act=source.act, port=open_port()) as server:
        page = visitor.open(server, "daskflow")
        page.wait_for_function("() => document.querySelector('.truth').textContent.startsWith('search')")
        page.evaluate(WRITTEN_DOWN)
        port, token = int(re.search(r":(\d+)/", server.address)[1]), server.token  # type: ignore[index]
    # when the server goes away, then it is said quietly, and what was there stays
    page.wait_for_function("() => window.lost.length > 0")
    said, before = page.evaluate("() => window.lost[0]")
    assert said == "Connection lost, trying again."
    assert before.startswith("search")
    assert page.inner_text(".truth") == before
    # when another process serves the run, then the page goes on by itself
    source = Told([*first, *more])
    with Server(source, act=source.act, port=port, token=token):
        page.wait_for_selector(".connection-line", state="hidden")
        page.wait_for_function("(before) => document.querySelector('.truth').textContent !== before", arg=before)
        # when the run ends, then it says so, and asks no more
        source.tell(*until_now(run)[len(first) + len(more) :])
        page.wait_for_selector(".over-line:not([hidden])")
        comes(page, "() => document.querySelector('.status').textContent", "done")
        page.wait_for_selector(".acts [value=pause]:disabled")
        assert page.get_attribute(".acts [value=pause]", "title") == "The run is over: there is nothing to change."
        page.wait_for_timeout(500)
        asked = len(visitor.requests)
        page.wait_for_timeout(1500)
        assert len(visitor.requests) == asked


def test_every_page_fits_a_phone(chromium: Any) -> None:
    source = Told(until_now(told_run(hostile=True, stream=30)))
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    visitor = Visitor(context)
    with Server(source) as server:
        page = visitor.open(server, "daskflow")
        for path in page.eval_on_selector_all("a[data-page]", "links => links.map(one => one.dataset.page)"):
            page = visitor.open(server, path)
            page.wait_for_function("() => Number(document.documentElement.dataset.told) > 0")
            comes(page, "() => document.documentElement.scrollWidth", 390)
            comes(page, f"() => ({COLOURS})().filter((colour) => colour !== '#9ea7b3')", [])
            wide = """() => [...document.querySelectorAll('main .panel > *')].filter(one =>
              one.getBoundingClientRect().right > 391).map(one => one.parentElement.id)"""
            comes(page, wide, [])
    context.close()
    assert visitor.errors == []


def test_ten_thousand_trials_are_marked_and_sorted_without_waiting(visitor: Visitor) -> None:
    source = Told(until_now(stage_moment(told_run(base=5800, partitions=4), "search", 0.9)))
    with Server(source) as server:
        page = visitor.open(server, "daskflow-search")
        page.wait_for_function(f"() => ({COUNT})() > 500")
        page.wait_for_function("() => document.querySelectorAll('#panel-search_trials tr[data-trial]').length > 10")
        processor, seconds = Processor(page), {}
        for name, action in MANY.items():
            begun = processor.seconds()
            page.evaluate(SHOWN, action)
            seconds[name] = processor.seconds() - begun
        # Measured 17 to 35 ms; this only sees that it has not become another thing.
        assert 0 < max(seconds.values()) < 0.4, seconds
        assert page.evaluate("() => window.sizes") == [page.evaluate("() => window.ids.length"), 0]


MANY = {
    "marked": """window.ids = [...document.querySelectorAll('#panel-search_trials tr[data-trial]')]
      .map((row) => row.dataset.trial); daskflow.marks.set(window.ids); window.sizes = [daskflow.marks.size()]""",
    "cleared": "daskflow.marks.clear(); window.sizes.push(daskflow.marks.size())",
    "sorted": "document.querySelector('#panel-search_trials th:nth-child(5) button').click()",
}
SHOWN = """(action) => {
  (0, eval)(action)
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
}"""
"""Do something, and wait until it has been painted."""
