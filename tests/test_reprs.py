"""What objects show of themselves in a notebook is small, escaped, without scripts, and computes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

import daskflow as flow
from daskflow.core.notebook import MAX_ROWS, block
from daskflow.search.adaptive_search import ASHASearchCV
from daskflow.search.grid_search import GridSearchCV, RandomizedSearchCV
from daskflow.search.incremental_search import HyperbandSearchCV, IncrementalSearchCV
from daskflow.search.tpe_search import TPESearchCV
from tests.report_records import HOSTILE
from tests.run_folders import make_run, row_hashes, scores, truth

TURNING = "rev\u202eersed"


class Reader(HTMLParser):
    """The elements, their attributes and the text of a piece of HTML; knows which were left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(shown: Any) -> Reader:
    """What an object shows, after a look at what no notebook should be given."""
    html = shown if isinstance(shown, str) else shown._repr_html_()
    reader = Reader(html)
    assert set(reader.elements) <= {"div", "p", "span", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert reader.attributes <= {"style", "scope", "title"}
    assert reader.open == []
    assert len(html) < 20_000
    assert "\u202e" not in html
    for style in re.findall(r'style="([^"]*)"', html):
        colours = re.findall(r"(?:^|;)(?:color|background)[^;]*", style)
        assert all(word.lstrip(";") in ("background:none", "color:inherit") for word in colours), style
    return reader


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({HOSTILE: rng.normal(size=60), TURNING: rng.choice(["a", HOSTILE], 60)})
    table["y"] = (table[HOSTILE] > 0).astype(int)
    return table


def test_a_table_shows_its_columns_and_reads_nothing(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "rows.parquet")
    table = flow.read(str(tmp_path / "rows.parquet"), target="y")
    (tmp_path / "rows.parquet").unlink()
    text = read(table).text
    assert "columnrolekindtypeytargetnumericint64" in text
    assert text.index("ytarget") < text.index("script")
    assert "rev\N{REPLACEMENT CHARACTER}ersed" in text


def test_runs_and_comparisons_show_scores(tmp_path: Path) -> None:
    rows = row_hashes(300)
    space = {"search": {"kind": "random", "metric": "roc_auc", "trials": 3, "space": {HOSTILE: [1]}}}
    make_run(tmp_path, "a", rows=rows, probability=scores(truth(rows), 3.0, 1), target=HOSTILE)
    make_run(tmp_path, "b", rows=rows, probability=scores(truth(rows), 2.0, 2), target=HOSTILE, settings=space)
    run = flow.open_run(tmp_path / "a")
    text = read(run).text
    assert f"{run.metrics['roc_auc'].value:.4g}" in text
    assert HOSTILE in text
    found = flow.compare(tmp_path / "a", tmp_path / "b")
    assert str(found.against[0].differences["roc_auc"]) in read(found).text


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_that_came_nowhere_shows_what_it_has(tmp_path: Path, status: str) -> None:
    text = read(flow.open_run(make_run(tmp_path, "a", status=status).parent)).text
    assert status in text
    assert "trial 2" in text


def test_a_plan_shows_its_page() -> None:
    workflow = flow.Workflow(data=flow.sources.Generated(rows=1000), model="sgd", search="none", cluster="inline")
    plan = workflow.plan()
    text = read(plan).text
    assert plan.split in text
    assert "matrices" in text


@pytest.mark.parametrize("fitted", [False, True], ids=["before fit", "after fit"])
def test_a_preprocessor_shows_its_features_and_also_within_a_pipeline(frame: pd.DataFrame, fitted: bool) -> None:
    preprocessor = flow.Preprocessor(numeric=[{"kind": "impute"}, HOSTILE])
    if fitted:
        preprocessor = flow.Preprocessor().fit(frame[[HOSTILE, TURNING]])
    text = read(preprocessor).text
    assert HOSTILE[:20] in text
    assert ("not fitted" in text) is not fitted
    assert preprocessor._repr_mimebundle_()["text/html"] == preprocessor._repr_html_()
    assert "Preprocessor" in make_pipeline(preprocessor, SGDClassifier())._repr_html_()


SPACE = {"alpha": [1e-4, 1e-3, 1e-2], "penalty": ["l2", "l1"]}
SEARCHES: list[Callable[[], Any]] = [
    lambda: GridSearchCV(SGDClassifier(random_state=0), SPACE, cv=2),
    lambda: RandomizedSearchCV(SGDClassifier(random_state=0), SPACE, n_iter=3, cv=2, random_state=0),
    lambda: GridSearchCV(SGDClassifier(random_state=0), SPACE, cv=2, scoring=["accuracy", "f1"], refit="f1"),
    lambda: TPESearchCV(SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-3]}, n_iter=3, cv=2, random_state=0),
    lambda: IncrementalSearchCV(SGDClassifier(random_state=0), SPACE, n_initial_parameters=3, random_state=0),
    lambda: HyperbandSearchCV(SGDClassifier(random_state=0), SPACE, max_iter=3, random_state=0),
    lambda: ASHASearchCV(SGDClassifier(random_state=0), SPACE, n_initial_parameters=4, max_iter=3, random_state=0),
]


@pytest.mark.parametrize("make", SEARCHES, ids=lambda make: type(make()).__name__)
def test_a_search_shows_what_it_will_do_and_then_what_it_found(make: Callable[[], Any]) -> None:
    search = make()
    before = read(search).text
    assert "not fitted" in before
    assert "SGDClassifier" in before
    assert "alpha" in before
    X = np.random.default_rng(0).normal(size=(120, 3))
    words = {"classes": [0, 1]} if hasattr(search, "test_size") else {}
    search.fit(X, (X[:, 0] > 0).astype(int), **words)
    after = read(search).text
    assert f"best score {search.best_score_:.4g}" in after
    assert f"{search.best_params_['alpha']:.4g}" in after


def test_a_search_of_hostile_parameters_is_text() -> None:
    search = GridSearchCV(SGDClassifier(), {HOSTILE: [HOSTILE, TURNING]})
    assert HOSTILE in read(search).text


def test_long_tables_and_texts_are_cut_and_the_rest_is_counted() -> None:
    rows = [[f"{number}" + "x" * 1000] for number in range(500)]
    html = block("Thing", "y" * 5000, pairs={"word": "z" * 9000}, head=["name"], rows=rows)
    assert len(html) < 20_000
    assert f"and {500 - MAX_ROWS} more" in read(html).text
