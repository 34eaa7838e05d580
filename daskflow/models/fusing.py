"""Which candidates of a family are trained together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daskflow.fused.sgd import obstacle
from daskflow.models.plain import decode


def fuses(template: Any, params: Mapping[str, Any]) -> bool:
    """Return whether estimators like a template, with some parameters of plain values over it, train together."""
    plain = {name: decode(value) for name, value in params.items()}
    return not obstacle(type(template), {**template.get_params(deep=False), **plain})
