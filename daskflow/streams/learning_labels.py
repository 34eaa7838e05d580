"""True values as a model's target has them: codes of classes, or numbers; whatever else comes is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from daskflow.data.schema import Target

SHOWN, MOST_CLASSES = 60, 8
"""Characters of a value, and classes, that a message shows."""


class LabelReader:
    """Reads true values for one target.

    Parameters
    ----------
    target : Target
        The model's.

    Examples
    --------
    >>> from daskflow.data.schema import Task
    >>> reader = LabelReader(Target("late", Task.BINARY, ("no", "yes")))
    >>> reader.read("yes")
    1
    >>> reader.read("maybe")
    ('value', "'maybe' is no class that the model knows: no, yes")
    >>> reader.read(None) is None
    True
    """

    def __init__(self, target: Target) -> None:
        """Learn the codes."""
        self._codes: Mapping[Any, int] = {label: code for code, label in enumerate(target.classes)}
        self._kind = type(target.classes[0]) if target.classes else float
        self._is_number = not target.classes

    def read(self, value: Any) -> int | float | tuple[str, str] | None:
        """Return the code or the number; None for a missing value; else the reason in one word, and a sentence."""
        value = value.item() if isinstance(value, np.generic) else value
        if value is None:
            return None
        if not self._is_kind(value):
            return "type", f"the true value should be {WORDS[self._kind]}; found {_shown(value)}"
        if isinstance(value, float) and not math.isfinite(value):
            return "value", f"the true value is no finite number; found {_shown(value)}"
        if self._is_number:
            return self._number(value)
        code = self._codes.get(value)
        if code is None:
            known = [str(label) for label in self._codes][:MOST_CLASSES]
            more = f" and {len(self._codes) - MOST_CLASSES} more" if len(self._codes) > MOST_CLASSES else ""
            return "value", f"{_shown(value)} is no class that the model knows: {', '.join(known)}{more}"
        return code

    @staticmethod
    def _number(value: Any) -> float | tuple[str, str]:
        try:
            return float(value)
        except OverflowError:
            return "value", f"the true value is too large; found {_shown(value)}"

    def _is_kind(self, value: Any) -> bool:
        """Whether the value is of the target's type; true is no number, and no text is one."""
        if self._kind is float:
            return isinstance(value, int | float) and not isinstance(value, bool)
        return isinstance(value, self._kind) and (self._kind is bool or not isinstance(value, bool))


WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
