"""A model as ONNX answers as the model does: every family, the whole preprocessing, calibration and threshold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import daskflow.models
from daskflow import bundle
from daskflow.bundle import Model
from daskflow.bundle.rows import rows_of
from daskflow.cli import main
from daskflow.core.errors import DataError, SettingsError
from daskflow.data.decision import Calibration, Decision
from daskflow.data.schema import Column, ColumnKind, Schema, Target, Task
from daskflow.preprocess import Preprocessor
from tests.bundle_transformer import PlainTransformer

SCHEMA = Schema(
    (
        Column("whole", ColumnKind.NUMERIC, "int64"),
        Column("real", ColumnKind.NUMERIC, "double"),
        Column("code", ColumnKind.NUMERIC, "int64"),
        Column("share", ColumnKind.NUMERIC, "double"),
        Column("city", ColumnKind.CATEGORICAL, "string"),
        Column("street", ColumnKind.CATEGORICAL, "string"),
        Column("member", ColumnKind.BOOLEAN, "bool"),
    )
)
TASKS = {"binary": ("no", "yes"), "multiclass": (3, 1, 2), "regression": ()}
SMALL: dict[str, dict[str, Any]] = {
    "catboost": {"iterations": 5, "thread_count": 1},
    "extra_trees": {"n_estimators": 4},
    "hist_gradient_boosting": {"max_iter": 5},
    "lightgbm": {"n_estimators": 5},
    "mlp": {"max_iter": 20},
    "random_forest": {"n_estimators": 4},
    "xgboost": {"n_estimators": 5},
}
"""Parameters that make a fit short."""

MORE: dict[str, dict[str, Any]] = {"partition_ensemble": {"base": "sgd"}}

WITHOUT = ("partition_ensemble",)
"""Families that have no form in ONNX."""

FAMILIES = [kind for kind in daskflow.models.REGISTRY.kinds if kind not in ("families", "estimator")]


def rows(seed: int = 1, n_rows: int = 240) -> pd.DataFrame:
    """Rows with gaps in every column."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "whole": random.integers(-5, 90, n_rows),
            "real": random.normal(0, 3, n_rows),
            "code": random.integers(1, 6, n_rows),
            "share": random.choice([0.5, 1.0, 2.5], n_rows),
            "city": random.choice(["Oslo", "Rome", "Lima", "Bonn"], n_rows, p=[0.5, 0.3, 0.15, 0.05]),
            "street": random.choice(["a", "b", "c"], n_rows),
            "member": random.random(n_rows) < 0.5,
        }
    )
    frame.loc[::9, "real"] = np.nan
    frame.loc[::11, "city"] = None
    return frame


def strange() -> pd.DataFrame:
    """New rows, of which some have values that training did not have, and gaps where it had none."""
    frame = rows(2).astype({"code": "Int64", "whole": "Int64", "member": "boolean"})
    frame.loc[::7, "city"] = "Quito"
    frame.loc[::8, "street"] = None
    frame.loc[::13, "code"] = 77
    frame.loc[::14, "code"] = None
    frame.loc[::15, "share"] = 0.75
    frame.loc[::16, "share"] = None
    frame.loc[::17, "member"] = None
    frame.loc[::18, "whole"] = None
    frame.loc[3, "real"] = 123.456
    return frame


def preprocessor(**changed: Any) -> Preprocessor:
    """Steps of every sort that has a form in ONNX."""
    columns = {
        "real": [{"kind": "impute", "indicator": True}, {"kind": "clip", "lower": -4.0, "upper": 4.0}, "scale"],
        "code": ["onehot"],
        "share": [{"kind": "ordinal"}, "scale"],
        "city": [{"kind": "rare", "min_frequency": 0.1}, "onehot"],
        "street": [{"kind": "impute", "strategy": "most_frequent"}, {"kind": "onehot", "drop": "first"}],
        "whole": [
            {"kind": "impute", "missing_values": [7]},
            {"kind": "scale", "method": "minmax", "feature_range": [-1, 1], "clip": True},
        ],
    }
    return Preprocessor(columns={**columns, **changed}).fit(rows())


def target_of(task: str) -> Any:
    """Codes or numbers that follow the columns."""
    frame = rows()
    signal = frame["whole"] / 30 + (frame["city"] == "Oslo") + frame["real"].fillna(0) / 5
    if task == "regression":
        return signal.to_numpy()
    n_classes = len(TASKS[task])
    return np.digitize(signal, np.quantile(signal, np.linspace(0, 1, n_classes + 1)[1:-1]))


def model_of(estimator: Any, task: str, decision: Decision | None = None, **changed: Any) -> Model:
    """A fitted model."""
    fitted = preprocessor(**changed).fitted_
    estimator.fit(fitted.matrix(rows_of(rows(), SCHEMA)), target_of(task))
    classes = TASKS[task]
    target = Target("y", Task(task), classes, (80,) * len(classes))
    return Model(estimator, fitted, SCHEMA, target, decision=decision or Decision())


