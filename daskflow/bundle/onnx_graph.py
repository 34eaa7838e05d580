"""A graph of ONNX operations under construction: nodes, constants and names that are never given twice."""

from __future__ import annotations

from typing import Any

import numpy as np

OPSET, ML_OPSET = 17, 3
"""Versions of the two sets of operations that are used; any onnxruntime since 1.12 has them."""


class Graph:
    """Nodes of which each is added by what it does to the names of values."""

    def __init__(self) -> None:
        """Begin empty."""
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self._count = 0

    def name(self, hint: str) -> str:
        """Return a name that no other value has."""
        self._count += 1
        return f"{hint}_{self._count}"

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant array; texts are an array of objects."""
        from onnx import numpy_helper

        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, operation: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operation of one result, and return the result's name."""
        from onnx import helper

        found = self.name(operation.lower())
        self.nodes.append(helper.make_node(operation, list(inputs), [found], domain=domain, **attributes))
        return found

    def number(self, value: float) -> str:
        """Add a constant number of float64."""
        return self.constant(value, np.float64)

    def where_missing(self, values: str, otherwise: float) -> str:
        """Replace nan by a number."""
        return self.add("Where", self.add("IsNaN", values), self.number(otherwise), values)

    def input(self, name: str, kind: int, shape: list[Any]) -> str:
        """Add an input of a type and shape."""
        from onnx import helper

        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name
