"""Several families in one search: each candidate is trained as in a search of its family alone, mistakes are told."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from sklearn.linear_model import Ridge

import daskflow as flow
import daskflow.metrics
from daskflow import models
from daskflow.cli.running import outcome
from daskflow.core.errors import BundleError, SettingsError
from daskflow.core.results import SearchResult
from daskflow.core.space import LogUniform, branches
from daskflow.data.execution import InlineExecutor
from daskflow.fused import sgd as fused_sgd
from daskflow.reports import tables
from daskflow.search import Search, engine, snapshots
from daskflow.search.asha import ASHA
from daskflow.search.engine import Memory
from daskflow.search.fits import MatrixWork
from daskflow.search.grid import Grid
from daskflow.search.hyperband import Hyperband
from daskflow.search.policies import AllAtOnce, Candidate
from daskflow.search.random import Random
from daskflow.search.tpe import TPE
from daskflow.search.tpe_hyperband import TPEHyperband
from daskflow.search.training import Way
from tests.small_matrices import classes, matrices_of

SEVERAL = {
    "kind": [
        "sgd",
        {"kind": "hist_gradient_boosting", "params": {"max_iter": 9}},
        {"kind": "random_forest", "params": {"n_estimators": 3}},
        "naive_bayes",
    ]
}
OWN: dict[str, dict[str, Any]] = {
    "sgd": {"alpha": 0.01},
    "hist_gradient_boosting": {"max_leaf_nodes": 5},
    "random_forest": {"min_samples_leaf": 4},
    "naive_bayes": {"var_smoothing": 0.1},
}
"""Parameters of a candidate of each."""


def several(**options: Any) -> Any:
    """The families."""
    return models.parse({**SEVERAL, **options})


def work_of(folder: Path, model: Any, search: Search, **options: Any) -> MatrixWork:
    """Work over rows of two classes."""
    X, y = classes(n_rows=600)
    (folder / "snapshots").mkdir(parents=True)
    return MatrixWork(
        model=models.parse(model),
        task="binary",
        n_classes=2,
        matrices=matrices_of(folder / "matrices", X, y, **options),
        metrics=[daskflow.metrics.parse("roc_auc"), daskflow.metrics.parse("log_loss")],
        metric="roc_auc",
        seed=7,
        snapshots=folder / "snapshots",
        search=search,
    )


def searched(folder: Path, model: Any, candidates: list[Candidate], search: Search) -> SearchResult:
    """Every candidate to the whole resource, through the engine."""
    work = work_of(folder, model, search)
    policy = AllAtOnce(candidates, search.resource)
    return engine.run(policy, work, InlineExecutor(), recorder=Memory())


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember no model of another test."""
    monkeypatch.setattr(snapshots, "RECENT", snapshots.Recent(snapshots.RECENT_BYTES))


# what a candidate is


def test_a_candidate_has_the_estimator_of_its_family_with_its_own_parameters_alone() -> None:
    model = several(params={"sgd.penalty": "l1"})

    made = model.estimator("binary", {"model": "sgd", "sgd.alpha": 0.5, "naive_bayes.var_smoothing": 0.1}, seed=3)

    alone = models.parse({"kind": "sgd", "params": {"penalty": "l1"}}).estimator("binary", {"alpha": 0.5}, seed=3)
    assert repr(made) == repr(alone)
    forest = model.estimator("binary", {"model": "random_forest"}, seed=3)
    assert forest.n_estimators == 3, "the family's own fixed parameters"


def test_the_second_of_a_kind_has_a_name_of_its_own() -> None:
    model = models.parse(
        [
            {"kind": "sgd", "params": {"penalty": "l1"}},
            {"kind": "sgd", "params": {"loss": "hinge"}},
            Ridge(),
            Ridge(2.0),
        ]
    )

    assert list(model.named) == ["sgd", "sgd2", "estimator", "estimator2"]
    assert model.estimator("binary", {"model": "sgd2"}, 1).loss == "hinge"


def test_a_family_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no such family among the model's: 'sdg'; did you mean 'sgd'"):
        several().estimator("binary", {"model": "sdg"}, 1)


