"""Every code block of the README and the docs runs, in order, in an empty folder.

A ``python`` block runs in its page's namespace; a ``toml`` block is saved under the name its first comment gives
(``# workflow.toml``); an ``sh`` block runs in bash with this environment's commands. A block that needs what a
reader must bring is fenced without a language.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page.name != "reference.md"]
BLOCK = re.compile(r"^```(python|toml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The page's blocks with their language."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def prepare(folder: Path) -> None:
    """The files that the pages' commands name: used cars, cut in two, rows without a price, and cars that were sold."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    n = 600
    table = pd.DataFrame(
        {
            "make": rng.choice(["audi", "ford", "skoda"], n),
            "year": rng.integers(2005, 2021, n),
            "mileage": rng.integers(0, 120_000, n),
            "engine": rng.choice([1.0, 1.2, 1.6, 2.0], n),
        }
    )
    table["price"] = 900 * (table["year"] - 2000) - 0.05 * table["mileage"] + 3000 * table["engine"]
    (folder / "cars").mkdir()
    (folder / "new").mkdir()
    (folder / "sold").mkdir()
    table.iloc[:300].to_csv(folder / "cars" / "2019.csv", index=False)
    table.iloc[300:].to_csv(folder / "cars" / "2020.csv", index=False)
    table.drop(columns="price").head(50).to_csv(folder / "new" / "2021.csv", index=False)
    table.tail(50).to_csv(folder / "sold" / "2021.csv", index=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an empty folder with the page's files, and a store of its own
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(tmp_path / "store"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    program: list[str] = []
    # when each block runs in order
    for language, text in blocks(page):
        if language == "toml":
            name = re.match(r"# (\S+\.toml)", text)
            assert name, f"the first line of a toml block names its file: {text[:60]!r}"
            (tmp_path / name[1]).write_text(text)
        elif language == "python":
            program.append(text)
            (tmp_path / "page.py").write_text("\n".join(program))
        else:
            done = subprocess.run(["bash", "-euc", text], env=environment, capture_output=True, text=True)
            # then it succeeds
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    if program:
        done = subprocess.run([sys.executable, "page.py"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_pages_link_to_pages_that_exist() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} -> {link}"


def test_the_readme_begins_with_its_two_commands() -> None:
    commands = [
        line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    python3")
    ]
    assert commands[0].endswith("daskflow demo")
    assert commands[1].endswith("pytest")
