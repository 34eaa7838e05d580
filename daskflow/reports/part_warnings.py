"""The report's part on what speaks against trusting the run."""

from __future__ import annotations

from daskflow.core.results import RunRecord
from daskflow.figures import cost as figures
from daskflow.reports import cautions, words
from daskflow.reports import tables_evaluation as more
from daskflow.reports.blocks import Block, Heading, Items, Part, Pictures, Text
from daskflow.reports.pictures import Picture


def part(record: RunRecord) -> Part | None:
    """Return all cautions, and how far test rows are from training rows; None where there is nothing to say."""
    found = cautions.found(record)
    details = words.details(record)
    blocks: list[Block] = []
    if found:
        blocks.append(Items([(one.kind, one.sentence, one.part) for one in found]))
    drift = list(details.get("drift") or ())
    if drift:
        drifted = sum(bool(row.get("is_drifted")) for row in drift)
        caption = (
            "Distance between the training and the test rows of each column: Kolmogorov-Smirnov (KS) of numbers, total "
            f"variation (TV) of levels. Orange ones ({drifted} of {len(drift)}) are beyond what chance explains, "
            "the grey mark."
        )
        picture = Picture(
            "drift", "Training rows against test rows", caption, figures.drift(drift), table=more.drift(drift)
        )
        blocks += [Heading("Drift", "drift"), Pictures([picture], whole=["drift"])]
    if not blocks:
        if record.evaluation is None or not record.evaluation.metrics:
            return None
        blocks.append(Text("Nothing that this page looks at speaks against the run."))
    return Part("warnings", "Warnings", blocks)