@pytest.mark.parametrize("made", [several(), several(params={"sgd.alpha": 0.1}), models.parse(["ridge", Ridge(2.0)])])
def test_families_survive_a_toml_file_and_pickling(made: Any) -> None:
    written = tomli_w.dumps(made.dump())

    assert models.parse(tomllib.loads(written)).dump() == made.dump()
    assert [*made.named]  # names are worked out once, and travel
    assert pickle.loads(pickle.dumps(made)).dump() == made.dump()


# what is searched


def test_without_a_space_each_family_has_its_own_under_its_name() -> None:
    space = several().searched("binary", {})

    assert space["model"] == list(OWN)
    for family in several().members:
        own = {f"{family.kind}.{name}": values for name, values in family.space("binary").items()}
        assert {name: values for name, values in space.items() if name.startswith(f"{family.kind}.")} == own


def test_a_space_that_names_one_family_leaves_the_others_their_own() -> None:
    space = several().searched("binary", {"sgd.alpha": [0.1, 1.0]})

    assert [name for name in space if name.startswith("sgd.")] == ["sgd.alpha"]
    assert "random_forest.max_features" in space
    assert several().searched("binary", {"model": ["sgd"], "sgd.alpha": [1.0]}) == {
        "model": ["sgd"],
        "sgd.alpha": [1.0],
    }


def test_fixed_parameters_are_not_searched() -> None:
    assert "sgd.alpha" not in several(params={"sgd.alpha": 0.1}).space("binary")


@pytest.mark.parametrize(
    "search",
    [Random(trials=40), Hyperband(max_iter=27), ASHA(max_iter=9, trials=40)],
    ids=lambda search: str(search.kind),
)
def test_every_search_draws_all_families_and_gives_each_its_own_parameters(search: Search) -> None:
    space = several().searched("binary", {"preprocess.numeric.scale.method": ["standard", "robust"]})

    drawn = [dict(candidate.params) for candidate in search.policy(space, seed=3).candidates]

    assert {params["model"] for params in drawn} == set(OWN)
    for params in drawn:
        names = {name.partition(".")[0] for name in params} - {"model", "preprocess"}
        assert names == {params["model"]}
        assert "preprocess.numeric.scale.method" in params


@pytest.mark.parametrize(
    "search",
    [TPE(trials=14, startup=6, lag=1), TPEHyperband(max_iter=9)],
    ids=lambda search: str(search.kind),
)
def test_what_is_proposed_stays_within_a_family(search: Any, tmp_path: Path) -> None:
    work = work_of(tmp_path, SEVERAL, search)
    policy = search.policy(several().searched("binary", {}), seed=3)

    result = engine.run(policy, work, InlineExecutor(), recorder=Memory())

    assert len(result.trials) >= 14
    assert not any(trial.error for trial in result.trials)
    for trial in result.trials:
        assert {name.partition(".")[0] for name in trial.params} == {"model", trial.params["model"]}


def test_a_grid_is_the_grids_of_the_families_one_after_the_other() -> None:
    given = {"sgd.alpha": [0.1, 1.0], "naive_bayes.var_smoothing": [0.1], "model": ["sgd", "naive_bayes"]}
    space = several().searched("binary", given)

    drawn = [dict(candidate.params) for candidate in Grid().policy(space, seed=0).candidates]

    assert drawn == [
        {"model": "sgd", "sgd.alpha": 0.1},
        {"model": "sgd", "sgd.alpha": 1.0},
        {"model": "naive_bayes", "naive_bayes.var_smoothing": 0.1},
    ]
    assert len(branches(space)) == 2


# each as by itself


@pytest.mark.parametrize("search", [Grid(), Hyperband(max_iter=9)], ids=["whole", "by resource"])
def test_a_trial_has_the_score_that_it_has_in_a_search_of_its_family_alone(search: Search, tmp_path: Path) -> None:
    candidates = [
        Candidate(str(n), {"model": name, **{f"{name}.{word}": value for word, value in own.items()}})
        for n, (name, own) in enumerate(OWN.items())
    ]

    together = searched(tmp_path / "all", SEVERAL, candidates, search)

    assert not any(trial.error for trial in together.trials)
    for n, (family, own) in enumerate(zip(several().members, OWN.values(), strict=True)):
        alone = searched(tmp_path / family.kind, family.dump(), [Candidate(str(n), own)], search)
        assert alone.trials[0].metrics == together.trials[n].metrics


