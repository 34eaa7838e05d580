"""Account: what a run writes of its data, its split and its model, for the report and the model's card."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import platform
from typing import Any

from daskflow.core.folder import RunFolder, write_json
from daskflow.core.journal import plain
from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation, SearchResult
from daskflow.data.blocks import Blocks
from daskflow.data.schema import Target
from daskflow.data.splits import SplitPlan
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.workflow.recording import versions
from daskflow.workflow.workflow import Workflow


def describe(
    folder: RunFolder,
    workflow: Workflow,
    blocks: Blocks,
    target: Target,
    plan: SplitPlan,
    fitted: FittedPreprocessor,
) -> None:
    """Write data.json and versions.json: what the report tells of the data."""
    roles = blocks.roles
    named = {roles.target: "target", roles.group: "group", roles.time: "time", roles.weight: "weight"}
    feature_names = set(blocks.features.names)
    columns = [
        {
            "name": column.name,
            "kind": str(column.kind),
            "type": column.type,
            "role": named.get(column.name, "feature" if column.name in feature_names else "dropped"),
            **blocks.profile[column.name].dump(),
        }
        for column in blocks.schema.columns
    ]
    write_json(
        folder.data,
        {
            "partitions": blocks.n_partitions,
            "files": len({block.name.partition("#")[0] for block in blocks.files}),
            "bytes": blocks.source_bytes,
            "rows": blocks.n_rows,
            "columns": columns,
            "task": str(target.task),
            "target": target.name,
            "classes": [str(label) for label in target.classes],
            "class_counts": list(target.counts),
            "feature_names": list(fitted.feature_names),
            "split": {
                "kind": plan.kind,
                "folds": len(plan.folds),
                "rejected": len(blocks.rejects),
                "unused": blocks.n_rows - sum(plan.sizes.values()),
                "left_out": plan.left_out,
                "balance": workflow.balance.in_words() if workflow.balance.is_active else "",
                "asked": plan.asked,
                "obtained": plan.obtained,
                **plan.sizes,
            },
        },
    )
    write_json(
        folder.versions,
        {**versions(), "platform": platform(), "data": blocks.fingerprint, "command": Path(sys.argv[0]).name},
    )


TOLD = ("decision", "slices", "worst_slices", "drift", "leaks", "importance", "inputs")
"""Details of the evaluation that a model's card keeps."""


def card(
    workflow: Workflow,
    result: SearchResult,
    blocks: Blocks,
    plan: SplitPlan,
    evaluation: Evaluation | None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the model's card: where it comes from, how good it is and for whom, and what speaks against it."""
    metrics = {} if evaluation is None else evaluation.metrics
    details = {} if evaluation is None else evaluation.details
    return {
        "name": workflow.name,
        "run": workflow.id,
        "model": workflow.model.dump(),
        "params": plain(dict(result.best.params)),
        "search": {"metric": result.metric, "score": result.best.score, "trials": len(result.trials)},
        "metrics": values(metrics),
        "rows": {**plan.sizes, **({"left_out": plan.left_out} if plan.left_out else {})},
        "split": {"kind": plan.kind, "folds": len(plan.folds)},
        "data": blocks.fingerprint,
        "versions": versions(),
        "warnings": list(dict.fromkeys(warnings)),
        **{word: plain(details[word]) for word in TOLD if details.get(word)},
    }


def values(metrics: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """Scores as plain values."""
    return {name: {"value": score.value, "low": score.low, "high": score.high} for name, score in metrics.items()}