def answers(path: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """What onnxruntime says of a frame's rows."""
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    feed = {}
    for given in session.get_inputs():
        column = frame[given.name]
        if given.type == "tensor(string)":
            feed[given.name] = column.astype(object).where(column.notna(), "").to_numpy()[:, None]
        else:
            feed[given.name] = column.to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def check(model: Model, path: Path, frame: pd.DataFrame, closest: float = 1e-5) -> None:
    """The file's answers are the model's: numbers to float32, labels but where two classes are as close."""
    found = answers(path, frame)
    expected = model.predict(frame)
    if not model.classes:
        assert found["prediction"].shape == (len(frame),)
        np.testing.assert_allclose(found["prediction"], expected, rtol=2e-4, atol=2e-4)
        return
    assert found["label"].shape == (len(frame),)
    differs = found["label"] != expected.to_numpy()
    assert type(found["label"].tolist()[0]) is type(model.classes[0])
    if not hasattr(model.estimator, "predict_proba"):
        assert set(found) == {"label"}
        assert differs.mean() <= 0.01
        return
    probabilities = model.predict_proba(frame).to_numpy()
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=closest)
    least = model.decision.threshold
    ordered = np.sort(probabilities, axis=1)
    distance = ordered[:, -1] - ordered[:, -2] if least is None else np.abs(probabilities[:, 1] - least)
    assert not differs[distance > 2 * closest].any()


@pytest.mark.filterwarnings("ignore")  # of fits that are short
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_answers_as_the_model_does(tmp_path: Path, kind: str) -> None:
    tried = 0
    for task in TASKS:
        try:
            family = daskflow.models.parse(
                {"kind": kind, "params": SMALL.get(kind, {}), **MORE.get(kind, {})}, where=""
            )
            estimator = family.estimator(task, {}, seed=3)
        except SettingsError:
            continue  # not of this task
        tried += 1
        model = model_of(estimator, task)
        if kind in WITHOUT:
            with pytest.raises(DataError, match="has no form in ONNX"):
                model.to_onnx(tmp_path / "m.onnx")
            continue
        check(model, model.to_onnx(tmp_path / "m.onnx"), strange())
    assert tried


def test_the_preprocessing_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    import onnx

    from daskflow.bundle.onnx_columns import add_columns
    from daskflow.bundle.onnx_graph import Graph

    fitted = preprocessor().fitted_
    graph = Graph()
    name = add_columns(graph, fitted)
    outputs = [onnx.helper.make_tensor_value_info(name, 1, [None, len(fitted.feature_names)])]
    whole = onnx.helper.make_graph(graph.nodes, "p", graph.inputs, outputs, graph.constants)
    sets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    made = onnx.helper.make_model(whole, opset_imports=sets, ir_version=8)
    (tmp_path / "p.onnx").write_bytes(made.SerializeToString())
    for frame in (rows(), strange()):
        found = answers(tmp_path / "p.onnx", frame)[name]
        np.testing.assert_array_equal(found, fitted.matrix(rows_of(frame, SCHEMA)))


