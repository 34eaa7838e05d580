"""Explanations: which columns a model rests on, how its answer moves with them, and what a search turned on."""

from __future__ import annotations

import importlib
from typing import Any

NAMES = {
    "importance": "frames",
    "dependence": "frames",
    "shap": "frames",
    "permutation_importance": "permutation",
    "partial_dependence": "partial",
    "centred": "partial",
    "shap_values": "attributions",
    "parameter_importance": "parameters",
    "associated_groups": "columns",
}
"""Public names, and the module of each."""

__all__ = ["NAMES", *NAMES]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in NAMES:
        return getattr(importlib.import_module(f"{__name__}.{NAMES[name]}"), name)
    raise AttributeError(f"module 'daskflow.explain' has no attribute {name!r}")
