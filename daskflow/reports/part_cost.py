"""The report's parts on what the run cost, and how to make it again."""

from __future__ import annotations

from daskflow.core.results import RunRecord
from daskflow.figures import cost as figures
from daskflow.reports import tables, words
from daskflow.reports import tables_evaluation as more
from daskflow.reports.blocks import Block, Code, Grid, Heading, Part, Pictures, Text
from daskflow.reports.pictures import Picture

COMMAND = "daskflow run workflow.toml"


def part(record: RunRecord) -> Part | None:
    """Return time, processor time and memory, by stage, and what the slots waited for; None before the first stage."""
    stages = tables.stages(record)
    used = [stage for stage in record.utilisation.get("stages") or () if stage.get("slot_seconds")]
    if stages is None and not used:
        return None
    blocks: list[Block] = [
        Text(
            f"{words.seconds(record.seconds)} in all, {words.seconds(record.cpu_seconds)} of processor time, "
            f"{words.size(record.peak_memory_bytes)} in the largest process."
        )
    ]
    if stages is not None:
        blocks.append(Grid(stages, "Time of each stage"))
    if used:
        total = sum(float(stage["slot_seconds"]) for stage in used)
        busy = sum(float(stage.get("busy") or 0.0) for stage in used)
        caption = (
            f"Of {words.plural(int(record.utilisation['slots']), 'slot')} (fits or partitions at a time) "
            f"{words.share(busy, total)} of the time was computing. No task: the stage had less left to do than "
            "there were slots. Waiting for data: a task was there, what it reads was not. Waiting for workers: "
            "they had not started, or had been lost."
        )
        given = {**record.utilisation, "stages": used}
        picture = Picture(
            "utilisation", "What the slots did", caption, figures.utilisation(given), table=more.utilisation(given)
        )
        blocks += [Heading("Utilisation", "utilisation"), Pictures([picture], whole=["utilisation"])]
    return Part("cost", "Cost", blocks)


def again(record: RunRecord) -> Part:
    """Return how to make the run again: command, seed, fingerprint, versions, the resolved workflow."""
    seed = record.workflow.get("seed")
    text = "The same files, workflow and versions give the same numbers" + (
        f" (seed {seed})" if seed is not None else ""
    )
    blocks: list[Block] = [Text(f"{text}:"), Code(COMMAND, is_copied=True)]
    fingerprint = str(record.versions.get("data", ""))
    facts = {"run": record.id}
    if seed is not None:
        facts["seed"] = str(seed)
    if fingerprint:
        facts["fingerprint of the data"] = fingerprint
    blocks.append(Grid(tables.pairs(facts, ("what", "value")), "What the numbers follow from"))
    versions = {name: value for name, value in record.versions.items() if name != "data"}
    if versions:
        blocks.append(Grid(tables.pairs(versions, ("library", "version")), "Versions", folded="Versions"))
    workflow = tables.workflow_text(record)
    if workflow:
        blocks.append(Code(workflow, folded="The resolved workflow", is_copied=True))
    return Part("again", "Reproduction", blocks)
