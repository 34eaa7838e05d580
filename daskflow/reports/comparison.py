"""The comparison's page: runs side by side as one HTML file that needs no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bokeh.embed import components
from markupsafe import Markup

from daskflow.core.comparison import Change, Compared, ComparedRun, MetricDifference
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Score
from daskflow.figures import comparison as figures
from daskflow.figures import look
from daskflow.figures.style import score as score_text
from daskflow.reports import words
from daskflow.reports.pictures import Picture
from daskflow.reports.shell import environment, library, style_of
from daskflow.reports.tables import Table

MAX_ROWS = 200
"""Rows of a table of changes."""

CURVES = (
    ("roc", "ROC", "The share of positives found against that of negatives wrongly taken.", figures.roc),
    ("precision_recall", "Precision and recall", "Each at every threshold.", figures.precision_recall),
    ("calibration", "Calibration", "On the dashed line a probability is what it says.", figures.calibration),
)


def write(compared: Compared, path: Path) -> None:
    """Write the page of a comparison; replaced atomically.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    write_atomically(Path(path), render(compared).encode())


def render(compared: Compared) -> str:
    """Return the page's HTML: styles, scripts and data inside, every name and value escaped."""
    pictures = {"gains": _gains(compared), "curves": _curves(compared), "cost": _cost(compared)}
    drawn = {picture.key: picture.figure for group in pictures.values() for picture in group}
    script, places = components(drawn) if drawn else ("", {})
    curved = max((len(_having(compared, key)) for key, _, _, _ in CURVES), default=0)
    return (
        environment()
        .get_template("comparison.html")
        .render(
            labels=compared.labels,
            answer=compared.sentences,
            cards=[_card(compared, place) for place in range(len(compared.runs))],
            hows=[(other.label if len(compared.against) > 1 else "", other.how) for other in compared.against],
            test=_test(compared),
            validation=_validation(compared.runs),
            parameters=_changes(compared.parameters, compared.labels, "parameter"),
            settings=_changes(compared.settings, compared.labels, "setting"),
            split=_changes(compared.split, compared.labels, "part"),
            versions=_changes(compared.versions, compared.labels, "what"),
            data=[change.sentence(compared.baseline.label) for change in compared.data],
            columns=_columns(compared),
            fingerprints=_fingerprints(compared),
            stages=_stages(compared.runs),
            notes=compared.notes,
            shown=len(figures.PALETTE),
            hidden=max(0, curved - len(figures.PALETTE)),
            pictures=pictures,
            places={key: Markup(place) for key, place in places.items()},
            figure_script=Markup(script),
            library=Markup(library()) if drawn else "",
            style=style_of("comparison.css"),
            look=Markup(look.script()),
            words=words,
        )
    )


def _card(compared: Compared, place: int) -> dict[str, str]:
    """A run in a nutshell."""
    run = compared.runs[place]
    record = run.record
    score = record.evaluation.metrics.get(compared.metric) if record.evaluation else None
    basis = f"test {compared.metric}"
    if score is not None and words.interval(score):
        basis += f", 95 %: {words.interval(score)}"
    return {
        "label": run.label,
        "colour": figures.PALETTE[place] if place < len(figures.PALETTE) else "var(--line)",
        "value": "" if score is None else _number(score.value),
        "basis": basis,
        "model": words.model_name(record),
        "cost": f"{words.seconds(record.seconds)}, {words.seconds(record.cpu_seconds)} of processor",
        "status": f"{record.status}, run {record.id}",
    }


def _test(compared: Compared) -> Table:
    """Test metrics side by side, with their differences."""
    several = len(compared.against) > 1
    head = ["metric", *(["run"] if several else []), "difference (95 %)", "verdict", compared.baseline.label]
    head.append("the run" if several else compared.against[0].label)
    rows: list[tuple[str, ...]] = []
    marked = set()
    for name in compared.metrics:
        for other in compared.against:
            one = other.differences.get(name)
            if one is not None:
                if name == compared.metric:
                    marked.add(len(rows))
                cells = [name, *([other.label] if several else []), str(one), str(one.verdict)]
                rows.append((*cells, _estimate(one.first), _estimate(one.second)))
    n_texts = 2 if several else 1
    numbers = frozenset({n_texts, n_texts + 2, n_texts + 3})
    return Table(tuple(head), tuple(rows), numbers, frozenset(marked))


def _estimate(score: Score) -> str:
    """A value with its interval."""
    bounds = words.interval(score)
    return f"{_number(score.value)} ({bounds})" if bounds else _number(score.value)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else score_text(value)


def _validation(runs: Sequence[ComparedRun]) -> Table:
    """The best candidate of each search."""
    rows = []
    for run in runs:
        search = run.record.search
        if search is not None:
            best = search.best
            scored = sum(not math.isnan(trial.score) for trial in search.trials)
            rows.append(
                (
                    run.label,
                    search.metric,
                    _number(best.score),
                    words.bounds(best.low, best.high) or "-",
                    best.id,
                    f"{scored:,}",
                )
            )
    head = ("run", "metric", "best score", "95 % interval", "trial", "candidates scored")
    return Table(head, tuple(rows), frozenset({2, 3, 5}))


