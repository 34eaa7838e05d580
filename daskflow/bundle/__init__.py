"""The model folder: written whole or not at all, verified before it is loaded, predicting on pandas and dask frames."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daskflow.bundle.loading import load_model
    from daskflow.bundle.model import Model
    from daskflow.bundle.writing import write

__all__ = ["Model", "load_model", "write"]

PLACES = {"write": "daskflow.bundle.writing", "load_model": "daskflow.bundle.loading", "Model": "daskflow.bundle.model"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in PLACES:
        return getattr(importlib.import_module(PLACES[name]), name)
    raise AttributeError(f"module 'daskflow.bundle' has no attribute {name!r}")
