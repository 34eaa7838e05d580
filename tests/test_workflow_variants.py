"""The preprocessing is searched like the model: from one pass over the blocks, and never from the files again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import daskflow as flow
from daskflow.core.errors import SettingsError
from daskflow.core.space import Uniform
from daskflow.preprocess.settings import Preprocessing
from daskflow.search.candidates import preprocess_params
from daskflow.workflow.variants import space_problems, variants_of, varied


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose target depends on the logarithm of a very skewed column, and on rare levels."""
    rng = np.random.default_rng(3)
    n = 1200
    frame = pd.DataFrame({"x": np.exp(3 * rng.normal(size=n)), "level": rng.integers(0, 60, n).astype(str)})
    frame["y"] = (np.log(frame["x"]) + rng.normal(scale=0.5, size=n) > 0).astype(int)
    folder = tmp_path_factory.mktemp("in")
    for number, part in enumerate(np.array_split(np.arange(n), 3)):
        frame.iloc[part].to_parquet(folder / f"{number}.parquet")
    return folder


def settings(files: Path, space: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A workflow that searches."""
    return {
        "data": {"kind": "parquet", "path": str(files / "*.parquet"), "target": "y", "task": "binary"},
        "split": {"folds": 2},
        "model": "logistic",
        "search": {"kind": "grid", "space": space, "metric": "roc_auc"},
        "cluster": {"kind": "inline"},
        "cache": {"folder": str(files.parent / "store")},
        **more,
    }


SPACE = {
    "preprocess.numeric": [["impute", "scale"], ["impute", "signed_log", "scale"]],
    "preprocess.categorical.rare.min_frequency": [0.001, 0.02],
    "C": [0.1, 1.0],
}


def test_steps_and_their_options_are_searched_and_the_files_are_read_once(files: Path, tmp_path: Path) -> None:
    # when two chains and two thresholds are searched with two values of the model's
    run = flow.Workflow(**settings(files, SPACE)).run(tmp_path)
    # then each combination is a trial, the files were read once, and the right steps have won
    summary = run.summary()
    assert len(run.search.trials) == 8
    assert summary["partition_reads"] == 3
    best = run.search.best
    assert best.params["preprocess.numeric"] == ["impute", "signed_log", "scale"]
    # and the model that was kept has them: its test score is that of the winner
    assert run.metrics["roc_auc"].value > 0.9
    frame = pd.read_parquet(files / "0.parquet")
    proba = run.model.predict_proba(frame.drop(columns="y"))
    assert ((np.asarray(proba)[:, 1] > 0.5) == (frame["y"] == 1)).mean() > 0.8


def test_a_searched_preprocessing_scores_as_the_same_one_by_itself(files: Path, tmp_path: Path) -> None:
    # given the scores of a search over preprocessings
    searched = flow.Workflow(**settings(files, SPACE)).run(tmp_path / "searched")
    # when one of them is the workflow's own
    chain = ["impute", "signed_log", "scale"]
    own = {"numeric": chain, "categorical": [{"kind": "rare", "min_frequency": 0.02}, "onehot"]}
    alone = flow.Workflow(**settings(files, {"C": [0.1, 1.0]}, preprocess=own)).run(tmp_path / "alone")
    # then its trials have the same scores to the last bit
    wanted = {"preprocess.numeric": chain, "preprocess.categorical.rare.min_frequency": 0.02}
    same = {t.params["C"]: t.score for t in searched.search.trials if preprocess_params(t.params) == wanted}
    assert same == {t.params["C"]: t.score for t in alone.search.trials}


def test_only_what_candidates_have_is_made() -> None:
    preprocess = Preprocessing()
    drawn = [{"C": 1, "preprocess.drop_constant": True}, {"C": 2, "preprocess.drop_constant": True}]
    space = {"preprocess.drop_constant": [True, False], "C": [1, 2]}
    assert [variant.params for variant in variants_of(preprocess, space, drawn)] == [{"preprocess.drop_constant": True}]
    assert len(variants_of(preprocess, space, None)) == 2
    assert variants_of(preprocess, {"C": [1]}, None)[0].preprocess == preprocess


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("preprocess.numerics", [["scale"]], "no such option of the preprocessing; did you mean 'numeric'?"),
        ("preprocess.numeric.scal.method", ["robust"], "there is no step 'scal' in those steps; did you mean 'scale'?"),
        (
            "preprocess.numeric.scale.metod",
            ["robust"],
            "the step 'scale' has no option 'metod'; did you mean",
        ),
        ("preprocess.numeric.scale.method", ["robustt"], "robust"),
        ("preprocess.columns.city.onehot.min", [1], "preprocess.columns has no such selector"),
        ("preprocess.numeric.scale.method", Uniform(0, 1), "is a distribution"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_nearest_word(name: str, values: Any, says: str) -> None:
    problems = space_problems(Preprocessing(), {name: values})
    assert [problem.where for problem in problems] == [f"search.space.{name}"]
    assert says in problems[0].message


def test_too_many_preprocessings_are_refused() -> None:
    space = {"preprocess.categorical.rare.min_frequency": [n / 1000 for n in range(1, 80)]}
    assert "makes 79 preprocessings" in space_problems(Preprocessing(), space)[0].message


def test_options_are_set_in_the_chain_that_is_searched_too() -> None:
    made = varied(
        Preprocessing(),
        {"preprocess.numeric.scale.method": "robust", "preprocess.numeric": ["impute", {"kind": "scale"}]},
    )
    with pytest.raises(SettingsError):
        varied(Preprocessing(), {"preprocess.numeric.scale.method": "robust", "preprocess.numeric": ["impute"]})
    assert made.dump()["numeric"][-1]["method"] == "robust"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("preprocess.categorical.onehot.drop", "first"),
        ("preprocess.categorical.rare.max_levels", 5),
        ("preprocess.boolean", ("impute",)),
        ("preprocess.select", {"method": "variance"}),
    ],
)
def test_options_that_are_none_by_default_are_searched_too(path: str, value: Any) -> None:
    made = varied(Preprocessing(), {path: value})

    assert made != Preprocessing()
    assert space_problems(Preprocessing(), {path: [value]}) == []