def test_resources_mean_blocks_rounds_or_rows_by_the_candidates_family(tmp_path: Path) -> None:
    training = work_of(tmp_path, SEVERAL, Hyperband(max_iter=9)).training

    ways = {name: training.way_for({"model": name}) for name in OWN}

    assert training.way is Way.OWN
    assert ways == {
        "sgd": Way.BLOCKS,
        "hist_gradient_boosting": Way.ROUNDS,
        "random_forest": Way.ROWS,
        "naive_bayes": Way.BLOCKS,
    }


def test_candidates_of_the_fused_family_share_their_visits_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_of(tmp_path, SEVERAL, Hyperband(max_iter=9), n_folds=1 + 1)
    candidates = [
        Candidate(str(n), {"model": name, **({"sgd.alpha": 0.01 * (n + 1)} if name == "sgd" else {})})
        for n, name in enumerate(["sgd", "naive_bayes", "sgd", "hist_gradient_boosting", "sgd"])
    ]
    sizes: list[int] = []
    fused = fused_sgd.partial_fit_many

    def counted(estimators: Any, *arguments: Any, **options: Any) -> None:
        sizes.append(len(estimators))
        fused(estimators, *arguments, **options)

    monkeypatch.setattr(fused_sgd, "partial_fit_many", counted)

    result = engine.run(AllAtOnce(candidates, 9), work, InlineExecutor(), recorder=Memory())

    assert not any(trial.error for trial in result.trials)
    assert max(sizes) == 3
    assert work.together_at_best > 1


@pytest.mark.parametrize(("name", "kept"), [("sgd", True), ("hist_gradient_boosting", True), ("random_forest", False)])
def test_only_models_that_go_on_leave_a_snapshot(name: str, kept: bool, tmp_path: Path) -> None:
    work = work_of(tmp_path, SEVERAL, Hyperband(max_iter=9))
    unit = work.unit(Candidate("0", {"model": name}), 0, 0, 3)

    answer = unit.function(*unit.arguments)

    assert ("snapshot" in answer.details) is kept
    assert len(list((tmp_path / "snapshots").iterdir())) == int(kept)


@pytest.mark.parametrize("name", OWN)
def test_a_candidate_that_goes_on_from_a_snapshot_ends_as_one_left_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = Candidate("5", {"model": name})
    straight = work_of(tmp_path / "a", SEVERAL, Hyperband(max_iter=9))
    by_rungs = work_of(tmp_path / "b", SEVERAL, Hyperband(max_iter=9))

    unit = straight.unit(candidate, 1, 0, 9)
    whole = unit.function(*unit.arguments)
    for start, stop in ((0, 1), (1, 3), (3, 9)):
        monkeypatch.setattr(snapshots, "RECENT", snapshots.Recent(snapshots.RECENT_BYTES))  # as in another process
        unit = by_rungs.unit(candidate, 1, start, stop)
        answer = unit.function(*unit.arguments)
        by_rungs.recorded("5", 1, stop, answer.details)

    assert answer.metrics == whole.metrics


@pytest.mark.parametrize("search", [Hyperband(max_iter=9), Random(trials=8)], ids=lambda search: str(search.kind))
def test_a_search_over_families_that_is_resumed_ends_like_the_whole_one(search: Search, tmp_path: Path) -> None:
    space = several().searched("binary", {})

    def run(folder: str, earlier: Any) -> tuple[SearchResult, list[Any]]:
        work, memory = work_of(tmp_path / folder, SEVERAL, search), Memory()
        policy = search.policy(space, seed=3)
        return engine.run(policy, work, InlineExecutor(), recorder=memory, earlier=earlier), memory.records

    whole, records = run("whole", [])

    for share in (0.3, 0.7):
        known = records[: int(share * len(records))]
        again, new = run(f"{share}", known)
        assert gist(again) == gist(whole)
        units = [(r["trial"], r["fold"], r["resource"]) for r in [*known, *new] if r["record"] == "unit"]
        assert len(units) == len(set(units)), "what is on record is not done again"


def gist(result: SearchResult) -> Any:
    """All but times."""
    return result.best.id, [
        (trial.id, trial.params, trial.state, trial.resource, trial.metrics) for trial in result.trials
    ]


# a whole run


