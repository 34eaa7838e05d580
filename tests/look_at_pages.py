"""Take pictures of every live page at three moments of a run, light and dark, wide and narrow, to be looked at.

    python tests/look_at_pages.py pictures                         # of a made-up run
    python tests/look_at_pages.py pictures --run runs/late-flights # of one that was run, finished or not
    python tests/look_at_pages.py pictures --made hostile --pages search,data --moments middle
    python tests/look_at_pages.py docs/pictures --small            # the ones in the README and the docs

A run is replayed and stands still at each moment, so pictures are the same whenever they are taken. What a page says on
its console, and what it asks of other hosts, is printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.told_runs import Record, told_run

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--use-gl=swiftshader"]
PAGES = {
    "overview": "daskflow",
    "data": "daskflow-data",
    "search": "daskflow-search",
    "evaluation": "daskflow-evaluation",
    "stream": "daskflow-stream",
    "history": "daskflow-history",
}
MOMENTS = ("empty", "early", "middle", "end")
"""Nothing but the run's name; half of the scan; two thirds of the search; the end."""

LOOKS = {"light": ("light", 1280), "dark": ("dark", 1280), "phone": ("light", 390), "phone-dark": ("dark", 390)}
MADE: dict[str, dict[str, Any]] = {
    "usual": {"base": 81, "partitions": 160, "workers": 8, "stream": 600, "fit_seconds": 1.5},
    "small": {"base": 3, "folds": 1, "partitions": 1, "workers": 1},
    "large": {"base": 5800, "partitions": 2000, "workers": 64, "stream": 3600},
    "hostile": {"hostile": True, "status": "failed"},
    "regression": {"metric": "rmse"},
}


class Told:
    """A source of records that are known from the beginning."""

    is_running = False

    def __init__(self, records: Sequence[Record], name: str, run_id: str) -> None:
        """Take them."""
        self.name, self.id, self._records = name, run_id, list(records)

    def new(self) -> list[Record]:
        """Return all of them, once."""
        found, self._records = self._records, []
        return found


def moment(records: Sequence[Record], name: str) -> float:
    """Return when a moment is, in seconds since 1970."""
    times = [float(each["at"]) for each in records if each.get("at") is not None]
    first, last = min(times), max(times)

    def within(stage: str, share: float) -> float:
        begun = [e["at"] for e in records if e["record"] == "begun" and e["stage"] == stage]
        ended = [e["at"] for e in records if e["record"] == "stage" and e["stage"] == stage]
        if not begun or not ended:
            return first + share * (last - first)
        return float(begun[0] + share * (ended[-1] - begun[0]))

    return {"empty": first, "early": within("scan", 0.5), "middle": within("search", 0.66), "end": last}[name]


@contextmanager
def browser() -> Iterator[Any]:
    """Yield the system's Chromium."""
    from playwright.sync_api import sync_playwright

    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("There is no Chromium on this machine.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS, headless=True)
        yield chromium
        chromium.close()
