"""The report: a run as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path

from bokeh.embed import components
from markupsafe import Markup

from daskflow.core.journal import write_atomically
from daskflow.core.results import RunRecord
from daskflow.core.space import told
from daskflow.reports import pictures, tables, words
from daskflow.reports.shell import environment, library, text_of


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
    groups = {
        "data": pictures.of_data(record),
        "search": pictures.of_search(record),
        "parameters": pictures.of_parameters(record),
        "metrics": pictures.of_metrics(record),
        "test": pictures.of_test(record),
    }
    figures = {picture.key: picture.figure for group in groups.values() for picture in group}
    script, places = components(figures) if figures else ("", {})
    return (
        environment()
        .get_template("page.html")
        .render(
            record=record,
            answer=words.answer(record),
            tiles=_tiles(record),
            baseline=words.baseline(record),
            notes=list(record.evaluation.details.get("notes", ())) if record.evaluation else [],
            pictures=groups,
            places={key: Markup(place) for key, place in places.items()},
            figure_script=Markup(script),
            library=Markup(library()) if figures else "",
            style=Markup(text_of("page.css")),
            look=Markup(text_of("page.js")),
            columns=tables.columns(record),
            split=tables.split(record),
            leaderboard=tables.leaderboard(record),
            failures=tables.failures(record),
            metrics=tables.metrics(record),
            per_class=tables.per_class(record.evaluation.details) if record.evaluation else None,
            stages=tables.stages(record),
            parameters=tables.pairs(told(record.search.best.params), ("parameter", "value")) if record.search else None,
            versions=tables.pairs(
                {name: value for name, value in record.versions.items() if name != "data"}, ("what", "version")
            ),
            fingerprint=str(record.versions.get("data", "")),
            workflow_text=tables.workflow_text(record),
            limits={"trials": tables.TOP_TRIALS, "columns": tables.MAX_COLUMNS, "failures": tables.MAX_FAILURES},
            words=words,
        )
    )


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
        tiles.append(("rows", f"{record.data['rows']:,}", f"{partitions}, {words.size(record.data.get('bytes', 0))}"))
    if record.search:
        trials = record.search.trials
        failed = sum(bool(trial.error) for trial in trials)
        tiles.append(("candidates", f"{len(trials):,}", f"{failed} failed" if failed else "none failed"))
    if record.seconds:
        tiles.append(("time", words.seconds(record.seconds), f"{words.seconds(record.cpu_seconds)} of processor"))
    if record.peak_memory_bytes:
        tiles.append(("memory", words.size(record.peak_memory_bytes), "largest process"))
    return tiles
