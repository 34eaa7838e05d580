"""Parallel coordinates are brushed in a real browser: axis after axis, by real dragging, while the search goes on."""

from __future__ import annotations

from typing import Any

import pytest

from daskflow.dashboard.serving import Server
from tests.browsing import comes, until
from tests.seen_searches import state_of
from tests.test_pages_browser import COUNT, MODEL, Visitor, chromium, parted, visitor  # noqa: F401
from tests.told_runs import told_run
from tests.told_source import Told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MARKED = f"""() => {{
  const source = {MODEL}('search_parallel_data')
  return [...new Set(source.selected.indices.map((row) => source.get('trial')[row]))].sort()
}}"""
HEIGHTS = f"""(axis) => {{
  const source = {MODEL}('search_parallel_corners_data')
  const [axes, ys, trials] = ['axis', 'y', 'trial'].map((column) => source.get(column))
  return Object.fromEntries([...trials.keys()].filter((row) => axes[row] === axis).map((row) => [trials[row], ys[row]]))
}}"""
ON_SCREEN = f"""([axis, height]) => {{
  const figure = {MODEL}('search_parallel')
  const place = document.querySelector(`[data-root-id="${{figure.id}}"]`).getBoundingClientRect()
  const {{x_scale, y_scale}} = Bokeh.index.get(figure).frame
  return [place.left + x_scale.compute(axis), place.top + y_scale.compute(height)]
}}"""


def brush(page: Any, axis: int, low: float, high: float, marked: set[str]) -> None:
    """Drag a box around a part of an axis, until those trials are marked."""

    def drag() -> None:
        (left, bottom), (right, top) = (
            page.evaluate(ON_SCREEN, [axis + side, at]) for side, at in ((-0.2, low), (0.2, high))
        )
        page.mouse.move(left, bottom)
        page.mouse.down()
        page.mouse.move(right, top, steps=3)
        page.mouse.up()

    until(page, drag, f"() => ({MARKED})().length === {len(marked)}")
    comes(page, MARKED, sorted(marked))


def test_brushing_one_axis_after_the_other_marks_what_goes_through_both(visitor: Visitor) -> None:  # noqa: F811
    # given a search that goes on
    first, more = parted(told_run(), 0.5, 0.7)
    source = Told(first)
    with Server(source, act=source.act) as server:
        page = visitor.open(server, "daskflow-search")
        page.wait_for_function(f"() => ({COUNT})() > 20")
        place = page.locator("#panel-search_parallel .place")
        place.scroll_into_view_if_needed()
        place.hover()
        page.wait_for_function(f"() => {MODEL}('search_parallel').toolbar.gestures.pan.active !== null")
        score = page.evaluate("() => Bokeh.documents[0].get_model_by_name('search_parallel_x_ticks').ticks.length - 1")
        scores, first_axis = page.evaluate(HEIGHTS, score), page.evaluate(HEIGHTS, 0)

        # when the upper half of the scores is brushed, then those trials are marked
        good = {trial for trial, height in scores.items() if height >= 0.5}
        assert len(good) > 3
        brush(page, score, 0.5, 1.04, good)
        page.wait_for_selector(".marked-line:not([hidden])")

        # when a part of another axis is brushed as well, then those that go through both stay
        both = {trial for trial in good if first_axis[trial] <= 0.6}
        assert 0 < len(both) < len(good)
        brush(page, 0, -0.04, 0.6, both)

        # when the run goes on, then they stay marked
        before = page.evaluate(COUNT)
        source.tell(*more)
        page.wait_for_function(f"() => ({COUNT})() > {before}")
        n_scored = len(state_of([*first, *more]).search.ranked())
        page.wait_for_function(f"(n) => Object.keys(({HEIGHTS})(0)).length === n", arg=n_scored)
        comes(page, MARKED, sorted(both))

        # when marks are cleared, then the next brush begins anew
        page.keyboard.press("Escape")
        page.wait_for_selector(".marked-line", state="hidden")
        first_axis = page.evaluate(HEIGHTS, 0)
        brush(page, 0, -0.04, 0.6, {trial for trial, height in first_axis.items() if height <= 0.6})
