"""The profile's page tells the profile's numbers, findings first, in one file that loads nothing and runs nothing."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskflow.core.errors import StorageError
from daskflow.data.table_profile import Sample, TableProfile
from daskflow.reports.profile_page import render, write
from tests.profiled import profiled

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [SCRIPT, "</title><img src=x onerror=alert(2)>", "$$x$$", "a & b", "' onmouseover='alert(3)", "\u202etxt.exe"]
N = 600


class Page(HTMLParser):
    """What a browser would make of the page: elements with attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(autouse=True)
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the megabyte that is the same on every page."""
    monkeypatch.setattr("daskflow.reports.profile_page.library", str)


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    x = rng.normal(100, 15, N)
    x[::10] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "leak": y * 2.5,
            "level": rng.choice(["red", "green"], N, p=[0.75, 0.25]),
            "when": pd.date_range("2024-01-01", periods=N, freq="h"),
            "y": y,
        }
    )


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> TableProfile:
    return profiled(frame(), tmp_path_factory.mktemp("blocks"), parts=3, target="y")


def test_findings_stand_before_the_columns_with_their_remedies(profile: TableProfile) -> None:
    text = Page(render(profile)).text
    assert "600 rows of 5 columns, read as 3 partitions." in text
    for finding in profile.findings:
        assert " ".join(finding.sentence.split()) in text
        assert " ".join(finding.remedy.split()) in text
    assert text.index("a suspected leak") < text.index("with findings only")


@pytest.mark.parametrize(
    "said", ["missing 10.0 %", "median ", "from 2024-01-01", "to 2024-01-25 23:00:00", "2 classes"]
)
def test_cards_tell_the_numbers(profile: TableProfile, said: str) -> None:
    assert said in Page(render(profile)).text


def test_every_column_has_a_card_that_findings_link_to(profile: TableProfile) -> None:
    page = Page(render(profile))
    cards = {attrs["data-name"]: attrs["id"] for tag, attrs in page.elements if tag == "article"}
    links = {
        attrs["href"] for tag, attrs in page.elements if tag == "a" and (attrs["href"] or "").startswith("#column-")
    }
    assert list(cards) == ["x", "leak", "level", "when", "y"]
    assert f"#{cards['leak']}" in links
    assert links <= {f"#{key}" for key in cards.values()}


def test_a_histogram_shows_every_bin_that_has_rows(profile: TableProfile) -> None:
    page = Page(render(profile))
    counts = profile["x"].histogram.counts
    days = [count for _, count in profile["when"].times.histogram]
    assert sum(tag == "rect" for tag, _ in page.elements) == sum(c > 0 for c in counts) + sum(d > 0 for d in days)


def test_names_and_values_of_the_data_are_text_and_never_markup(tmp_path: Path) -> None:
    # given hostile names, levels, classes and partitions
    rng = np.random.default_rng(1)
    hostile = pd.DataFrame(
        {
            SCRIPT: rng.choice(HOSTILE, N),
            "</script><script>alert(4)</script>": rng.normal(size=N),
            "y": rng.choice(HOSTILE[:3], N),
        }
    )
    plain = profiled(frame().assign(extra="a"), tmp_path / "plain", target="level")
    found = profiled(hostile, tmp_path / "hostile", parts=2, target="y")
    # when
    text = render(found)
    page = Page(text)
    # then
    scripts = [tag for tag, _ in page.elements].count("script")
    assert scripts == [tag for tag, _ in Page(render(plain)).elements].count("script")
    assert not [attrs for _, attrs in page.elements if any(word.startswith("on") for word in attrs)]
    assert "img" not in {tag for tag, _ in page.elements}
    assert SCRIPT not in text
    assert html.escape(SCRIPT) in text
    assert "\u202e" not in page.text
    assert SCRIPT in page.text


def test_the_page_asks_for_nothing_and_names_no_folder(profile: TableProfile, tmp_path: Path) -> None:
    text = render(profile)
    page = Page(text)
    assert not [attrs for _, attrs in page.elements if "src" in attrs or attrs.get("href", "#")[:1] != "#"]
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?://(?!www\.w3\.org)", page.text)
    assert str(tmp_path.parent) not in text


def test_a_sample_is_labelled(profile: TableProfile) -> None:
    text = Page(render(replace(profile, sample=Sample(20, 400, 0.25)))).text
    assert "This is a sample: 20 partitions of 400, and 25 % of their rows." in text
    assert "This is a sample" not in Page(render(profile)).text


def test_three_hundred_columns_stay_one_page_with_a_choice(tmp_path: Path) -> None:
    wide = pd.DataFrame(np.random.default_rng(2).normal(size=(50, 300)), columns=[f"c{i}" for i in range(300)])
    text = render(profiled(wide, tmp_path))
    page = Page(text)
    assert sum(tag == "article" for tag, _ in page.elements) == 300
    assert any(attrs.get("id") == "wanted" for _, attrs in page.elements)
    assert len(text) < 3_000_000


def test_a_table_of_one_row_has_a_page(tmp_path: Path) -> None:
    found = profiled(pd.DataFrame({"x": [1.0], "t": ["a"], "n": [None]}), tmp_path)
    assert "1 row of 3 columns" in Page(render(found)).text


def test_a_page_that_cannot_be_written_is_a_sentence(profile: TableProfile, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write(profile, tmp_path / "missing" / "page.html")
