"""The report: a run as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from daskflow.core.journal import write_atomically
from daskflow.core.results import RunRecord
from daskflow.reports import (
    answering,
    part_cost,
    part_data,
    part_search,
    part_slices,
    part_test,
    part_warnings,
    part_why,
    tables,
    words,
)
from daskflow.reports.blocks import Part
from daskflow.reports.shell import drawing, environment, library, script_of, style_of

PARTS = (
    part_data.data,
    part_data.split,
    part_search.part,
    part_search.best,
    part_test.metrics,
    part_test.decision,
    part_test.in_curves,
    part_slices.part,
    part_why.part,
    part_warnings.part,
    part_cost.part,
    part_cost.again,
)
"""The parts of the report in reading order."""


def write(record: RunRecord, path: Path) -> None:
    """Write the report of a run, finished or not.

    Parameters
    ----------
    record : RunRecord
        Whatever there is: parts without content are left out.
    path : Path
        The HTML file; replaced atomically.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    write_atomically(Path(path), render(record).encode())


def render(record: RunRecord) -> str:
    """Return the report's HTML: styles, scripts and data inside, every name and value escaped."""
    made = parts(record)
    figures = {key: one for part in made for key, one in part.figures().items()}
    drawn, places = drawing(figures)
    return (
        environment()
        .get_template("page.html")
        .render(
            record=record,
            learned=answering.learned(record),
            answer=answering.answer(record),
            tiles=_tiles(record),
            parts=made,
            places=places,
            drawing=drawn,
            library=Markup(library()) if figures else "",
            style=style_of("report.css"),
            look=script_of("report.js"),
            words=words,
        )
    )


def parts(record: RunRecord) -> list[Part]:
    """Return the parts of the report that a record has content for."""
    found = [make(record) for make in PARTS]
    return [part for part in found if part is not None]


def _tiles(record: RunRecord) -> list[tuple[str, str, str]]:
    """The numbers at the top: name, value, what it rests on."""
    tiles = []
    metric = words.main_metric(record)
    if record.evaluation and metric in record.evaluation.metrics:
        score = record.evaluation.metrics[metric]
        bounds = words.interval(score)
        tiles.append((f"test {metric}", tables.estimate(score), f"95 %: {bounds}" if bounds else "no interval"))
    if record.data.get("rows") is not None:
        partitions = words.plural(int(record.data.get("partitions", 0)), "partition")
        n_bytes = record.data.get("bytes") or 0  # a generated table has none
        basis = f"{partitions}, {words.size(n_bytes)}" if n_bytes else partitions
        tiles.append(("rows", f"{record.data['rows']:,}", basis))
    if record.search:
        trials = record.search.trials
        failed = sum(bool(trial.error) for trial in trials)
        tiles.append(("candidates", f"{len(trials):,}", f"{failed} failed" if failed else "none failed"))
    if record.seconds:
        tiles.append(("time", words.seconds(record.seconds), f"{words.seconds(record.cpu_seconds)} of processor"))
    if record.peak_memory_bytes:
        tiles.append(("memory", words.size(record.peak_memory_bytes), "largest process"))
    return tiles
