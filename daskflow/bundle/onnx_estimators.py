"""Fitted estimators as ONNX graphs over their matrix: scikit-learn's by skl2onnx, boosters by their own converters."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from daskflow.bundle.onnx_graph import ML_OPSET, OPSET, Graph
from daskflow.core.errors import DataError

INPUT = "matrix"

TARGETS = {"": OPSET, "ai.onnx.ml": ML_OPSET}


def add_estimator(graph: Graph, estimator: Any, matrix: str, n_features: int, *, is_classifier: bool) -> list[str]:
    """Add an estimator to a graph, and return the names of what it gives.

    Parameters
    ----------
    graph : Graph
        Takes the estimator's operations.
    estimator : object
        Fitted.
    matrix : str
        Name of its float32 input of shape (n_rows, n_features).
    n_features : int
        Columns of the matrix.
    is_classifier : bool
        Whether it gives labels, and probabilities if it has them; else one number.

    Returns
    -------
    list of str
        Labels (int64 codes) and probabilities or scores; or the numbers.

    Raises
    ------
    DataError
        When no converter knows the estimator, or a library is missing.
    """
    import onnx.compose

    made = _converted(estimator, n_features, is_classifier=is_classifier)
    found = onnx.compose.add_prefix(made, "estimator/").graph
    given = found.input[0].name
    outputs = [output.name for output in found.output]
    for node in found.node:
        if node.op_type == "ZipMap":  # a list of dictionaries, which no table holds: what it was made of stays
            outputs[outputs.index(node.output[0])] = node.input[0]
            continue
        node.input[:] = [matrix if name == given else name for name in node.input]
        graph.nodes.append(node)
    graph.constants.extend(found.initializer)
    return outputs


def _converted(estimator: Any, n_features: int, *, is_classifier: bool) -> Any:
    """The estimator as a model of its own."""
    package = type(estimator).__module__.partition(".")[0]
    convert = OWN.get(package)
    try:
        if convert is not None:
            return convert(estimator, n_features)
        return _of_sklearn(estimator, n_features, is_classifier=is_classifier)
    except ImportError as error:
        raise DataError(
            f"ONNX needs {error.name}, which is not installed. Install it: pip install 'daskflow[onnx]'."
        ) from error
    except Exception as error:  # converters fail in their own ways
        raise DataError(
            f"{type(estimator).__name__} has no form in ONNX: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def _of_sklearn(estimator: Any, n_features: int, *, is_classifier: bool) -> Any:
    """By skl2onnx."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    plain, scale, mean = _plain_estimator(estimator)
    own = _own_conversions()
    options = {id(plain): {"zipmap": False}} if is_classifier and hasattr(plain, "predict_proba") else None
    made = convert_sklearn(
        plain,
        initial_types=[(INPUT, FloatTensorType([None, n_features]))],
        options=options,
        target_opset=TARGETS,
        **own,
    )
    return made if scale is None else _rescaled(made, scale, mean)


def _plain_estimator(estimator: Any) -> tuple[Any, float | None, float]:
    """daskflow's own regressors as scikit-learn's, with what their numbers are multiplied by and moved."""
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPRegressor

    name = type(estimator).__name__
    if name == "PenalisedRegressor":
        plain: Any = LinearRegression()
        plain.coef_, plain.intercept_ = np.asarray(estimator.coef_), np.asarray(estimator.intercept_)
        plain.n_features_in_ = estimator.n_features_in_
        return plain, None, 0.0
    if name == "ScaledMLPRegressor":
        plain = MLPRegressor()
        plain.__dict__.update(
            {word: value for word, value in vars(estimator).items() if not word.startswith("target_")}
        )
        return plain, float(estimator.target_scale_), float(estimator.target_mean_)
    return estimator, None, 0.0


def _rescaled(made: Any, scale: float, mean: float) -> Any:
    """The same model whose only output is multiplied and moved."""
    from onnx import helper, numpy_helper

    graph = made.graph
    output = graph.output[0].name
    for word, value in (("scale", scale), ("mean", mean)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"target_{word}"))
    for node in graph.node:
        node.output[:] = ["unscaled" if name == output else name for name in node.output]
    graph.node.append(helper.make_node("Mul", ["unscaled", "target_scale"], ["unmoved"]))
    graph.node.append(helper.make_node("Add", ["unmoved", "target_mean"], [output]))
    return made


def _own_conversions() -> dict[str, Any]:
    """skl2onnx's converters of histogram boosting, whose flags onnx no longer takes for the integers they should be."""
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    shapes, conversions = {}, {}
    for cls in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        alias = f"Sklearn{cls.__name__}"
        shapes[cls] = get_shape_calculator(alias)
        conversions[cls] = _with_plain_attributes(get_converter(alias))
    return {"custom_shape_calculators": shapes, "custom_conversion_functions": conversions}


def _with_plain_attributes(convert: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    """A converter whose operations get lists of Python's own numbers."""

    class Container:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def add_node(self, *arguments: Any, **attributes: Any) -> Any:
            return self._container.add_node(*arguments, **{name: _plain(value) for name, value in attributes.items()})

    def converted(scope: Any, operator: Any, container: Any) -> None:
        convert(scope, operator, Container(container))

    return converted


def _plain(value: Any) -> Any:
    """Numbers as Python's own; flags among integers as integers."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, bool) else value


def _of_xgboost(estimator: Any, n_features: int) -> Any:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    return onnxmltools.convert_xgboost(estimator, initial_types=[(INPUT, FloatTensorType([None, n_features]))])


def _of_lightgbm(estimator: Any, n_features: int) -> Any:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    kinds = [(INPUT, FloatTensorType([None, n_features]))]
    return onnxmltools.convert_lightgbm(estimator, initial_types=kinds, zipmap=False, target_opset=15)


def _of_catboost(estimator: Any, n_features: int) -> Any:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        estimator.save_model(str(path), format="onnx")
        return onnx.load(str(path))


OWN: dict[str, Callable[[Any, int], Any]] = {
    "xgboost": _of_xgboost,
    "lightgbm": _of_lightgbm,
    "catboost": _of_catboost,
}
"""Converters by the package that an estimator comes from."""
