"""The report tells the record's numbers, in one file that loads nothing, whatever the names in it."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daskflow.cli import main
from daskflow.cli.running import outcome
from daskflow.cli.verb import number
from daskflow.core.errors import StorageError
from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation, Point, RunRecord, SearchResult, Trial, TrialState
from daskflow.figures.look import document_of
from daskflow.reports import answering, tables, words
from daskflow.reports.page import parts, render, write
from daskflow.search.uncertainty import with_intervals
from daskflow.workflow import Workflow
from tests.report_records import (
    HOSTILE,
    full_record,
    hostile_full,
    hostile_record,
    multiclass_full,
    record_of,
    regression_full,
    search_of,
)


class Page(HTMLParser):
    """What a browser would make of the page: elements with attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(record_of()))


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the megabyte that is the same on every page."""
    monkeypatch.setattr("daskflow.reports.page.library", str)


def test_the_answer_stands_in_three_sentences_with_numbers(page: Page) -> None:
    assert (
        "sgd learned to predict whether 'late' is 'yes' (24.3 % of the rows) from 2 columns of 6,170 rows in 3 files."
        in page.text
    )
    assert (
        "The best of 5 scored candidates (trial 3) reaches roc_auc 0.7312 (95 % interval 0.7123 to 0.7501) on 1,234 "
        "test rows that had no part in any choice; validation had said roc_auc 0.7244 (mean of 2 folds), which is "
        "within the test's interval." in page.text
    )
    assert "Of the classes 'yes' is recognised least: 100 of its 300 test rows (33.3 %)." in page.text
    assert "Beware: 1 candidate failed, and 2 more warnings." in page.text


@pytest.mark.parametrize(
    "said",
    [
        "617 (10.0 %)",
        "31 to 2,724; mean 1,234.5 ± 321",
        "AS 50.0 %, WN 10.0 %",
        "3 features after preprocessing",
        "20.00 %",
        "20.03 %",
        "0.7312 0.7123 to 0.7501 0.7244",
        "0.4567 0.4444 to 0.4688 0.4321",
        "always answering 'no' would be right for 75.7 % of the test rows",
        "ValueError: alpha must be > 0",
        "1 min 15 s in all, 2 min 10 s of processor time, 412 MiB in the largest process",
        "36 s 75.0 %",
        "daskflow run workflow.toml",
        "(seed 7)",
        "fedcba9876543210",
        "scikit-learn 1.9.1",
        "Column 'x' was left out.",
        "f1 is not defined: a note.",
        "1,000 of 1,234 test rows stand on the diagonal (81.0 %)",
    ],
)
def test_numbers_on_the_page_are_the_records(page: Page, said: str) -> None:
    assert said in page.text


def test_the_leaderboard_ranks_as_the_search_does(page: Page) -> None:
    text = page.text
    board = text[text.index("Leaderboard") : text.index("Failed candidates")]
    assert re.findall(r"\b[1-6] (\d) (?:0\.\d{4}|-) ", board) == ["3", "4", "2", "1", "0", "5"]
    assert "fixed" not in board


def marked_record() -> RunRecord:
    """Of four scored candidates one is as good as the best."""
    folds = [(0.80, 0.81, 0.79, 0.80, 0.82), (0.79, 0.82, 0.80, 0.79, 0.81), (0.7, 0.71, 0.7, 0.69, 0.72), (0.5,) * 5]
    trials = [
        Trial(str(n), {"alpha": n}, TrialState.FINISHED, sum(s) / 5, 1, (Point(1, sum(s) / 5, s),))
        for n, s in enumerate(folds)
    ]
    search = SearchResult(tuple(trials), trials[0], "roc_auc", True, 5, validation_ratio=0.25)
    return record_of(search=with_intervals(search))


@pytest.mark.usefixtures("without_library")
def test_the_leaderboard_has_intervals_and_marks_what_is_as_good_as_the_best() -> None:
    # given
    record = marked_record()
    # when
    board = tables.leaderboard(record)
    text = Page(render(record)).text
    # then
    assert board is not None
    assert board.head[:5] == ("rank", "trial", "roc_auc", "95 % interval", "like the best")
    assert [row[4] for row in board.rows] == ["≈", "≈", "", ""]
    assert board.rows[0][3] == "0.7828 to 0.8252"
    # and one sentence says how many there are and what it means
    assert (
        "1 other candidate of 3 cannot be told apart from the best by the 5 folds (≈): "
        "with 95 % confidence, the one that is best in truth is the best or among them." in text
    )
    assert "the line its 95 % interval" in text


def test_where_nothing_is_as_good_or_nothing_is_known_the_sentence_says_so() -> None:
    # given
    marked = marked_record().search
    assert marked is not None
    # then
    alone = replace(marked, trials=(marked.trials[0], *marked.trials[2:]))
    assert words.likeness(alone) == (
        "Every other candidate is worse than the best, by the 5 folds, by more than chance explains."
    )
    unknown = replace(marked, trials=tuple(replace(trial, is_tied=None) for trial in marked.trials))
    assert "cannot be said: there are too few folds or validation rows" in words.likeness(unknown)
    assert words.likeness(replace(marked, trials=marked.trials[:1])) == ""


def test_the_summary_of_a_run_says_the_interval_and_how_many_are_as_good(tmp_path: Path) -> None:
    # given a finished run of three folds
    made = Workflow(
        name="marked",
        data={"kind": "generated", "rows": 2_000},
        model="sgd",
        search={"kind": "random", "trials": 4},
        split={"folds": 3},
        cluster="inline",
        base=tmp_path,
    )
    run = made.run(tmp_path / "runs")
    # when
    lines = outcome(run).splitlines()
    listed = CliRunner().invoke(main, ["runs", str(tmp_path / "runs")]).output
    # then
    best = next(line for line in lines if line.startswith("  best "))
    assert best.endswith(f"  [{number(run.best.low)}, {number(run.best.high)}]")
    assert any("told apart from the best" in line or "worse than the best" in line for line in lines)
    assert f"[{number(run.best.low)}, {number(run.best.high)}]" in listed
    board = run.leaderboard()
    assert list(board.columns[:6]) == ["rank", "trial", "score", "low", "high", "tied"]
    assert board["tied"][0]
    assert (board["low"] <= board["score"]).all()


@pytest.mark.usefixtures("without_library")
def test_only_the_best_fifty_candidates_are_listed() -> None:
    found = Page(render(record_of(search=search_of(70)))).text
    assert "The best 50 of 70 candidates; trials.csv beside this page has all." in found


def test_the_page_loads_nothing_and_forbids_loading(page: Page) -> None:
    loading = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping"}
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not loading & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "@import" not in (css := render(record_of()).split("<style>")[1].split("</style>")[0])
    assert "url(" not in css


def test_the_page_is_small_enough_to_send(tmp_path: Path) -> None:
    write(record_of(search=search_of(2000)), tmp_path / "report.html")
    assert 1_000_000 < (tmp_path / "report.html").stat().st_size < 4_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize(
    ("record", "plain"), [(hostile_record(), record_of()), (hostile_full(), full_record())], ids=["few", "all"]
)
def test_hostile_names_are_text_and_nothing_else(record: RunRecord, plain: RunRecord) -> None:
    text = render(record)
    found, harmless = Page(text), Page(render(plain))
    assert HOSTILE not in text
    assert html.escape("<script>window.owned") in text
    assert found.count("script") == harmless.count("script")
    assert found.count("img") == 0
    assert " ".join(HOSTILE.split()) in found.text
    assert "\u202e" not in found.text
    assert not [value for _, named in found.elements for value in named.values() if "\u202e" in (value or "")]


@pytest.mark.usefixtures("without_library")
def test_hostile_names_form_no_formula_for_which_bokeh_would_load_a_library() -> None:
    for record in (hostile_record(), hostile_full()):
        data = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', render(record))
        assert len(data) == 1
        assert not re.search("[\u202a-\u202e]", json.dumps(json.loads(data[0]), ensure_ascii=False))
        labels = list(labels_of(json.loads(data[0])))
        assert len(labels) > 50
        for label in labels:
            assert "$$" not in label
            assert r"\(" not in label
            assert r"\[" not in label


def labels_of(model: Any) -> Iterator[str]:
    """Every text of a document but the columns of its sources, which bokeh never takes for formulas."""
    if isinstance(model, str):
        yield model
    elif isinstance(model, dict) and model.get("name") != "ColumnDataSource":
        for value in model.values():
            yield from labels_of(value)
    elif isinstance(model, list):
        for value in model:
            yield from labels_of(value)


def test_credentials_in_addresses_do_not_reach_the_page() -> None:
    text = render(record_of(warnings=("https://me:geheim@host/x failed",)))
    for secret in ("geheim", "abc123"):
        assert secret not in text
    assert "https://***@host/f.csv?***" in text


def test_figures_have_words_for_those_who_do_not_see_them(page: Page) -> None:
    labels = [attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "img"]
    assert len(labels) == page.count("figure") >= 10
    assert "ROC: ROC curve; the dashed line is guessing." not in labels
    assert "ROC: ROC curve, area 0.7312; the dashed line is guessing." in labels


@pytest.mark.slow
@pytest.mark.usefixtures("without_library")
def test_no_figure_is_drawn_with_a_mistake(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="bokeh"):
        for record in (record_of(), hostile_full(), regression_record(), regression_full(), multiclass_full()):
            document_of(figure for part in parts(record) for figure in part.figures().values()).validate()
    assert caplog.text == ""


def regression_record() -> RunRecord:
    evaluation = Evaluation(
        {"rmse": Score(2381.6, 2248.7, 2559.5), "r2": Score(0.9432, 0.93, 0.95)},
        3,
        {
            "residuals": {"y_true": [1.0, 2.0, 3_000.0], "y_pred": [1.5, 2.0, 2_500.0]},
            "residual_histogram": {"edges": [-500.0, 0.0, 500.0], "counts": [1, 2]},
        },
    )
    search = search_of(metric="rmse", greater_is_better=False)
    return record_of(task="regression", classes=(), class_counts=(), evaluation=evaluation, search=search)


@pytest.mark.usefixtures("without_library")
def test_a_regression_shows_residuals_and_no_classes() -> None:
    page = Page(render(regression_record()))
    assert "sgd learned to predict the number 'late'" in page.text
    assert "2,381.6 2,248.7 to 2,559.5" in page.text
    assert "Residuals" in page.text
    assert "Confusion" not in page.text
    assert "better than the test's interval" in page.text


@pytest.mark.usefixtures("without_library")
def test_many_classes_are_shown_with_their_own_metrics() -> None:
    classes = [f"class {number}" for number in range(23)]
    counts = [[50 if row == column else row % 3 for column in range(23)] for row in range(23)]
    details = {
        "confusion": {"classes": classes, "counts": counts},
        "per_class": [{"class": name, "support": 1_050, "precision": 0.5, "recall": None} for name in classes],
    }
    record = record_of(
        task="multiclass",
        classes=tuple(classes),
        class_counts=(280_790, *range(1, 23)),
        evaluation=Evaluation({"accuracy": Score(0.9, 0.8, 0.95)}, 99, details),
    )
    page = Page(render(record))
    assert "'late', one of 23 classes, from" in page.text
    assert "class 22 1,050 0.5000 -" in page.text
    assert "the rarest has 1 row, the most frequent 280,790" in page.text


EMPTY: dict[str, Any] = {
    "data": {}, "split": {}, "task": "", "classes": (), "class_counts": (), "feature_names": (), "search": None,
    "evaluation": None, "versions": {}, "stages": (), "warnings": (), "seconds": 0.0, "cpu_seconds": 0.0,
    "peak_memory_bytes": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({**EMPTY, "status": "running"}, "The run has not read its data yet; it is running."),
        ({**EMPTY, "status": "failed", "workflow": {}, "warnings": ("The run failed: no.",)}, "The run failed: no."),
        ({"status": "running", "search": None, "evaluation": None}, "No candidate has been scored yet."),
        ({"status": "interrupted", "evaluation": None}, "it has not been tested"),
        ({"status": "interrupted", "evaluation": None}, "the same command continues it"),
        ({"search": None}, "0.7312"),
        ({"split": {}}, "Leaderboard"),
        ({"data": {"rows": 0, "columns": []}, "classes": ("a",), "class_counts": (0,)}, "Reproduction"),
        ({"evaluation": Evaluation({}, 0, {})}, "0 rows, scored once"),
        ({"evaluation": Evaluation({"roc_auc": Score(float("nan"))}, 5, {"notes": ["why"]})}, "why"),
        ({"task": "multiclass", "classes": ("only",), "class_counts": (6_170,)}, "one of 1 class"),
    ],
)
@pytest.mark.usefixtures("without_library")
def test_an_unfinished_or_partial_run_has_a_page_too(changed: dict[str, Any], said: str) -> None:
    page = Page(render(record_of(**changed)))
    assert said in page.text
    assert "None" not in page.text


@pytest.mark.usefixtures("without_library")
def test_a_run_in_which_every_candidate_failed_or_waits_has_a_page() -> None:
    failed = search_of().trials[-1]
    search = SearchResult((failed, replace(failed, id="9")), failed, "roc_auc", True, 2)
    page = Page(render(record_of(search=search, evaluation=None, status="failed")))
    assert "ValueError: alpha must be > 0" in page.text
    assert "nan" not in page.text


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write(record_of(), tmp_path / "no" / "report.html")


@pytest.mark.parametrize(
    ("validated", "greater_is_better", "said"),
    [
        (0.72, True, "within"),
        (0.80, True, "better than the test's interval"),
        (0.60, True, "worse than the test's interval"),
        (0.80, False, "worse than the test's interval"),
        (0.60, False, "better than the test's interval"),
    ],
)
def test_validation_and_test_are_compared_in_the_metrics_direction(
    validated: float, greater_is_better: bool, said: str
) -> None:
    search = search_of()
    best = replace(search.best, score=validated)
    record = record_of(search=replace(search, best=best, greater_is_better=greater_is_better))
    assert said in answering.answer(record)[0][1]
