"""A fitted preprocessing as ONNX operations: one input for each column, and the float32 matrix of the estimator.

Numbers and booleans come as float64, nan where missing; texts as strings, empty where missing. What is computed is what
the preprocessing computes, in float64 up to the last rounding. A chain that begins with levels becomes a table: every
level that its steps know is put through the fitted steps once, with a missing and an unknown one, and the graph looks
the answer up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from daskflow.bundle.onnx_graph import Graph
from daskflow.core.errors import DataError
from daskflow.data.schema import ColumnKind

UNKNOWN = "\x00a level that no training row had\x00"
UNKNOWN_NUMBER = 0.12345678901234567

OF_LEVELS = ("impute", "onehot", "ordinal", "rare")
"""Steps that look up levels they list, and may begin a chain of them."""

WITHOUT_LISTS = ("dates", "frequency", "hash", "target", "text")
"""Steps that take any level or time and hold no list of them, so that no table has their answers."""

LISTS = ("levels", "without", "kept", "rare", "fill")
"""What of a step names levels."""

ALONE = "Export the estimator alone with inputs = 'matrix', and prepare the rows with daskflow."


def add_columns(graph: Graph, transformer: Any) -> str:
    """Add a preprocessing, and return the name of its matrix: float32 of shape (n_rows, n_features).

    Raises
    ------
    DataError
        Naming every column whose steps have no such form.
    """
    if not hasattr(transformer, "columns") or not hasattr(transformer, "preparation"):
        raise DataError(f"{type(transformer).__name__} has no form in ONNX. {ALONE}")
    if transformer.preparation.new.columns:
        names = ", ".join(f"'{name}'" for name in transformer.preparation.new.names)
        raise DataError(f"The preprocessing makes new columns ({names}), which have no form in ONNX. {ALONE}")
    problems: list[str] = []
    parts: list[str] = []
    for fitted in transformer.columns:
        try:
            parts += _column(graph, fitted)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{' '.join(problems)} {ALONE}")
    return graph.add("Concat", *parts, axis=1)


def _column(graph: Graph, fitted: Any) -> list[str]:
    """One column's chain: names of float32 values of shape (n_rows, width)."""
    from onnx import TensorProto

    column, kinds = fitted.column, [step.kind for step in fitted.steps]
    if column.kind is ColumnKind.DATETIME or set(kinds) & set(WITHOUT_LISTS):
        raise DataError(f"Column '{column.name}' ({', '.join(kinds)}) has no form in ONNX.")
    if not fitted.outputs:
        return []
    if column.kind is ColumnKind.CATEGORICAL:
        given = graph.input(column.name, TensorProto.STRING, [None, 1])
        return _looked_up(graph, fitted, given)
    given = graph.input(column.name, TensorProto.DOUBLE, [None, 1])
    first = next((step for step in fitted.steps if step.kind != "passthrough"), None)
    is_of_levels = first is not None and first.kind in OF_LEVELS and getattr(first, "is_level", True)
    return _looked_up(graph, fitted, given) if is_of_levels else _computed(graph, fitted, given)


# --- chains of numbers


def _computed(graph: Graph, fitted: Any, given: str) -> list[str]:
    """Steps that compute."""
    finished: list[str] = []
    for step in fitted.steps:
        if step.kind not in STEPS:
            raise DataError(f"Column '{fitted.column.name}': step '{step.kind}' has no form in ONNX.")
        given, more = STEPS[step.kind](graph, step.dump(), given)
        finished += more
    if fitted.keeps_values:
        finished.append(given)
    return [graph.add("Cast", name, to=1) for name in finished]  # 1 is float32


def _imputed(graph: Graph, step: Mapping[str, Any], given: str) -> tuple[str, list[str]]:
    for sentinel in step["sentinels"]:
        is_it = graph.add("Equal", given, graph.number(float(sentinel)))
        given = graph.add("Where", is_it, graph.number(np.nan), given)
    indicator = [graph.add("Cast", graph.add("IsNaN", given), to=11)] if step["indicator"] else []  # 11 is float64
    return graph.where_missing(given, float(step["fill"])), indicator


def _scaled(graph: Graph, step: Mapping[str, Any], given: str) -> tuple[str, list[str]]:
    given = graph.add("Div", graph.add("Sub", given, graph.number(step["centre"])), graph.number(step["scale"]))
    if step["start"]:
        given = graph.add("Add", given, graph.number(step["start"]))
    return _clipped(graph, step, given)


