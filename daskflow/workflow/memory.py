"""Memory: what the largest fit of a workflow takes, and what to say when a worker has less."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from daskflow.data.schema import Schema
from daskflow.data.store import size
from daskflow.search.training import Way, way_of

if TYPE_CHECKING:
    from daskflow.models import Model
    from daskflow.workflow.workflow import Workflow

WIDTHS = {"categorical": 10, "datetime": 4}
"""Columns of the matrix that a feature becomes, where it is not one; one-hot columns are not known before the scan:
ten for each categorical feature is what real tables come to."""


def n_columns(features: Schema) -> int:
    """Return about how many columns the matrix has."""
    return sum(WIDTHS.get(str(column.kind), 1) for column in features.columns)


def learned_rows(workflow: Workflow, n_rows: int) -> int:
    """Return the rows of the largest fit, which is the last one: all but the test part and what a sample leaves out."""
    rest = n_rows - round(n_rows * workflow.split.test)
    return round(rest * workflow.split.sample_share(rest))


def fit_bytes(workflow: Workflow, task: str, n_rows: int, n_features: int) -> int:
    """Return about what the largest fit takes, by the family that takes most; 0 where all learn block by block."""
    return max((family.fit_bytes(task, n_rows, n_features) for family in _whole(workflow, task)), default=0)


def memory_notes(workflow: Workflow, task: str, n_rows: int, n_features: int) -> list[str]:
    """Say of each family whose largest fit does not fit into a worker what it takes, and which sample would do.

    Parameters
    ----------
    workflow : Workflow
        Its cluster says what a fit can have; nothing is said where that is not known.
    task : str
        binary, multiclass or regression.
    n_rows, n_features : int
        Of the largest fit's matrix.
    """
    limits = [most for most in (workflow.cluster.fit_bytes, workflow.search.fit_bytes) if most]
    if not limits:
        return []
    most, said = min(limits), []
    for family in _whole(workflow, task):
        needed = family.fit_bytes(task, n_rows, n_features)
        if needed <= most:
            continue
        rows = _rounded(n_rows * most // needed)
        said.append(
            f"{family.kind} learns from all rows at once: about {size(needed)} for {n_rows:,} rows of {n_features} "
            f"columns, and a fit can have {size(most)}. A sample that fits has {rows:,} rows: sample = {rows} under "
            "[split]. Or give workers more memory, or choose partition_ensemble, or sgd with a search that stops "
            "early: that learns block by block"
        )
    return said


def _whole(workflow: Workflow, task: str) -> list[Model]:
    """The families that are given all rows at once."""
    stops_early = workflow.search.stops_early
    return [
        family
        for family in workflow.model.members
        if task in family.tasks and way_of(family, task, stops_early=stops_early) is not Way.BLOCKS
    ]


def _rounded(n_rows: int) -> int:
    """Down to two digits: a forecast is no surer."""
    unit: int = 10 ** max(0, math.floor(math.log10(max(n_rows, 1))) - 1)
    return max(2, n_rows // unit * unit)