def _changes(changes: Sequence[Change], labels: Sequence[str], what: str) -> Table:
    """Values that differ, run by run."""
    rows = [(change.word, *(_value(value) for value in change.values)) for change in changes[:MAX_ROWS]]
    rest = len(changes) - MAX_ROWS
    if rest > 0:
        rows.append((f"and {rest} more", *("" for _ in labels)))
    return Table((what, *labels), tuple(rows))


def _value(value: Any) -> str:
    """A value in a cell, without what lets somebody in."""
    return "-" if value is None else words.without_credentials(words.value_text(value))


def _columns(compared: Compared) -> Table:
    """Columns that are not the same."""
    rows: list[tuple[str, str, str]] = []
    for change in compared.data:
        rows += [(change.label, name, "added") for name in change.added]
        rows += [(change.label, name, "removed") for name in change.removed]
        rows += [(change.label, name, f"type: {before} -> {after}") for name, before, after in change.retyped]
        rows += [(change.label, name, f"role: {before} -> {after}") for name, before, after in change.reassigned]
    return Table(("run", "column", "what"), tuple(rows[:MAX_ROWS]))


def _fingerprints(compared: Compared) -> Table:
    """What the data of each run are known by."""
    rows = [
        (run.label, str(run.record.versions.get("data", "-")), f"{run.record.data.get('rows') or 0:,}")
        for run in compared.runs
    ]
    return Table(("run", "fingerprint of the data", "rows"), tuple(rows), frozenset({2}))


def _stages(runs: Sequence[ComparedRun]) -> Table:
    """Seconds of each stage, run by run, and the memory."""
    taken: list[Mapping[str, float]] = [
        {str(stage["stage"]): float(stage["seconds"]) for stage in run.record.stages} for run in runs
    ]
    names = dict.fromkeys(name for stages in taken for name in stages)
    rows = [(name, *(words.seconds(s[name]) if name in s else "-" for s in taken)) for name in names]
    rows.append(("in all", *(words.seconds(run.record.seconds) for run in runs)))
    rows.append(("processor time", *(words.seconds(run.record.cpu_seconds) for run in runs)))
    rows.append(("largest process", *(words.size(run.record.peak_memory_bytes) for run in runs)))
    return Table(("stage", *(run.label for run in runs)), tuple(rows), frozenset(range(1, len(runs) + 1)))


def _gains(compared: Compared) -> list[Picture]:
    """Forest plots of the differences: shares on one scale, what is in units of its own each by itself."""
    known = {
        name: [(other.label, other.differences[name]) for other in compared.against if name in other.differences]
        for name in compared.metrics
    }
    shares: list[figures.Gain] = []
    found: list[Picture] = []
    baseline = compared.baseline.label
    several = len(compared.against) > 1
    for name, rows in known.items():
        drawn = [_gain(label, one, name, several=several) for label, one in rows if not math.isnan(one.low)]
        if all(0 <= score.value <= 1 for _, one in rows for score in (one.first, one.second)):
            shares += drawn
        elif drawn:
            key = f"gain_{len(found)}"
            made = figures.gains(key, drawn, f"better than {baseline}, in units of {name}")
            found.append(Picture(key, f"Difference in {name}", _caption(baseline), made))
    if shares:
        made = figures.gains("gain_shares", shares, f"better than {baseline}")
        is_first = any(gain.name.partition(":")[0] == compared.metric for gain in shares)
        found.insert(
            0 if is_first else len(found),
            Picture("gain_shares", "Differences of the test metrics", _caption(baseline), made),
        )
    return found


def _caption(baseline: str) -> str:
    return (
        f"Right of the dashed line is better than {baseline}, whichever way a metric goes; lines are 95 % intervals. "
        "Hollow and grey is what cannot be told apart."
    )


def _gain(label: str, one: MetricDifference, metric: str, *, several: bool) -> figures.Gain:
    """A difference, turned so that more is better."""
    bounds = (one.low, one.high) if one.greater_is_better else (-one.high, -one.low)
    value = one.value if one.greater_is_better else -one.value
    return figures.Gain(f"{metric}: {label}" if several else metric, value, *bounds, str(one), one.verdict)


def _having(compared: Compared, key: str) -> dict[str, Any]:
    """What the runs that have it are drawn from."""
    return {
        run.label: run.record.evaluation.details[key]
        for run in compared.runs
        if run.record.evaluation and run.record.evaluation.details.get(key)
    }


def _curves(compared: Compared) -> list[Picture]:
    """Curves of the runs on one ground."""
    found = []
    for key, title, caption, draw in CURVES:
        curves = _having(compared, key)
        if curves:
            found.append(Picture(f"compared_{key}", title, f"{caption} Each run on its own test rows.", draw(curves)))
    return found


def _cost(compared: Compared) -> list[Picture]:
    """Time and processor time."""
    records = [run.record for run in compared.runs]
    made = figures.cost(compared.labels, [r.seconds for r in records], [r.cpu_seconds for r in records])
    caption = "Wall time from the first to the last stage over all invocations, and processor time of all processes."
    return [Picture("compared_cost", "Time", caption, made)]
