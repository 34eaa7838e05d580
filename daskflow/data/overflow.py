"""Operations on whole numbers whose result does not fit 64 bits are found, where pandas would wrap it round."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

LARGEST_EXPONENT = 64
"""Beyond it every power of 2 and more is too large already, so that none larger is worked out."""


def _power(base: int, exponent: int) -> int:
    return int(base ** min(exponent, LARGEST_EXPONENT))


OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: _power,
}


def overflow(frame: pd.DataFrame, text: str) -> str | None:
    """Return the first operation of an expression that leaves the 64 bits of its type in some row, else None.

    Parameters
    ----------
    frame : pandas.DataFrame
        The columns of the expression, whole numbers in nullable types.
    text : str
        As for ``DataFrame.eval``.

    Notes
    -----
    Smallest and largest values decide nearly always; only where they do not, rows are worked out exactly. Nothing is
    looked at twice where the values cannot reach 2**63 even if all of them were multiplied. Operators are looked at;
    methods such as ``a.mul(b)`` are not.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [2**62, 1]}, dtype="Int64")
    >>> overflow(frame, "a * 2 // 2"), overflow(frame, "a - 2")
    ('a * 2', None)
    """
    tree = ast.parse(text, mode="eval")
    if not _may_overflow(frame, tree):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
            left, right, operation = _value(frame, node.left), _value(frame, node.right), OPERATIONS[type(node.op)]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            left, right, operation = 0, _value(frame, node.operand), operator.sub
        else:
            continue
        if _leaves_its_type(left, right, operation):
            return ast.unparse(node)
    return None


def _may_overflow(frame: pd.DataFrame, tree: ast.AST) -> bool:
    """Whether the values could leave their type at all: the product of all that occur is the worst they can do."""
    reach = 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Pow) or (isinstance(node, ast.Attribute) and node.attr == "astype"):
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            reach *= max(2, abs(node.value))
        elif isinstance(node, ast.Name) and node.id in frame:
            column = frame[node.id]
            if isinstance(column.dtype, pd.UInt64Dtype):
                return True  # below zero is out of reach already
            if _is_whole(column):
                reach *= max([2, *(abs(end) for end in _ends(column))])
    return reach >= 2**63


def _value(frame: pd.DataFrame, node: ast.expr) -> Any:
    """An operand's values."""
    if isinstance(node, ast.Constant):
        return node.value
    return frame.eval(ast.unparse(node), engine="python", local_dict={}, global_dict={})


def _is_whole(value: Any) -> bool:
    if isinstance(value, pd.Series):
        return pd.api.types.is_integer_dtype(value.dtype)
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _ends(value: Any) -> tuple[int, ...]:
    """Smallest and largest; nothing where no row has a value."""
    if not isinstance(value, pd.Series):
        return (int(value),)
    return () if value.isna().all() else (int(value.min()), int(value.max()))


def _leaves_its_type(left: Any, right: Any, operation: Callable[[int, int], int]) -> bool:
    """Whether an operation on whole numbers gives one that its type does not hold."""
    columns = [side for side in (left, right) if isinstance(side, pd.Series)]
    if not columns or not (_is_whole(left) and _is_whole(right)):
        return False
    types: list[Any] = [getattr(side.dtype, "numpy_dtype", side.dtype) for side in columns]
    kind = np.result_type(*types)
    if not np.issubdtype(kind, np.integer):
        return False
    if operation is _power and min(_ends(right), default=0) < 0:
        return False  # pandas refuses it
    limits = np.iinfo(kind)
    corners = [operation(a, b) for a in _ends(left) for b in _ends(right)]
    if not corners or limits.min <= min(corners) <= max(corners) <= limits.max:
        return False
    both = pd.DataFrame({"left": left, "right": right}, index=columns[0].index).dropna()
    return any(
        not limits.min <= operation(int(a), int(b)) <= limits.max
        for a, b in zip(both["left"], both["right"], strict=True)
    )
