"""A workflow over a list of candidates and given folds, so that it can stand beside tools that are given the same."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

import daskflow as flow
from daskflow.search import Search
from daskflow.search.candidates import named
from daskflow.search.policies import AllAtOnce


class Listed(Search):
    """These candidates, in this order."""

    kind: Literal["listed"] = "listed"
    candidates: Sequence[Mapping[str, Any]]

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> AllAtOnce:
        """All of them."""
        return AllAtOnce(named(self.candidates))

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """One fit per candidate and fold."""
        size = len(self.candidates)
        return {"candidates": size, "units": size, "resource": size}


def run(
    frame: pd.DataFrame,
    y: Any,
    folds: Sequence[tuple[Any, Any]],
    candidates: Sequence[Mapping[str, Any]],
    *,
    address: str,
    model: Any,
    preprocess: Mapping[str, Any],
    clock: Any,
) -> dict[str, Any]:
    """Run the workflow from a parquet file to the report, and time all of it; return the best candidate and score."""
    number = np.empty(len(frame), np.int64)
    for fold, (_, validation) in enumerate(folds):
        number[validation] = fold
    space = {name: sorted({each[name] for each in candidates}) for name in candidates[0]}
    with tempfile.TemporaryDirectory() as place:
        frame.assign(fold=number, target=y).to_parquet(Path(place, "table.parquet"))
        workflow = flow.Workflow(
            data=flow.sources.Parquet(
                path=str(Path(place, "table.parquet")), target="target", task="binary", fold="fold"
            ),
            split={"kind": "predefined"},
            preprocess=preprocess,
            model=model,
            search=Listed(candidates=candidates, space=space, metric="roc_auc"),
            metrics=["roc_auc"],
            cluster={"kind": "address", "address": address},
            cache={"kind": "disk", "folder": str(Path(place, "cache"))},
        )
        with clock:
            found = workflow.run(Path(place, "runs"))
        return {"best": int(found.best.id), "score": float(found.best.score)}
