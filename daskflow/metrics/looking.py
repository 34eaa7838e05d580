"""The visit to one block of rows: what every state of a tally sees of it, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.seeds import seed_of
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric, kernels
from daskflow.metrics.asked import Asked, Families
from daskflow.metrics.bootstrap import BUCKETS, SHIFT, Places, places
from daskflow.metrics.calibration import TENTHS, Calibration
from daskflow.metrics.labels import cells_of
from daskflow.metrics.probability import Brier, LogLoss, LossMetric
from daskflow.metrics.residuals import Residuals
from daskflow.metrics.rows import Rows
from daskflow.metrics.scores import Scores
from daskflow.metrics.states import Cells, Columns

Floats = NDArray[np.float64]

CHUNK_ROWS = 2**16
"""Rows looked at together: what is computed of them stays in the processor's cache."""

NEEDS = ("labels", "predictions", "scores", "probabilities")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows that have a weight.

    Attributes
    ----------
    y : ndarray of shape (n_rows, ...)
        Truth.
    given : mapping of str to ndarray
        Predictions by what metrics need.
    weight : ndarray of shape (n_rows,), or None
        None for weights of 1.
    place : ndarray of uint32, or None
        None without resampling.
    """

    y: NDArray[Any]
    given: dict[str, NDArray[Any]]
    weight: Floats | None
    place: Places | None

    def pieces(self) -> Iterator[Block]:
        """Yield a few rows at a time."""
        for first in range(0, len(self.y), CHUNK_ROWS):
            rows = slice(first, first + CHUNK_ROWS)
            yield Block(
                self.y[rows],
                {need: values[rows] for need, values in self.given.items()},
                None if self.weight is None else self.weight[rows],
                None if self.place is None else self.place[rows],
            )

    def weights(self) -> Floats:
        """Return the weights as numbers."""
        return np.ones(len(self.y)) if self.weight is None else self.weight

    def buckets(self) -> NDArray[np.int64] | None:
        """Return the rows' buckets."""
        return None if self.place is None else (self.place >> np.uint32(SHIFT)).astype(np.int64)


def look(asked: Asked, y: Any, predictions: Predictions, weight: Any, unit: Any, start: int) -> dict[str, Any]:
    """Return the fields of a `daskflow.metrics.tally.Tally` of one block of rows."""
    truth = np.asarray(y)
    given, lacking = _given(predictions, asked.task)
    _check(truth, given, weight, unit)
    n_rows = len(truth)
    found: dict[str, Any] = {
        "n_rows": n_rows,
        "has_weight": weight is not None,
        "has_unit": unit is not None,
        "lacking": lacking,
    }
    block = Block(
        truth,
        given,
        None if weight is None else np.asarray(weight, dtype=np.float64),
        places(n_rows, asked.draw_seed, unit, start) if asked.replicates else None,
    )
    order = None
    if block.weight is not None and not block.weight.all():
        order = np.flatnonzero(block.weight)
        block = Block(
            truth[order],
            {need: values[order] for need, values in given.items()},
            block.weight[order],
            None if block.place is None else block.place[order],
        )
    if not len(block.y):
        return found
    families = asked.families.without(lacking)
    found |= _sizes(block)
    packed, losses = look_at_packed(asked, block)
    found |= packed
    if not packed:
        found |= {"broken": {need: n for need, values in block.given.items() if (n := _broken(values))}}
        if asked.task in ("binary", "multiclass"):
            found |= _classified(asked, block)
    found["columns"] = _columns(families, block, losses)
    if asked.task == "regression" and "labels" in block.given:
        numbers = places(n_rows, seed_of(asked.seed, "residuals"), start=start)
        found["residuals"] = Residuals.of(block.y, block.given["labels"], numbers if order is None else numbers[order])
    found |= _own(families.others, block)
    return found