def _clipped(graph: Graph, step: Mapping[str, Any], given: str) -> tuple[str, list[str]]:
    for edge, operation in ((step["low"], "Less"), (step["high"], "Greater")):
        if edge is not None:
            end = graph.number(edge)
            given = graph.add("Where", graph.add(operation, given, end), end, given)
    return given, []


def _unchanged(graph: Graph, step: Mapping[str, Any], given: str) -> tuple[str, list[str]]:
    return given, []


STEPS: Mapping[str, Callable[[Graph, Mapping[str, Any], str], tuple[str, list[str]]]] = {
    "clip": _clipped,
    "impute": _imputed,
    "passthrough": _unchanged,
    "scale": _scaled,
}


# --- chains of levels


def _looked_up(graph: Graph, fitted: Any, given: str) -> list[str]:
    """A table of the answers for every level that the steps know, a missing and an unknown one."""
    column = fitted.column
    is_text = column.kind is ColumnKind.CATEGORICAL
    is_truth = column.kind is ColumnKind.BOOLEAN
    levels = _levels_of(fitted.steps)
    if is_text:
        keys: list[Any] = [level for level in levels if isinstance(level, str)]
        rows = pa.array([*keys, UNKNOWN, None], pa.string())
    elif is_truth:
        keys = [False, True]
        rows = pa.array([*keys, None, None], pa.bool_())
    else:
        keys = [float(level) for level in levels if not isinstance(level, str)]
        rows = pa.array([*keys, UNKNOWN_NUMBER, None], pa.float64())
    try:
        outputs = fitted.apply(rows)
    except DataError as error:
        raise DataError(f"Column '{column.name}' refuses levels it does not know, which ONNX cannot.") from error
    codes = _codes_of_texts(graph, keys, given, column.name) if is_text else _codes_of_numbers(graph, keys, given)
    found = []
    for output in outputs:
        if hasattr(output, "codes"):
            places = np.where(output.codes < 0, output.width, output.codes)
            picked = graph.add("Gather", graph.constant(places, np.int64), codes)
            hot = graph.add(
                "OneHot",
                picked,
                graph.constant([output.width + 1], np.int64),
                graph.constant([0, 1], np.float32),
                axis=1,
            )
            ends = (graph.constant([value], np.int64) for value in (0, output.width, 1))
            found.append(graph.add("Slice", hot, *ends))
            continue
        values = output.matrix.toarray() if hasattr(output, "matrix") else np.asarray(output)[:, None]
        found.append(graph.add("Gather", graph.constant(values, np.float32), codes))
    return found


def _levels_of(steps: Iterable[Any]) -> list[Any]:
    """Every level that the steps name, each once."""
    named: dict[Any, None] = {}
    for step in steps:
        for word in LISTS:
            found = getattr(step, word, None)
            named |= dict.fromkeys(found if isinstance(found, tuple | list) else () if found is None else (found,))
    return list(named)


def _codes_of_texts(graph: Graph, keys: list[str], given: str, name: str) -> str:
    """Place of each text among the keys; then the unknown, then the missing, which is the empty text."""
    if "" in keys:
        raise DataError(f"Column '{name}' has the empty text as a level, which is a missing one in ONNX.")
    codes = graph.add(
        "LabelEncoder",
        given,
        domain="ai.onnx.ml",
        keys_strings=[*keys, ""],
        values_int64s=[*range(len(keys)), len(keys) + 1],
        default_int64=len(keys),
    )
    return graph.add("Reshape", codes, graph.constant([-1], np.int64))


def _codes_of_numbers(graph: Graph, keys: list[Any], given: str) -> str:
    """The same of numbers; nan is missing."""
    known = graph.add("Equal", given, graph.constant([[float(key) for key in keys]], np.float64))
    places = graph.constant(np.arange(len(keys))[:, None], np.float64)
    known = graph.add("Cast", known, to=11)
    found = graph.add("MatMul", known, places)
    is_known = graph.add("ReduceSum", known, graph.constant([1], np.int64), keepdims=1)
    found = graph.add("Where", graph.add("Greater", is_known, graph.number(0.0)), found, graph.number(len(keys)))
    found = graph.add("Where", graph.add("IsNaN", given), graph.number(len(keys) + 1), found)
    return graph.add("Reshape", graph.add("Cast", found, to=7), graph.constant([-1], np.int64))  # 7 is int64
