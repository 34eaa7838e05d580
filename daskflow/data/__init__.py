"""Tables and what is made of them: schema, hashes, splits, blocks, statistics and matrices.

The compiled loops, `kernels` and `adding`, are imported when one of them is first called: whoever only loads a model
and predicts calls none, and needs no compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class CompiledLoops:
    """Stands for a module of compiled loops until one of them is asked for."""

    def __init__(self, name: str) -> None:
        """Remember which; nothing is imported."""
        self._name = name

    def __getattr__(self, word: str) -> Any:
        """Import the module, and return what it calls so."""
        found = getattr(importlib.import_module(self._name), word)
        self.__dict__[word] = found
        return found


if not TYPE_CHECKING:
    kernels = CompiledLoops(f"{__name__}.kernels")
    adding = CompiledLoops(f"{__name__}.adding")
