"""The report of a run of 1,000 trials: its size, how long it takes to write, and until Chromium has drawn all figures.

    python tests/bench/report_page.py [--trials 1000] [--repeats 5]

Every time is one of a browser with an empty profile, from asking for the file to the last figure being drawn, without
a network. With the times stand those of an almost empty page, which is what starting to look at anything costs, and the
load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from daskflow.reports.page import write
from tests.browsing import FLAGS
from tests.report_records import full_record, multiclass_full, regression_full
from tests.test_reports_browser import DRAWN


def drawn_in(path: Path, chromium: str) -> tuple[float, float, int]:
    """Return the seconds until all figures are drawn, the processor seconds of the page, and the number of figures."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=FLAGS, headless=True, offline=True,
            viewport={"width": 1440, "height": 1000},
        )  # fmt: skip
        page = context.new_page()
        page.set_default_timeout(120_000)
        session = context.new_cdp_session(page)
        session.send("Performance.enable")
        start = time.perf_counter()
        page.goto(path.as_uri(), wait_until="commit")
        page.wait_for_function(DRAWN if path.stat().st_size > 10_000 else "() => document.readyState === 'complete'")
        seconds = time.perf_counter() - start
        found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        n_figures = page.locator("figure").count()
        context.close()
    return seconds, float(found.get("ProcessTime", 0.0)), n_figures


def main() -> None:
    """Write the pages, look at them in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine.")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.html"
        empty.write_text("<!DOCTYPE html><title>empty</title><p>nothing")
        pages = {"an empty page": empty}
        written: dict[str, float] = {}
        records: dict[str, Any] = {
            f"binary, {asked.trials} trials": full_record(asked.trials),
            "23 classes, 60 trials": multiclass_full(),
            "regression, 60 trials": regression_full(),
        }
        for name, record in records.items():
            pages[name] = Path(folder) / f"{len(pages)}.html"
            start = time.process_time()
            write(record, pages[name])
            written[name] = time.process_time() - start
        runs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in pages}
        before = os.getloadavg()
        for _ in range(asked.repeats):
            for name, path in pages.items():
                runs[name].append(drawn_in(path, chromium))
        result = {
            name: {
                "bytes": pages[name].stat().st_size,
                "figures": found[0][2],
                "seconds to write (processor)": round(written.get(name, 0.0), 2),
                "seconds to draw": round(median(one[0] for one in found), 2),
                "all": [round(one[0], 2) for one in found],
                "processor seconds of the page": round(median(one[1] for one in found), 2),
            }
            for name, found in runs.items()
        }
    print(json.dumps({"load": [before, os.getloadavg()], "cores": os.cpu_count(), "pages": result}, indent=2))


if __name__ == "__main__":
    main()
