"""PackedFitted: a fitted step that holds arrays, which JSON keeps as text in base64."""

from __future__ import annotations

import base64
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.preprocess.steps import Fitted


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """Return an array as JSON values: numbers of a million levels as a list would take ten times the memory.

    Examples
    --------
    >>> packed(np.array([1, 2], dtype=np.uint8))
    {'base64': 'AQI=', 'dtype': '|u1', 'shape': [2]}
    """
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
        "dtype": little.dtype.str,
        "shape": list(array.shape),
    }


def unpacked(values: Mapping[str, Any]) -> NDArray[Any]:
    """Return what `packed` gave.

    Raises
    ------
    DataError
        When it is damaged.
    """
    try:
        found = np.frombuffer(base64.b64decode(values["base64"], validate=True), dtype=values["dtype"])
        return found.reshape(values["shape"]).astype(found.dtype.newbyteorder("="))
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"An array of the preprocessing is damaged ({error}). Write the model again.") from error


@dataclass(frozen=True, slots=True, eq=False)
class PackedFitted(Fitted, ABC):
    """A fitted step some of whose fields are arrays."""

    def dump(self) -> dict[str, Any]:
        """Return the step as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: packed(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        return {"kind": self.kind} | {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()} | arrays

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """Return the step of what `dump` gave."""
        found = {name: value for name, value in values.items() if name != "kind"}
        for name, value in found.items():
            if isinstance(value, Mapping) and "base64" in value:
                found[name] = unpacked(value)
            elif isinstance(value, list):
                found[name] = tuple(value)
        return cls(**found)

    def __eq__(self, other: object) -> bool:
        """Whether both are of one class, and every field is the same."""
        if type(self) is not type(other):
            return False
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return all(
            np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a == b
            for a, b in pairs
        )

    __hash__ = None  # type: ignore[assignment]  # as for every value that holds arrays
