"""A real browser in tests: its gestures are repeated until they took, what it shows is waited for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

from tests.conftest import lacking

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]

PATIENCE_MS = 60_000
"""How long something may take on a machine that is busy with other things."""

GESTURE_MS = 3_000
"""After so long a gesture has had its effect or was none."""


def chromium_path() -> str:
    """Return where the system's Chromium is; without one the test is skipped, under CI it fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        lacking("Chromium")
    return str(found)


def launch_options() -> dict[str, Any]:
    """Return the options of Playwright's two ways to launch a browser."""
    return {"executable_path": chromium_path(), "args": FLAGS, "headless": True, "timeout": 2 * PATIENCE_MS}


def comes(page: Any, expression: str, expected: Any) -> None:
    """Wait until an expression (a function without arguments) has a value; else say which it has.

    Events of a page are followed by what they change, sometimes a frame or an answer later.
    """
    from playwright.sync_api import TimeoutError

    try:
        page.wait_for_function(
            f"(expected) => JSON.stringify(({expression})()) === JSON.stringify(expected)",
            arg=expected,
            timeout=PATIENCE_MS,
        )
    except TimeoutError:
        assert page.evaluate(expression) == expected


def until(page: Any, gesture: Callable[[], Any], condition: str) -> None:
    """Repeat a gesture of the mouse until a condition holds.

    Bokeh takes a button that is down for 300 ms before the mouse moves, or goes up, for a long press, and two taps that
    are further apart for two taps; tools of a figure are there some time after the pointer came. Somebody who sees that
    nothing happened does it again.
    """
    from playwright.sync_api import TimeoutError

    end = time.monotonic() + PATIENCE_MS / 1000
    while True:
        gesture()
        try:
            page.wait_for_function(condition, timeout=GESTURE_MS)
        except TimeoutError:
            if time.monotonic() > end:
                raise
        else:
            return


class Processor:
    """Time of the processor that a page's own thread took: scripts, styles, layout and painting."""

    def __init__(self, page: Any) -> None:
        """Begin to count."""
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds(self) -> float:
        """Return the time so far, in seconds; what else the machine does is not in it."""
        found = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))
