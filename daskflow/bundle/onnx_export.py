"""A model as one ONNX file: columns or the matrix in, labels and probabilities out, calibrated and by the threshold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daskflow.bundle.onnx_graph import ML_OPSET, OPSET, Graph
from daskflow.core.errors import DataError
from daskflow.core.journal import write_atomically
from daskflow.data.decision import BELOW_ONE, TINY, Calibration

if TYPE_CHECKING:
    from daskflow.bundle.model import Model

INPUTS = ("columns", "matrix")
FLOAT32, FLOAT64, INT64 = 1, 11, 7
"""ONNX's numbers of types."""


def to_onnx(model: Model, path: Path, inputs: str = "columns") -> Path:
    """Write a model as ONNX; see `Model.to_onnx`."""
    if inputs not in INPUTS:
        raise DataError(f"inputs = {inputs!r} should be one of {', '.join(INPUTS)}.")
    try:
        import onnx
        import skl2onnx  # noqa: F401  the extra is one
    except ImportError as error:
        raise DataError(
            f"ONNX needs {error.name}, which is not installed. Install it: pip install 'daskflow[onnx]'."
        ) from error
    from daskflow.bundle.onnx_columns import add_columns
    from daskflow.bundle.onnx_estimators import INPUT, add_estimator

    graph = Graph()
    width = len(model.feature_names)
    if inputs == "columns":
        matrix = add_columns(graph, model.transformer)
    else:
        matrix = graph.input(INPUT, FLOAT32, [None, width])
    given = add_estimator(graph, model.estimator, matrix, width, is_classifier=bool(model.classes))
    outputs = _answers(graph, model, given) if model.classes else [_output(graph, "prediction", given[0], FLOAT32, ())]
    made = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "daskflow", graph.inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=8,
        producer_name="daskflow",
        doc_string=f"Predicts {model.target.name}.",
    )
    onnx.helper.set_model_props(made, _about(model, inputs))
    onnx.checker.check_model(made)
    write_atomically(path, made.SerializeToString())
    return path


def _about(model: Model, inputs: str) -> dict[str, str]:
    """What a reader of the file should know."""
    return {
        "daskflow.target": model.target.name,
        "daskflow.task": model.task,
        "daskflow.classes": json.dumps(list(model.classes)),
        "daskflow.features": json.dumps(list(model.feature_names)),
        "daskflow.inputs": inputs,
        "daskflow.preprocessing": "in the graph" if inputs == "columns" else "not in the graph: give the matrix",
        "daskflow.decision": "in the graph" if not model.decision.is_empty else "none",
        "daskflow.missing": "nan for a number or boolean, the empty string for a text",
        "daskflow.model": model.identity,
    }


def _output(graph: Graph, name: str, given: str, kind: int, shape: Sequence[int]) -> Any:
    """Give a value the name of an output, and the shape (n_rows, *shape)."""
    from onnx import helper

    wanted = graph.constant([-1, *shape], np.int64)
    graph.nodes.append(helper.make_node("Reshape", [given, wanted], [name]))
    return helper.make_tensor_value_info(name, kind, [None, *shape])


def _answers(graph: Graph, model: Model, given: Sequence[str]) -> list[Any]:
    """Labels, and probabilities where the estimator has them."""
    from onnx import helper, numpy_helper

    n_classes = len(model.classes)
    codes = graph.add("Reshape", given[0], graph.constant([-1], np.int64))
    outputs = []
    if hasattr(model.estimator, "predict_proba"):
        probabilities = graph.add("Cast", _all_classes(graph, model, given[1]), to=FLOAT64)
        if not model.decision.is_empty:
            probabilities, codes = _decided(graph, model, probabilities)
        outputs = [_output(graph, "probabilities", graph.add("Cast", probabilities, to=FLOAT32), FLOAT32, (n_classes,))]
    labels = np.array(model.classes, dtype=object if isinstance(model.classes[0], str) else None)
    kind = numpy_helper.from_array(labels, "labels").data_type
    name = graph.constant(labels)
    graph.nodes.append(helper.make_node("Gather", [name, codes], ["label"]))
    return [helper.make_tensor_value_info("label", kind, [None]), *outputs]


def _all_classes(graph: Graph, model: Model, probabilities: str) -> str:
    """Probabilities of every class, also of those that the estimator has not seen."""
    seen = np.asarray(model.estimator.classes_, dtype=np.int64)
    if len(seen) == len(model.classes):
        return probabilities
    places = np.zeros((len(seen), len(model.classes)), dtype=np.float32)
    places[np.arange(len(seen)), seen] = 1.0
    return graph.add("MatMul", probabilities, graph.constant(places))


