"""A workflow reports every mistake at once, with the nearest right word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daskflow.core.errors import SettingsError
from daskflow.workflow import Workflow, toml

GOOD: dict[str, Any] = {
    "data": {"kind": "generated", "rows": 500, "partitions": 2},
    "model": "sgd",
    "search": {"kind": "random", "trials": 2},
    "cluster": "inline",
}


def written(folder: Path, text: str) -> Path:
    """A workflow file."""
    path = folder / "flow.toml"
    path.write_text(text)
    return path


def test_all_mistakes_of_a_file_come_at_once_with_the_nearest_words(tmp_path: Path) -> None:
    # given a file with five mistakes in five tables
    path = written(
        tmp_path,
        """
        naem = "x"
        [data]
        kind = "generated"
        rosw = 10
        [model]
        kind = "sgdd"
        [search]
        kind = "random"
        trials = "many"
        [split]
        tset = 0.2
        [cluster]
        kind = "inlin"
        """,
    )
    # when
    with pytest.raises(SettingsError) as caught:
        Workflow.from_toml(path)
    # then
    text = str(caught.value)
    for piece in (
        "naem: no such table or option; did you mean 'name'?",
        "data.rosw: no such option; did you mean 'rows'?",
        "model.kind: no such model: 'sgdd'; did you mean 'sgd'?",
        "search.trials",
        "split.tset: no such option; did you mean 'test'?",
        "cluster.kind: no such cluster: 'inlin'; did you mean 'inline'?",
    ):
        assert piece in text


def test_a_misspelt_parameter_names_the_right_one() -> None:
    with pytest.raises(SettingsError, match=r"model\.params\.penaltty: no such option; did you mean 'penalty'\?"):
        Workflow(**{**GOOD, "model": {"kind": "sgd", "params": {"penaltty": "l2"}}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"search": {"kind": "random", "space": {}}}, "search.space: is empty"),
        ({"search": {"kind": "random", "space": {"alpha": []}}}, "search.space.alpha: is an empty list"),
        ({"search": {"kind": "random", "space": {"alpha": {"loguniform": [0, 1]}}}}, "low > 0"),
        ({"search": {"kind": "random", "metric": "roc_acu"}}, "did you mean 'roc_auc'?"),
        ({"metrics": ["acuracy"]}, "did you mean 'accuracy'?"),
        ({"split": {"folds": 3, "validation": 0.1}}, "split"),
        ({"name": "a/b"}, "name: letters, digits"),
        ({"seed": -1}, "seed: should be a whole number"),
        ({"model": {"estimator": "sklearn.linear_model:SGDClassifierr"}}, "SGDClassifier"),
        ({"preprocess": {"numeric": ["impue"]}}, "did you mean 'impute'?"),
    ],
)
def test_each_mistake_is_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Workflow(**{**GOOD, **change}).check()
    assert said in str(caught.value)


def test_a_metric_that_does_not_fit_the_task_is_refused_before_anything_is_read() -> None:
    with pytest.raises(SettingsError, match="rmse"):
        Workflow(**{**GOOD, "data": {**GOOD["data"], "task": "binary"}, "metrics": ["rmse"]}).check()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    # given the same option in all three
    path = written(tmp_path, 'seed = 1\n[data]\nkind = "generated"\nrows = 1\n[model]\nkind = "sgd"\n')
    # when, then
    environment = {"DASKFLOW__SEED": "2", "DASKFLOW__DATA__ROWS": "2"}
    tables = toml.load(path, {"data.rows": 3}, environment)
    assert (tables["seed"], tables["data"]["rows"]) == (2, 3)


def test_what_is_written_back_reads_as_the_same_workflow(tmp_path: Path) -> None:
    # given
    workflow = Workflow(
        **{**GOOD, "search": {"kind": "random", "trials": 3, "space": {"alpha": {"loguniform": [1e-5, 1e-2]}}}},
        metrics=["roc_auc", {"kind": "f1"}],
    )
    # when
    path = tmp_path / "again.toml"
    path.write_bytes(toml.write(workflow.dump()))
    again = Workflow.from_toml(path)
    # then
    assert again.id == workflow.id
    assert again.dump() == workflow.dump()


def test_the_id_depends_on_what_decides_the_result_and_on_nothing_else() -> None:
    # given
    base = Workflow(**GOOD).id
    # when, then
    assert Workflow(**{**GOOD, "cluster": "threads"}).id == base
    assert Workflow(**{**GOOD, "name": "other"}).id == base
    assert Workflow(**GOOD, seed=3).id != base
    assert Workflow(**{**GOOD, "split": {"test": 0.3}}).id != base
    assert Workflow(**{**GOOD, "search": {"kind": "random", "trials": 3}}).id != base


def test_limits_of_time_are_no_part_of_the_id_and_numbers_of_trials_are() -> None:
    def id_with(**budget: Any) -> str:
        search = {"kind": "random", "trials": 9, "space": {"alpha": [0.1, 0.2]}}
        return Workflow(**{**GOOD, "search": {**search, "budget": budget} if budget else search}).id

    # given
    base, of_five = id_with(), id_with(trials=5)
    # when, then
    assert id_with(wall_time="2 h") == id_with(wall_time="3 h", cpu_hours=4, running="drop") == base
    assert id_with(trials=5, wall_time="2 h") == of_five
    assert len({base, of_five, id_with(trials=6), id_with(patience=5), id_with(patience=5, tolerance=0.1)}) == 5


def test_another_cluster_keeps_the_words_it_shares(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[data]\nkind = "generated"\n[model]\nkind = "sgd"\n[cluster]\nkind = "local"\nworkers = 3\n',
    )
    changed = Workflow.from_toml(path, on="threads").cluster
    assert changed.kind == "threads"
    assert changed.dump()["workers"] == 3


def test_a_file_that_is_no_toml_says_the_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="line 2"):
        Workflow.from_toml(written(tmp_path, "name = 'x'\n[data\n"))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="daskflow init"):
        Workflow.from_toml(tmp_path / "nothing.toml")


def test_a_workflow_file_means_what_it_says_and_says_nothing_twice(tmp_path: Path) -> None:
    # given words that YAML 1.1 takes for false, seconds, an octal number, a text and a float
    text = """
        [data]
        kind = "csv"
        path = "a.csv"
        na_values = ["NO", "12:30:45", "010", "1.10"]
        [model]
        kind = "sgd"
        alpha = 1e-3
    """
    # when
    tables = toml.load(written(tmp_path, text), {}, {})
    # then
    assert tables["data"]["na_values"] == ["NO", "12:30:45", "010", "1.10"]
    assert tables["model"]["alpha"] == 0.001
    # and a word that stands twice is an error, not the last one
    with pytest.raises(SettingsError, match=r"line \d+"):
        Workflow.from_toml(written(tmp_path, text + "    alpha = 1e-4\n"))