def table(n_rows: int = 400) -> pd.DataFrame:
    """Rows with a target that follows x."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=n_rows), "z": rng.normal(size=n_rows)})
    rows["late"] = np.where(rows.x + rng.normal(size=n_rows) > 0, "yes", "no")
    return rows


def workflow(**options: Any) -> flow.Workflow:
    """A search over three families."""
    given: dict[str, Any] = {
        "model": ["sgd", {"kind": "hist_gradient_boosting", "params": {"max_iter": 5}}, "k_nearest"],
        "search": {"kind": "random", "trials": 9, "metric": "roc_auc"},
        **options,
    }
    data = flow.sources.Frame(frame=table(), target="late")
    return flow.Workflow(data=data, split={"folds": 2}, cluster="inline", **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> flow.Run:
    """A finished run."""
    return workflow().run(tmp_path_factory.mktemp("runs"))


def test_the_leaderboard_names_the_family_first_and_keeps_whole_numbers_whole(run: flow.Run) -> None:
    found = run.leaderboard()

    params = [name for name in found if name.startswith("param_")]
    assert params[0] == "param_model"
    assert params[1:] == sorted(params[1:], key=lambda name: name.partition(".")[0])
    assert list(found)[-1] == "error"
    for name in params[1:]:
        family = name.removeprefix("param_").partition(".")[0]
        assert (found[name].notna() == (found["param_model"] == family)).all()
    assert str(found["param_k_nearest.n_neighbors"].dtype) == "Int64"
    assert "param_model" in (run.path / "trials.csv").read_text().partition("\n")[0]


def test_the_report_tells_family_and_parameters_in_two_columns(run: flow.Run) -> None:
    board = tables.leaderboard(run.record())

    assert board is not None
    assert board.head[-2:] == ("model", "parameters")
    best = dict(zip(board.head, board.rows[0], strict=True))
    assert best["model"] == run.best.params["model"]
    assert f"{run.best.params['model']}." not in best["parameters"]
    assert " = " in best["parameters"]
    page = run.report_path.read_text()
    assert f"{run.best.params['model']} learned to predict" in page


def test_card_and_model_are_the_winners(run: flow.Run) -> None:
    import json

    card = json.loads((run.path / "model" / "card.json").read_text())

    assert card["params"]["model"] == run.best.params["model"]
    assert card["model"]["families"][0]["kind"] == "sgd"
    winner = models.parse(card["model"]).family(run.best.params).template("binary")
    assert type(run.model.estimator) is type(winner)


def test_a_plan_says_what_a_resource_means_for_each(tmp_path: Path) -> None:
    plan = workflow(search={"kind": "hyperband", "max_iter": 9}).plan()

    assert plan.model == (
        "sgd (block by block), hist_gradient_boosting (by boosting rounds), k_nearest (on more and more rows)"
    )
    assert f"model       {plan.model}" in str(plan)


def test_the_resolved_file_makes_the_same_workflow(run: flow.Run) -> None:
    again = tomllib.loads((run.path / "workflow.toml").read_text())

    assert models.parse(again["model"]).dump() == workflow().model.dump()


# mistakes


@pytest.mark.parametrize(
    ("model", "space", "said"),
    [
        (["sgd", "hist_gradient_bosting"], None, "model.kind.1: no such model: 'hist_gradient_bosting'; did you mean"),
        (["sgd", ["ridge"]], None, "model.kind.1: is several families itself: name them in this list"),
        (["sgd", "sgd"], None, "model.kind.1: sgd with the same parameters is in the list already"),
        ([], None, "model.kind: should be a list of families"),
        ([3], None, "model.kind.0: should be a model: its name or a table"),
        (["ridge", "lasso"], None, "model.kind: lasso has no estimator for binary; there is: catboost"),
        ([{"kind": "sgd", "prams": {}}], None, "model.kind.0.prams: no such option; did you mean 'params'"),
        ([{"kind": "sgd", "params": {"alfa": 1}}], None, "model.params.sgd.alfa: no such option; did you mean 'alpha'"),
        (["sgd", "ridge"], {"alpha": [1.0]}, "search.space.alpha: say whose: 'sgd.alpha' or 'ridge.alpha'"),
        (["sgd", "ridge"], {"sgd.alfa": [1.0]}, "search.space.sgd.alfa: no such option; did you mean 'alpha'"),
        (["sgd", "ridge"], {"sdg.alpha": [1.0]}, "search.space.sdg.alpha: no such family among the model's; did you"),
        (["sgd", "ridge"], {"model": ["sdg"]}, "search.space.model: no such family among the model's: 'sdg'; did you"),
        (
            ["sgd", "ridge"],
            {"model": ["sgd"], "ridge.alpha": [1.0]},
            "search.space.ridge.alpha: is of a family that search.space.model leaves out",
        ),
        (
            {"kind": "partition_ensemble", "base": ["sgd", "ridge"]},
            None,
            "model.base: should be one family, that of all members",
        ),
    ],
)
def test_a_mistake_is_told_where_it_stands(model: Any, space: Any, said: str) -> None:
    search = {"kind": "random", **({"space": space} if space else {})}
    model = model if isinstance(model, dict) else {"kind": model}

    with pytest.raises(SettingsError) as raised:
        flow.Workflow(
            data={"kind": "generated", "rows": 100, "task": "binary"}, model=model, search=search, cluster="inline"
        )

    assert any(str(problem).startswith(said) for problem in raised.value.problems), raised.value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"model": {"kind": ["sgd", "ridge"], "params": {"alpha": 1}}},
            "model.params.alpha: say whose: 'sgd.alpha' or",
        ),
        ({"model": {"kind": ["sgd"], "families": ["ridge"]}}, "model.families: stands beside a list of kinds"),
        ({"search": "none"}, "search.kind: 'none' fits one candidate, and the model is one of several"),
        (
            {
                "model": [{"kind": "sgd", "params": {"class_weight": "balanced"}}],
                "balance": {"class_weight": "balanced"},
            },
            "model.params.class_weight: is set beside balance.class_weight",
        ),
        (
            {
                "search": {"kind": "random", "space": {"sgd.class_weight": ["balanced"]}},
                "balance": {"class_weight": "balanced"},
            },
            "search.space.sgd.class_weight: is set beside balance.class_weight",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        workflow(**options)

    assert any(str(problem).startswith(said) for problem in raised.value.problems), raised.value


def test_a_check_finds_a_grid_over_distributions() -> None:
    made = workflow(search={"kind": "grid", "space": {"sgd.alpha": LogUniform(1e-3, 1.0)}})

    with pytest.raises(SettingsError, match=r"search\.space\.sgd\.alpha: is a distribution .* a grid needs values"):
        made.check()


def test_balance_names_every_family_that_takes_no_weights() -> None:
    made = workflow(balance={"class_weight": "balanced"})

    with pytest.raises(SettingsError, match="KNeighborsClassifier takes no weights"):
        made.check()


# what is stored

STORED_APART = ("catboost", "lightgbm", "partition_ensemble", "sgd", "xgboost")
"""One of each way of being stored; the others are scikit-learn's, like SGD."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in STORED_APART else pytest.mark.slow)
        for kind in sorted(set(models.REGISTRY.kinds) - {"estimator", "families"})
    ],
)
def test_the_model_of_a_run_is_built_and_a_strangers_asks_for_the_types_of_the_library(
    kind: str, tmp_path: Path
) -> None:
    model = models.parse(kind)
    task = model.tasks[-1]
    names = [*model.template(task).get_params(), *model.further_names]
    params = {name: 3 for name in ("n_estimators", "iterations") if name in names}
    params |= {"base": "sgd"} if kind == "partition_ensemble" else {}
    made = flow.Workflow(
        data={"kind": "generated", "rows": 300, "task": task},
        model={"kind": kind, **({"params": params} if "base" not in params else params)},
        split={"validation": 0.2},
        search="none",
        cluster="inline",
    )

    run = made.run(tmp_path)

    assert hasattr(run.model.estimator, "predict")
    assert set(run.foreign_types) <= set(model.stored_types)
    assert bool(run.foreign_types) == (kind == "catboost")  # the others' own files are checked before they are read
    if run.foreign_types:
        with pytest.raises(BundleError, match="types that are not trusted"):
            _ = flow.open_run(run.path).model
        words = outcome(run)
        assert all(f" --trust {name}" in words for name in run.foreign_types)
    else:
        assert hasattr(flow.open_run(run.path).model.estimator, "predict")