def _decided(graph: Graph, model: Model, probabilities: str) -> tuple[str, str]:
    """Calibrated probabilities of all classes, and the codes that follow."""
    decision, is_binary = model.decision, len(model.classes) == 2
    found = probabilities
    if is_binary:
        ends = (graph.constant([value], np.int64) for value in (1, 2, 1))
        found = graph.add("Slice", found, *ends)
    if decision.calibration is not None:
        found = _calibrated(graph, decision.calibration, found, 1 if is_binary else len(model.classes))
    if not is_binary:
        codes = graph.add("ArgMax", found, axis=1, keepdims=0)
        return found, codes
    least = 0.5 if decision.threshold is None else decision.threshold
    # The least probability comes in float32, as the estimator's: one that equals it must not fall below by rounding.
    is_positive = graph.add("GreaterOrEqual", found, graph.number(least))
    codes = graph.add("Reshape", graph.add("Cast", is_positive, to=INT64), graph.constant([-1], np.int64))
    return graph.add("Concat", graph.add("Sub", graph.number(1.0), found), found, axis=1), codes


def _calibrated(graph: Graph, calibration: Calibration, given: str, n_curves: int) -> str:
    """Probabilities, float64 of shape (n_rows, n_curves), through a calibration."""
    if calibration.kind == "temperature":
        temperature = graph.number(calibration.curves[0][0][0])
        if n_curves == 1:
            return graph.add("Sigmoid", graph.add("Div", _log_odds(graph, given), temperature))
        logs = graph.add("Log", _inside(graph, given, 1.0))
        return graph.add("Softmax", graph.add("Div", logs, temperature), axis=1)
    columns = []
    for number, curve in enumerate(calibration.curves):
        ends = (graph.constant([value], np.int64) for value in (number, number + 1, 1))
        column = given if n_curves == 1 else graph.add("Slice", given, *ends)
        columns.append(_curve(graph, calibration.kind, curve, column))
    if n_curves == 1:
        return columns[0]
    found = graph.add("Concat", *columns, axis=1)
    total = graph.add("ReduceSum", found, graph.constant([1], np.int64), keepdims=1)
    is_some = graph.add("Greater", total, graph.number(0.0))
    shares = graph.add("Div", found, graph.add("Where", is_some, total, graph.number(1.0)))
    return graph.add("Where", is_some, shares, given)


def _curve(graph: Graph, kind: str, curve: tuple[tuple[float, ...], ...], given: str) -> str:
    """One class's probabilities, shape (n_rows, 1)."""
    if kind == "sigmoid":
        slope, intercept = (graph.number(value) for value in curve[0])
        return graph.add("Sigmoid", graph.add("Add", graph.add("Mul", _log_odds(graph, given), slope), intercept))
    x, y = np.asarray(curve[0]), np.asarray(curve[1])
    if len(x) == 1:
        zero = graph.add("Mul", given, graph.number(0.0))
        return graph.add("Add", zero, graph.number(y[0]))
    inside = graph.add("Max", graph.add("Min", given, graph.number(x[-1])), graph.number(x[0]))
    is_behind = graph.add("GreaterOrEqual", inside, graph.constant(x[None, 1:-1], np.float64))
    count = graph.add("Cast", is_behind, to=FLOAT64)
    place = graph.add("ReduceSum", count, graph.constant([1], np.int64), keepdims=0)
    place = graph.add("Cast", place, to=INT64)
    widths = np.diff(x)
    slopes = np.divide(np.diff(y), widths, out=np.zeros(len(widths)), where=widths > 0)
    column = graph.constant([-1, 1], np.int64)
    start, height, slope = (
        graph.add("Reshape", graph.add("Gather", graph.constant(values, np.float64), place), column)
        for values in (x[:-1], y[:-1], slopes)
    )
    return graph.add("Add", height, graph.add("Mul", slope, graph.add("Sub", inside, start)))


def _inside(graph: Graph, given: str, most: float) -> str:
    """Probabilities above 0."""
    return graph.add("Max", graph.add("Min", given, graph.number(most)), graph.number(TINY))


def _log_odds(graph: Graph, given: str) -> str:
    inside = _inside(graph, given, BELOW_ONE)
    return graph.add("Sub", graph.add("Log", inside), graph.add("Log", graph.add("Sub", graph.number(1.0), inside)))
