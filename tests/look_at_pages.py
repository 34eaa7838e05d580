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

LOOKS = {
    "light": ("light", 1280),
    "dark": ("dark", 1280),
    "wide": ("light", 2200),
    "phone": ("light", 390),
    "phone-dark": ("dark", 390),
}
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

    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        raise SystemExit("There is no Chromium on this machine.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS, headless=True)
        yield chromium
        chromium.close()


READY = "() => document.documentElement.dataset.drawn === 'true' && Number(document.documentElement.dataset.told) > 0"
SETTLED_MS = 700
"""Figures are painted in the frames after their data came."""


class Site:
    """Pages of a replay, and how to set its clock."""

    def __init__(self, address: str) -> None:
        """Take the address with its token."""
        parts = urlsplit(address)
        self.address, self.base = address, f"{parts.scheme}://{parts.netloc}/"
        self._token = parts.query.rpartition("token=")[2]

    def stand_at(self, at: float, run_id: str) -> None:
        """Let the replay stand still at a moment."""
        self._post("daskflow-replay", {"run": run_id, "at": at, "paused": True})

    def do(self, command: str) -> None:
        """Ask the run to do something."""
        self._post("daskflow-do", {"command": command})

    def _post(self, page: str, told: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "X-Daskflow": "1", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.base}{page}", json.dumps(told).encode(), headers)
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).read()


def watch_console(page: Any, base: str, said: list[str]) -> None:
    """Note what a page says on its console, what it throws, and what it asks of others."""
    page.on("console", lambda m: said.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(f"thrown: {error}"))
    page.on("request", lambda r: None if r.url.startswith((base, "data:", "blob:")) else said.append(f"asked: {r.url}"))


def shoot(site: Site, run_id: str, records: Sequence[Record], folder: Path, asked: argparse.Namespace) -> list[str]:
    """Take the pictures; return what was said that should not be."""
    complaints = []
    with browser() as chromium:
        contexts = {}
        for look in asked.looks:
            scheme, width = LOOKS[look]
            contexts[look] = chromium.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 900}, device_scale_factor=asked.scale
            )
        for name in asked.moments:
            site.stand_at(moment(records, name), run_id)
            for look, context in contexts.items():
                for page_name in asked.pages:
                    page = context.new_page()
                    said: list[str] = []
                    watch_console(page, site.base, said)
                    page.goto(f"{site.base}{PAGES[page_name]}?{urlsplit(site.address).query}")
                    try:
                        page.wait_for_function(READY, timeout=60_000)
                        page.wait_for_timeout(SETTLED_MS)
                    except Exception as error:
                        said.append(f"never ready: {str(error).splitlines()[0]}")
                    page.screenshot(path=folder / f"{page_name}-{name}-{look}.png", full_page=True)
                    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                    said += [f"{wide} px wider than the window"] if wide > 0 else []
                    complaints += [f"{page_name} {name} {look}: {line}" for line in said]
                    page.close()
    return complaints


SMALL = {"overview": ("middle", 900), "search": ("middle", 1000)}
"""Pictures of the docs: page, moment and height of what is shown."""

MOST_SMALL_BYTES = 60_000


def shoot_small(site: Site, run_id: str, records: Sequence[Record], folder: Path) -> None:
    """Take the pictures of the README and the docs: the top of a page, in few colours."""
    from PIL import Image  # bokeh brings it

    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        for name, (at, height) in SMALL.items():
            site.stand_at(moment(records, at), run_id)
            page.set_viewport_size({"width": 1280, "height": height})
            page.goto(f"{site.base}{PAGES[name]}?{urlsplit(site.address).query}")
            page.wait_for_function(READY, timeout=60_000)
            page.add_style_tag(content=".replay { display: none !important }")
            page.wait_for_timeout(2 * SETTLED_MS)
            path = folder / f"{name}.png"
            page.screenshot(path=path, clip={"x": 0, "y": 0, "width": 1280, "height": height})
            for colours in (128, 64, 32, 16):
                with Image.open(path) as picture:
                    few = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
                few.save(path, optimize=True)
                if path.stat().st_size <= MOST_SMALL_BYTES:
                    break
            print(path, f"{path.stat().st_size:,} bytes, {colours} colours")


def source_of(asked: argparse.Namespace) -> tuple[Told, list[Record]]:
    """Return what is watched, and all its records."""
    if asked.run is None:
        records = told_run(**MADE[asked.made])
        return Told(records, "late-flights", str(records[0]["id"])), records
    from daskflow.core.folder import find_run
    from daskflow.workflow.watching import FolderSource

    found = FolderSource(find_run(asked.run))
    records = found.new()
    return Told(records, found.name, found.id), records


def main() -> None:
    """Take the pictures that the command line asks for."""
    from daskflow.dashboard.serving import Server

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda known: lambda text: [each for each in text.split(",") if each in known]  # noqa: E731
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--run", type=Path, help="a run's folder; default a made-up one")
    parser.add_argument("--made", choices=sorted(MADE), default="usual", help="which made-up run")
    parser.add_argument("--pages", type=listed(PAGES), default=list(PAGES), help=", ".join(PAGES))
    parser.add_argument("--moments", type=listed(MOMENTS), default=list(MOMENTS[1:]), help=", ".join(MOMENTS))
    parser.add_argument("--looks", type=listed(LOOKS), default=list(LOOKS), help=", ".join(LOOKS))
    parser.add_argument("--scale", type=float, default=1.0, help="pixels of the picture per pixel of the page")
    parser.add_argument("--small", action="store_true", help="the pictures of the README and the docs instead")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    source, records = source_of(asked)
    run_id = source.id
    with Server(source, replay_speed=1.0) as server:
        site = Site(server.address)
        if asked.small:
            shoot_small(site, run_id, records, asked.folder)
            return
        complaints = shoot(site, run_id, records, asked.folder, asked)
    print(*complaints, sep="\n")
    raise SystemExit(1 if complaints else 0)


if __name__ == "__main__":
    main()