def _given(predictions: Predictions, task: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """What the predictions give by what metrics need, and why they do not give the rest."""
    found: dict[str, NDArray[Any]] = {}
    lacking: dict[str, str] = {}
    for need in NEEDS:
        try:
            found[need] = np.asarray(predictions.of(need))
        except DataError as error:
            lacking[need] = str(error)
    if "labels" in lacking and "probabilities" in found and task in ("binary", "multiclass"):
        given = found["probabilities"]
        labels = (given > 0.5).astype(np.int64) if given.ndim == 1 else given.argmax(axis=1)
        found |= {"labels": labels, "predictions": labels}
        del lacking["labels"], lacking["predictions"]
    return found, lacking


def _check(y: NDArray[Any], given: dict[str, NDArray[Any]], weight: Any, unit: Any) -> None:
    """Raise where arrays do not fit each other."""
    others = {**given, **({} if weight is None else {"weight": weight}), **({} if unit is None else {"unit": unit})}
    wrong = {name: len(values) for name, values in others.items() if len(values) != len(y)}
    if wrong:
        said = ", ".join(f"{name} {length}" for name, length in wrong.items())
        raise DataError(f"y has {len(y)} rows, and these have another number: {said}. Give all of the same rows.")
    if weight is not None:
        values = np.asarray(weight, dtype=np.float64)
        bad = np.flatnonzero(~((values >= 0) & (values < np.inf)))
        if len(bad):
            raise DataError(
                f"The weight of row {bad[0]} is {values[bad[0]]}, and weights are 0 or more; {len(bad)} rows are so."
            )


def _sizes(block: Block) -> dict[str, Any]:
    if block.weight is None:
        n_rows = len(block.y)
        return {"rows": n_rows, "weight": float(n_rows), "squares": float(n_rows)}
    return {"rows": len(block.y), "weight": float(block.weight.sum()), "squares": float((block.weight**2).sum())}


def _broken(values: NDArray[Any]) -> int:
    """Rows with a nan."""
    if not np.issubdtype(values.dtype, np.floating) or not np.isnan(np.sum(values)):
        return 0
    return int(np.isnan(values).reshape(len(values), -1).any(axis=1).sum())


def _classified(asked: Asked, block: Block) -> dict[str, Any]:
    """Confusion, scores and calibration of class codes."""
    n_classes = len(asked.classes)
    found: dict[str, Any] = {}
    codes = block.y.astype(np.int64, copy=False)
    counts = np.bincount(codes, minlength=n_classes) if codes.min() >= 0 else np.zeros(0)
    if len(counts) != n_classes:
        cells_of(codes, codes, n_classes)
    found["class_rows"] = counts
    if "labels" in block.given:
        found |= _confusion(n_classes, block)
    scores = block.given.get("scores")
    if scores is not None and not _broken(scores):
        together = [
            Scores(n_classes, most=asked.most_scores).with_rows(
                piece.y.astype(np.int64, copy=False), piece.given["scores"], piece.place, piece.weight
            )
            for piece in block.pieces()
        ]
        found["scores"] = together[0].merged(*together[1:]) if len(together) > 1 else together[0]
    probabilities = block.given.get("probabilities")
    if asked.task == "binary" and probabilities is not None and not _broken(probabilities):
        given = probabilities if probabilities.ndim == 1 else probabilities[:, -1]
        found["calibration"] = Calibration.of(codes == 1, given, block.weight)
    return found


def _confusion(n_classes: int, block: Block) -> dict[str, Any]:
    """Rows and weights by true and predicted class."""
    n_cells = n_classes**2
    counts = np.zeros(n_cells, dtype=np.int64)
    cells: Cells | None = None
    n_keys = n_cells * (1 if block.place is None else BUCKETS)
    dense = np.zeros(n_keys) if n_keys <= max(2**17, 4 * len(block.y)) else None
    for piece in block.pieces():
        cell, _ = cells_of(piece.y, piece.given["labels"], n_classes)
        counts += np.bincount(cell, minlength=n_cells)
        bucket = piece.buckets()
        if dense is None:
            own = Cells.of(n_classes, cell, bucket, piece.weight)
            cells = own if cells is None else cells.merged(own)
        else:
            key = cell if bucket is None else bucket * n_cells + cell
            dense += np.bincount(key, piece.weight, n_keys)
    if dense is not None:
        used = np.flatnonzero(dense)
        cells = Cells(n_classes, used, dense[used])
    return {"counts": counts.reshape(n_classes, n_classes), "cells": cells}


def look_at_packed(asked: Asked, block: Block) -> tuple[dict[str, Any], dict[type[LossMetric], float]]:
    """Look at all there is to probabilities of two classes in one visit; nothing where rows need more than that.

    Returns
    -------
    fields : dict
        Of the tally; empty where rows are resampled or weighted, or scores are not probabilities.
    losses : dict
        Sums of the losses that were taken along.
    """
    scores, probabilities = (block.given.get(need) for need in ("scores", "probabilities"))
    if asked.task != "binary" or block.place is not None or block.weight is not None or scores is None:
        return {}, {}
    if scores is not probabilities or scores.ndim != 1 or scores.dtype != np.float64:
        return {}, {}
    n_rows, labels = len(scores), block.given["labels"].astype(np.int64, copy=False)
    codes = block.y.astype(np.int64, copy=False)
    singles = scores.astype(np.float32)
    raw = singles.view(np.uint32) if np.array_equal(singles, scores) else scores.view(np.uint64)
    keys, losses, tenths = np.empty_like(raw), np.zeros(2), np.zeros((TENTHS, 5))
    true, predicted, both = 0, 0, 0
    for first in range(0, n_rows, CHUNK_ROWS):
        rows = slice(first, first + CHUNK_ROWS)
        own = kernels.pack_scores(codes[rows], labels[rows], scores[rows], raw[rows], keys[rows], losses, tenths)
        if own[0] < 0:  # the way that every row can go also names a code that is no class
            return {}, {}
        true, predicted, both = true + own[0], predicted + own[1], both + own[2]
    counts = np.array([[n_rows - true - predicted + both, predicted - both], [true - both, both]])
    used = np.flatnonzero(counts)
    return {
        "class_rows": np.array([n_rows - true, true]),
        "counts": counts,
        "cells": Cells(2, used, counts.ravel()[used].astype(np.float64)),
        "scores": Scores(2, most=asked.most_scores).with_packed(keys, true),
        "calibration": Calibration(tenths),
    }, {LogLoss: float(losses[0]), Brier: float(losses[1])}


def _columns(families: Families, block: Block, known: Mapping[type[LossMetric], float]) -> Columns:
    """Sums of losses, unless they are known, and of the columns of metrics of sums."""
    layout = families.layout
    wanted = [number for number, metric in enumerate(layout.losses) if type(metric) not in known]
    if not (wanted or layout.sums) and block.place is None and block.weight is None:
        row = [float(len(block.y)), *(known[type(metric)] for metric in layout.losses)]
        return Columns(np.zeros(1, dtype=np.int64), np.array([row]), (), ())
    weight = block.weights()
    centres = [
        metric.centre(block.y[:CHUNK_ROWS], _first(block, metric, CHUNK_ROWS), weight[:CHUNK_ROWS])
        for metric in layout.sums
    ]
    sums: Floats | None = None
    widths: tuple[int, ...] = ()
    for piece in block.pieces():
        weights = piece.weights()
        first = np.zeros((len(weights), 1 + len(layout.losses)))
        first[:, 0] = weights
        for number in wanted:
            first[:, 1 + number] = _loss(layout.losses[number], piece) * weights
        blocks = [first]
        blocks += [
            metric.columns(piece.y, piece.given[metric.needs], weights, centre)
            for metric, centre in zip(layout.sums, centres, strict=True)
        ]
        whole = np.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0]
        if sums is None:
            widths = tuple(own.shape[1] for own in blocks[1:])
            sums = np.zeros((1 if block.place is None else BUCKETS, whole.shape[1]))
        bucket = piece.buckets()
        if bucket is None:
            sums[0] += np.ascontiguousarray(whole.T).sum(axis=1)
        else:
            kernels.add_columns(whole, bucket, sums)
    if sums is None:
        raise ValueError("a block without rows has no sums")
    for number, metric in enumerate(layout.losses):
        if number not in wanted:
            sums[0, 1 + number] = known[type(metric)]
    used = np.flatnonzero(sums[:, 0])
    return Columns(used, sums[used], tuple(centres), widths)


def _first(block: Block, metric: Metric, n_rows: int) -> NDArray[Any]:
    return block.given[metric.needs][:n_rows]


def _loss(metric: Any, piece: Block) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(metric.losses(piece.y, piece.given[metric.needs]), dtype=np.float64)


def _own(metrics: Sequence[Metric], block: Block) -> dict[str, Any]:
    """States of metrics that share none, and rows to resample them by."""
    if not metrics:
        return {}
    own = {metric.name: metric.of(block.y, block.given[metric.needs], block.weights()) for metric in metrics}
    if block.place is None:
        return {"own": own}
    columns = {"y": block.y, **{metric.needs: block.given[metric.needs] for metric in metrics}}
    return {"own": own, "sample": Rows(columns, block.place, block.weights(), len(block.y)).thinned()}
