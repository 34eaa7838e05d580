"""Preprocessing: families of steps that say which statistics they need, and the Preprocessor made of them."""

from __future__ import annotations

from typing import Any

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings


class Step(Settings):
    """One step for the columns of one kind; see `daskflow.preprocess.steps` for the contract of a step."""

    kind: str


REGISTRY: Registry[Step] = Registry(__name__, Step, "step")


def __getattr__(name: str) -> Any:
    """Find the Preprocessor or a step's class on first use."""
    if name == "Preprocessor":
        from daskflow.preprocess.preprocessor import Preprocessor

        return Preprocessor
    return REGISTRY.attribute(name)