ISOTONIC = ((0.0, 0.2, 0.2, 0.6, 1.0), (0.05, 0.1, 0.3, 0.7, 0.95))
SIGMOID = ((1.7, -0.3),)
DECISIONS = {
    "threshold": ("binary", Decision(None, 0.3)),
    "isotonic": ("binary", Decision(Calibration("isotonic", (ISOTONIC,)), 0.35)),
    "one knot": ("binary", Decision(Calibration("isotonic", (((0.5,), (0.4,)),)), None)),
    "sigmoid": ("binary", Decision(Calibration("sigmoid", (SIGMOID,)), None)),
    "temperature": ("binary", Decision(Calibration("temperature", (((1.8,),),)), 0.6)),
    "isotonic of several": ("multiclass", Decision(Calibration("isotonic", (ISOTONIC,) * 3))),
    "sigmoid of several": ("multiclass", Decision(Calibration("sigmoid", (SIGMOID, ((0.5, 0.1),), SIGMOID)))),
    "temperature of several": ("multiclass", Decision(Calibration("temperature", (((0.7,),),)))),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_the_decision_is_in_the_graph(tmp_path: Path, name: str) -> None:
    task, decision = DECISIONS[name]
    model = model_of(LogisticRegression(), task, decision)
    # an isotonic curve has steps: where it is steep, a rounding of the probability is more of the answer
    check(model, model.to_onnx(tmp_path / "m.onnx"), strange(), closest=3e-5)


def test_classes_that_the_estimator_has_not_seen_have_no_probability(tmp_path: Path) -> None:
    fitted = preprocessor().fitted_
    estimator = LogisticRegression().fit(fitted.matrix(rows_of(rows(), SCHEMA)), target_of("binary") * 2)
    model = Model(estimator, fitted, SCHEMA, Target("y", Task.MULTICLASS, ("a", "b", "c"), (1, 1, 1)))
    check(model, model.to_onnx(tmp_path / "m.onnx"), strange())


@pytest.mark.parametrize("classes", [(False, True), (0.5, 1.5), (10, 20), ("é", "日本")])
def test_labels_keep_their_own_type(tmp_path: Path, classes: tuple[Any, ...]) -> None:
    fitted = preprocessor().fitted_
    estimator = LogisticRegression().fit(fitted.matrix(rows_of(rows(), SCHEMA)), target_of("binary"))
    model = Model(estimator, fitted, SCHEMA, Target("y", Task.BINARY, classes, (1, 1)))
    check(model, model.to_onnx(tmp_path / "m.onnx"), strange())


def test_the_matrix_alone_is_taken_where_it_is_asked_for_and_its_columns_are_named(tmp_path: Path) -> None:
    model = model_of(LogisticRegression(), "binary", Decision(None, 0.3))
    path = model.to_onnx(tmp_path / "m.onnx", inputs="matrix")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    matrix = model.transformer.matrix(rows_of(strange(), SCHEMA))
    label, probabilities = session.run(["label", "probabilities"], {"matrix": matrix})
    np.testing.assert_allclose(probabilities, model.predict_proba(strange()).to_numpy(), atol=1e-6)
    assert label.tolist() == model.predict(strange()).tolist()
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["daskflow.features"]) == list(model.feature_names)
    assert said["daskflow.preprocessing"] == "not in the graph: give the matrix"
    assert said["daskflow.decision"] == "in the graph"
    assert json.loads(said["daskflow.classes"]) == ["no", "yes"]


def test_steps_without_a_form_are_named_all_at_once(tmp_path: Path) -> None:
    model = model_of(LogisticRegression(), "binary", city=["frequency"], real=["impute", {"kind": "bin", "n_bins": 3}])
    with pytest.raises(DataError, match=r"'real': step 'bin'.*'city' \(frequency\).*inputs = 'matrix'"):
        model.to_onnx(tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    assert model.to_onnx(tmp_path / "m.onnx", inputs="matrix").exists()


def test_levels_that_are_refused_or_empty_have_no_form(tmp_path: Path) -> None:
    strict = model_of(LogisticRegression(), "binary", city=[{"kind": "onehot", "unknown": "error"}])
    with pytest.raises(DataError, match=r"'city' refuses levels it does not know"):
        strict.to_onnx(tmp_path / "m.onnx")
    frame = pd.DataFrame({"city": ["", "a"] * 20})
    fitted = Preprocessor().fit(frame).fitted_
    schema = Schema((Column("city", ColumnKind.CATEGORICAL, "string"),))
    estimator = LogisticRegression().fit(fitted.matrix(rows_of(frame, schema)), [0, 1] * 20)
    model = Model(estimator, fitted, schema, Target("y", Task.BINARY, ("no", "yes"), (1, 1)))
    with pytest.raises(DataError, match="the empty text as a level"):
        model.to_onnx(tmp_path / "m.onnx")


def test_new_columns_and_other_preprocessings_have_no_form(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
    fitted = Preprocessor(interactions=[["a", "b"]]).fit(frame).fitted_
    schema = Schema(tuple(Column(name, ColumnKind.NUMERIC, "double") for name in "ab"))
    estimator = LogisticRegression().fit(fitted.matrix(rows_of(frame, schema)), [0, 1] * 20)
    target = Target("y", Task.BINARY, ("no", "yes"), (1, 1))
    with pytest.raises(DataError, match="makes new columns"):
        Model(estimator, fitted, schema, target).to_onnx(tmp_path / "m.onnx")
    with pytest.raises(DataError, match="PlainTransformer has no form"):
        Model(estimator, PlainTransformer(["a", "b"], {}), schema, target).to_onnx(tmp_path / "m.onnx")
    with pytest.raises(DataError, match="inputs = 'rows' should be one of columns, matrix"):
        Model(estimator, fitted, schema, target).to_onnx(tmp_path / "m.onnx", inputs="rows")  # type: ignore[arg-type]


def test_the_verb_writes_the_file_of_a_model_folder(tmp_path: Path) -> None:
    model = model_of(LogisticRegression(), "binary")
    given = {"estimator": model.estimator, "transformer": model.transformer, "schema": SCHEMA, "target": model.target}
    bundle.write(tmp_path / "model", **given, card={})
    out = tmp_path / "m.onnx"
    done = CliRunner().invoke(main, ["export", str(tmp_path / "model"), "--to", "onnx", "-o", str(out)])
    assert done.exit_code == 0, done.output
    check(bundle.load_model(tmp_path / "model"), out, strange())
