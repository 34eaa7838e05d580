"""The report's parts on the search and the best model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.results import RunRecord
from daskflow.core.space import told
from daskflow.figures import parallel, search, why
from daskflow.figures.style import score as score_text
from daskflow.reports import tables, words
from daskflow.reports import tables_evaluation as more
from daskflow.reports.blocks import Block, Grid, Heading, Live, Part, Pictures, Text
from daskflow.reports.pictures import Picture
from daskflow.reports.tables import Table

OPEN_RANKS = 12
"""Candidates of the leaderboard that are shown unfolded."""


def part(record: RunRecord) -> Part | None:
    """Return the candidates: scores, curves, parameters, leaderboard, failures; None before the first."""
    result = record.search
    board = tables.leaderboard(record)
    if result is None or board is None:
        return None
    blocks: list[Block] = []
    if result.ended:
        blocks.append(Text(f"The search did not come to its own end: {result.ended.rstrip('.')}."))
    details = words.details(record)
    drawn = search.trials(result)
    if drawn.shown:
        blocks += _pictures(drawn, details)
    blocks.append(Heading("Leaderboard"))
    likeness = words.likeness(result)
    if likeness:
        blocks.append(Text(likeness))
    rows = range(min(len(board.rows), len(drawn.shown)))
    can_mark = "trials" if len(drawn.shown) > 1 else ""
    blocks += _leaderboard(board, list(rows) if can_mark else [], can_mark)
    if len(result.trials) > tables.TOP_TRIALS:
        text = f"The best {tables.TOP_TRIALS} of {len(result.trials)} candidates; trials.csv beside this page has all."
        blocks.append(Text(text, is_note=True))
    failures = tables.failures(record)
    if failures:
        blocks += [Heading("Failed candidates"), Grid(failures, "Failed candidates", True)]
    return Part("search", "Search", blocks)


def _leaderboard(board: Table, rows: Sequence[int], marks: str) -> list[Block]:
    """The leaderboard, all but the first ranks folded away."""
    if len(board.rows) <= OPEN_RANKS + 3:
        return [Grid(board, "Leaderboard", True, marks=marks, rows=rows)]
    first, rest = board.parted(OPEN_RANKS)
    folded = f"Ranks {OPEN_RANKS + 1} to {len(board.rows)}"
    return [
        Grid(first, "Leaderboard", True, marks=marks, rows=rows[:OPEN_RANKS]),
        Grid(rest, f"Leaderboard, ranks from {OPEN_RANKS + 1}", True, folded, marks, rows[OPEN_RANKS:]),
    ]


def _pictures(drawn: search.Trials, details: Mapping[str, Any]) -> list[Block]:
    """Figures that share their marks, and the line that tells what is marked."""
    result = drawn.result
    blocks: list[Block] = []
    if len(drawn.shown) > 1:
        blocks.append(
            Live("trials", "Tap candidates in a figure or tick them in the leaderboard: they are marked in all.")
        )
    spread = "the line from the worst to the best fold" if result.n_folds > 1 else "one validation part"
    caption = f"Candidates from best to worst: the dot is {result.metric}, {spread}; the best in orange."
    if any(trial.low == trial.low for trial in drawn.shown):
        caption = (
            f"Candidates from best to worst: the dot is {result.metric}, the line its 95 % interval; "
            "the best in orange, those told apart from it hollow."
        )
    found = [Picture("leaderboard", "Scores of the best candidates", caption, search.leaderboard(drawn))]
    if any(len(trial.curve) > 1 for trial in result.trials):
        caption = (
            f"{result.metric} after each resource; a line that ends early was stopped by the search; "
            "the best in orange."
        )
        found.append(Picture("learning_curves", "Learning curves", caption, search.learning_curves(drawn)))
    blocks.append(Pictures(found, whole=[picture.key for picture in found] if len(found) == 1 else ()))
    side = []
    made = parallel.parallel(drawn)
    if made is not None:
        n_axes = len(made.xaxis[0].ticker.ticks)
        caption = (
            f"Each line is a candidate, from its parameters to its {result.metric}; good ones orange, bad ones pale "
            "blue. Dragging a box around dots of an axis marks their candidates, where dragging marks."
        )
        side.append(Picture("parallel", "Parallel coordinates", caption, made, 90 * n_axes))
    found_importance = details.get("parameter_importance") or {}
    if found_importance.get("parameters"):
        rows = sorted(found_importance["parameters"], key=lambda row: -(row.get("value") or 0.0))
        made = why.importance("parameter_importance", rows, "share of the scores' spread that it explains", "name")
        n_trials = words.plural(int(found_importance.get("trials") or 0), "candidate")
        method = str(found_importance.get("method") or "Share of the scores' spread that each parameter explains")
        caption = (
            f"{method[:1].upper()}{method[1:]}; {found_importance.get('metric', result.metric)} of {n_trials}, "
            "the line is the 95 % interval."
        )
        table = more.importances(rows, "parameter", "name")
        side.append(Picture("parameter_importance", "Importance of the parameters", caption, made, table=table))
    if side:
        blocks.append(Pictures(side, whole=["parallel"]))
    if found_importance.get("note"):
        blocks.append(Text(str(found_importance["note"]), is_note=True))
    small = _parameters(drawn)
    if small:
        blocks += [Heading("What each parameter did"), Pictures(small, "small")]
    return blocks


def _parameters(drawn: search.Trials) -> list[Picture]:
    """Score against each parameter that varied."""
    best = drawn.result.best.params
    found = []
    for place, (name, made) in enumerate(search.parameters(drawn).items()):
        caption = f"The best candidate has {words.value_text(best.get(name))}."
        if name not in best:
            caption = "The best candidate is of a family that has no such parameter."
        found.append(Picture(f"parameter_{place}", name, caption, made))
    return found


def best(record: RunRecord) -> Part | None:
    """Return the candidate that was kept, with its parameters; None before the first."""
    if record.search is None:
        return None
    kept = record.search.best
    after = f" after resource {kept.resource:,}" if kept.resource > 1 else ""
    score = f"{record.search.metric} {score_text(kept.score)}"
    text = f"{words.model_name(record)}, trial {kept.id}: {score} in validation{after}."
    parameters: Table = tables.pairs(told(kept.params), ("parameter", "value"))
    blocks: list[Block] = [Text(text)]
    if parameters.rows:
        blocks.append(Grid(parameters, "Parameters of the best model"))
    else:
        blocks.append(Text("No parameter was searched.", is_note=True))
    return Part("best", "Best model", blocks)
