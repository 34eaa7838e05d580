"""The report's parts on what the run cost, and how to make it again."""

from __future__ import annotations

from collections import Counter

from daskflow.core.job_accounts import CoreHours
from daskflow.core.overlap import Overlap
from daskflow.core.results import RunRecord
from daskflow.figures import cost as figures
from daskflow.figures import gantt
from daskflow.reports import tables, words
from daskflow.reports import tables_evaluation as more
from daskflow.reports.blocks import Block, Code, Grid, Heading, Part, Pictures, Text
from daskflow.reports.pictures import Picture

COMMAND = "daskflow run workflow.toml"

MOST_JOBS = 20
"""Jobs that are shown at once; the others unfold."""

LOST = {
    "memory": "killed for using more memory than the job asked for (cluster.memory)",
    "node": "lost with the node",
    "failed": "failed",
}
"""What is said of workers that did not come to a planned end."""


def part(record: RunRecord) -> Part | None:
    """Return time, processor time and memory, by stage, and what the slots waited for; None before the first stage
    and the first job."""
    stages = tables.stages(record)
    used = [stage for stage in record.utilisation.get("stages") or () if stage.get("slot_seconds")]
    if stages is None and not used and not record.jobs:
        return None
    blocks: list[Block] = [
        Text(
            f"{words.seconds(record.seconds)} in all, {words.seconds(record.cpu_seconds)} of processor time, "
            f"{words.size(record.peak_memory_bytes)} in the largest process."
        )
    ]
    if stages is not None:
        blocks.append(Grid(stages, "Time of each stage"))
    if record.overlap is not None and record.overlap.stages:
        blocks += _overlap(record.overlap)
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
    return Part("cost", "Cost", [*blocks, *_jobs(record)])


def _jobs(record: RunRecord) -> list[Block]:
    """What the jobs of a batch queue have had, in all and one by one."""
    if not record.jobs:
        return []
    lost = Counter(job.why for job in record.jobs if job.role == "worker" and job.why in ("memory", "node", "failed"))
    said = [f"{words.plural(len(record.jobs), 'job')}: {CoreHours.of(record.jobs)}."]
    said += [f"{words.plural(count, 'worker')} {LOST[why]}." for why, count in lost.items()]
    if record.stopped_because:
        said.append(f"The search was stopped because {record.stopped_because}.")
    about = (
        "Requested: cores times the walltime asked for; used: cores times the time the job ran. Busy: units were "
        "computed. Wasted: units that were lost with their worker, given up or computed again, and jobs whose worker "
        "never came. Idle: the rest; starting, waiting for units, ending."
    )
    first, others = tables.jobs(record).parted(MOST_JOBS)
    blocks: list[Block] = [
        Heading("Core-hours of the jobs", "core-hours"),
        Text(" ".join(said)),
        Text(about, is_note=True),
        Grid(first, "Core-hours of each job", is_wide=True),
    ]
    if others.rows:
        told = f"{words.plural(len(others.rows), 'more job')}"
        blocks.append(Grid(others, "Core-hours of the other jobs", is_wide=True, folded=told))
    return blocks


def _overlap(overlap: Overlap) -> list[Block]:
    """When each stage was at work, and what was saved because some were at the same time."""
    at_once = f" {words.seconds(overlap.at_once)} were saved by stages that ran at the same time."
    text = (
        f"The stages took {words.seconds(overlap.sum_seconds)} in sum, and the run {words.seconds(overlap.wall)}: the "
        f"overlap ratio, sum over wall time, is {overlap.ratio:.2f}.{at_once if overlap.at_once >= 0.05 else ''} "
        "Waiting for another stage does not count."
    )
    caption = (
        "A row for each stage, a bar for each stretch of time in which it did something: the download while some file "
        "came, the scan while some partition was read. Bars above each other were at the same time."
        + (" Dashed lines are where the run was continued." if overlap.starts else "")
    )
    picture = Picture("gantt", "Stages along time", caption, gantt.gantt(overlap), table=tables.spans(overlap))
    return [Heading("Overlap", "overlap"), Text(text), Pictures([picture], whole=["gantt"])]


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
