"""The model card that a person reads, as Markdown, after Mitchell et al. (2019), "Model cards for model reporting".

It is written from the plain values of ``card.json``. Every key may be absent; what is there is told: ``name``,
``description`` and ``intended_use`` (the user's own words), ``run``, ``model``, ``params``, ``search`` (metric, score,
trials), ``data`` (the fingerprint), ``source`` (kind, derive, joins), ``rows`` (by part), ``split`` (kind, folds),
``metrics`` (value, low, high by name), ``decision``, ``slices``, ``worst_slices``, ``drift``, ``leaks`` (shaped as in
the details of an evaluation), ``warnings`` (sentences), ``versions``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daskflow.bundle.steady_members import unsteady
from daskflow.data.decision import Decision
from daskflow.data.schema import ColumnKind, Schema, Target

MOST_SLICES, MOST_COLUMNS = 10, 40
"""Rows of the tables; the run's report and the folder's JSON have the rest."""

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")
"""Characters that mean something in Markdown or HTML."""

KINDS = {
    ColumnKind.NUMERIC: "numbers",
    ColumnKind.BOOLEAN: "booleans",
    ColumnKind.CATEGORICAL: "text",
    ColumnKind.DATETIME: "times",
}

UNITS = {"train": "training", "validation": "validation", "test": "test", "left_out": "left out"}


def card_text(card: Mapping[str, Any], estimator: Any, schema: Schema, target: Target, decision: Decision) -> str:
    """Return the text of ``card.md``.

    Parameters
    ----------
    card : mapping
        Plain values, as ``card.json`` holds them.
    estimator : object
        Its class is named.
    schema : Schema
        The feature columns.
    target : Target
        What is predicted.
    decision : Decision
        Calibration and threshold.
    """
    parts = [
        f"# Model card: {_text(card.get('name') or 'unnamed')}",
        _what(card, estimator, target),
        _use(card, target),
        _data(card, schema, target),
        _metrics(card),
        _slices(card),
        _decision(card, decision, target),
        _limits(card, schema, estimator),
        _columns(schema),
        _origin(card, estimator),
        LOADING,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(card: Mapping[str, Any], estimator: Any, target: Target) -> str:
    """What the model is."""
    family = _mapping(card.get("model")).get("kind", "")
    kinds = {"binary": "one of two classes", "multiclass": "one of several classes", "regression": "a number"}
    lines = [
        f"Predicts **{_text(target.name)}**, {kinds.get(str(target.task), str(target.task))}, by a "
        f"`{type(estimator).__name__}`" + (f" of the family `{family}`." if family else ".")
    ]
    if card.get("description"):
        lines += ["", _text(card["description"])]
    if target.classes and len(target.counts) != len(target.classes):
        lines += ["", f"Classes: {', '.join(_text(label) for label in target.classes)}."]
    elif target.classes:
        total = sum(target.counts)
        rows = [
            (_text(label), f"{count:,}", f"{count / total:.1%}" if total else "")
            for label, count in zip(target.classes, target.counts, strict=True)
        ]
        lines += ["", _table(("class", "rows", "share"), rows)]
    params = {name: value for name, value in _mapping(card.get("params")).items() if value is not None}
    if params:
        lines += ["", "Parameters: " + ", ".join(f"`{name} = {_code(value)}`" for name, value in params.items()) + "."]
    return "## What it is\n\n" + "\n".join(lines)


def _use(card: Mapping[str, Any], target: Target) -> str:
    """What it is for."""
    said = _text(card.get("intended_use") or "")
    note = (
        f"It answers for rows like those it was trained on: the same columns, from the same source, at a similar time. "
        f"What is done with a prediction of *{_text(target.name)}* is for people to decide, who know what a wrong one "
        "costs."
    )
    return "## Intended use\n\n" + (f"{said}\n\n{note}" if said else note)


def _data(card: Mapping[str, Any], schema: Schema, target: Target) -> str:
    """Data and split."""
    rows, split, source = (_mapping(card.get(key)) for key in ("rows", "split", "source"))
    lines = [
        f"- {len(schema.columns)} columns" + (f" from {_text(source['kind'])} files" if source.get("kind") else "")
    ]
    counted = [
        f"{count:,} {UNITS.get(part, _text(part))}" for part, count in rows.items() if _is_count(count) and count
    ]
    if counted:
        lines.append(f"- rows: {', '.join(counted)}")
    if split.get("kind"):
        folds = f", {split['folds']} folds" if split.get("folds") else ""
        lines.append(f"- split: {_text(split['kind'])}{folds}")
    derived = _mapping(source.get("derive"))
    if derived:
        lines.append("- derived: " + ", ".join(f"`{_code(name)} = {_code(how)}`" for name, how in derived.items()))
    if source.get("joins"):
        lines.append(f"- joined with {len(source['joins'])} further tables, which the folder holds")
    if card.get("data"):
        lines.append(f"- fingerprint of the rows: `{_code(card['data'])}`")
    return "## Data\n\n" + "\n".join(lines)


def _metrics(card: Mapping[str, Any]) -> str:
    """Test metrics with their intervals."""
    metrics, search = _mapping(card.get("metrics")), _mapping(card.get("search"))
    lines = []
    if metrics:
        rows = [
            (f"`{_code(name)}`", _number(score.get("value")), _interval(score))
            for name, score in metrics.items()
            if isinstance(score, Mapping)
        ]
        lines.append("On the test rows, which nothing was chosen by:\n")
        lines.append(_table(("metric", "value", "95 % interval"), rows))
    else:
        lines.append("There was no test part: the score below is the one that chose the model, and flatters it.")
    if search:
        n_trials = search.get("trials", 1)
        which = "The only candidate:" if n_trials == 1 else f"Chosen out of {n_trials} candidates by"
        lines.append(
            f"\n{which} `{_code(search.get('metric', ''))}` {_number(search.get('score'))} "
            "on rows apart from the test rows."
        )
    return "## How good it is\n\n" + "\n".join(lines)


def _slices(card: Mapping[str, Any]) -> str:
    """Where it is worse."""
    slices, worst = _mapping(card.get("slices")), card.get("worst_slices") or []
    lines: list[str] = []
    if worst:
        rows = [
            (
                " and ".join(
                    f"{_text(one.get('column', ''))} = {_text(one.get('group', ''))}"
                    for one in _sequence(found.get("where"))
                ),
                f"{found.get('rows', 0):,}",
                _number(found.get("value")),
                _interval(found),
            )
            for found in worst[:MOST_SLICES]
        ]
        metric = f"`{_code(slices['metric'])}`" if slices.get("metric") else "value"
        lines += [
            "Groups of rows for which it is worst:\n",
            _table(("rows where", "rows", metric, "95 % interval"), rows),
        ]
    for column in _sequence(slices.get("columns")):
        rows = [
            (_text(group.get("group", "")), f"{group.get('rows', 0):,}", _number(group.get("value")), _interval(group))
            for group in _sequence(column.get("groups"))
        ]
        head = (_text(column.get("column", "")), "rows", f"`{_code(slices.get('metric', 'value'))}`", "95 % interval")
        lines += ["", _table(head, rows)] if lines else [_table(head, rows)]
    return "## For whom\n\n" + "\n".join(lines) if lines else ""


def _decision(card: Mapping[str, Any], decision: Decision, target: Target) -> str:
    """Calibration and threshold."""
    told = _mapping(card.get("decision"))
    calibration, threshold = _mapping(told.get("calibration")), _mapping(told.get("threshold"))
    lines: list[str] = []
    if decision.calibration is not None:
        lines.append(f"- Probabilities are calibrated ({decision.calibration.kind}){_changes(calibration)}.")
    if decision.threshold is not None:
        rule = f", chosen by {_text(threshold['rule'])}" if threshold.get("rule") else ""
        lines.append(
            f"- *{_text(target.classes[1])}* is answered from a probability of {decision.threshold:.6g} on{rule}"
            f"{_changes(threshold)}."
        )
    if not lines:
        usual = "the class that the estimator itself finds" if target.classes else "the estimator's own number"
        return f"## Decision\n\nNeither calibrated nor moved: the answer is {usual}."
    where = f"on {_text(told['source'])} predictions, " if told.get("source") else ""
    return "## Decision\n\n" + "\n".join(lines) + f"\n\nFitted {where}from before the last fit, never on test rows."


def _changes(told: Mapping[str, Any]) -> str:
    """What a metric was before and after."""
    before, after = _mapping(told.get("before")), _mapping(told.get("after"))
    said = [f"`{name}` {_number(before[name])} → {_number(after.get(name))}" for name in before]
    return f": {', '.join(said)}" if said else ""


def _limits(card: Mapping[str, Any], schema: Schema, estimator: Any) -> str:
    """What to beware of."""
    lines = [f"- {_text(text)}" for text in _sequence(card.get("warnings"))]
    lines += [
        f"- **{_text(found.get('column', ''))}** is distributed otherwise in the test rows: "
        f"{found.get('statistic', '')} {_number(found.get('value'))} (chance gives at most "
        f"{_number(found.get('bound'))})."
        for found in _sequence(card.get("drift"))
        if found.get("is_drifted")
    ]
    lines += [f"- Suspicion of a leak: {_text(found.get('text', ''))}" for found in _sequence(card.get("leaks"))]
    if any(column.kind is ColumnKind.CATEGORICAL for column in schema.columns):
        lines.append(
            "- Text that training has not seen is taken as its column's encoder says; `Model.check` counts it."
        )
    named = unsteady(estimator)
    if named:
        lines.append(
            f"- The last bits of a row's answer may depend on the rows beside it: nobody has looked at how "
            f"{', '.join(f'`{_code(name)}`' for name in named)} computes."
        )
    lines.append("- Intervals tell what the choice of test rows can change. They do not tell of a world that changes.")
    lines.append("- That the model is fair to a group of people was not examined beyond the tables above.")
    return "## Limits\n\n" + "\n".join(lines)


def _columns(schema: Schema) -> str:
    """The columns a row must have."""
    rows = [(f"`{_code(column.name)}`", KINDS[column.kind], f"`{column.type}`") for column in schema.columns]
    more = len(rows) - MOST_COLUMNS
    text = _table(("column", "holds", "type"), rows[:MOST_COLUMNS])
    return f"## Columns it needs\n\n{text}" + (f"\n\n... and {more} more in `schema.json`." if more > 0 else "")


def _origin(card: Mapping[str, Any], estimator: Any) -> str:
    """Where it comes from."""
    versions = _mapping(card.get("versions"))
    cls = type(estimator)
    lines = [f"- estimator: `{cls.__module__}.{cls.__qualname__}`"]
    if card.get("run"):
        lines.insert(0, f"- run: `{_code(card['run'])}`")
    said = [f"{_text(name)} {_text(number)}" for name, number in versions.items() if isinstance(number, str)]
    if said:
        lines.append("- " + ", ".join(said))
    return "## Where it comes from\n\n" + "\n".join(lines)


LOADING = """## How to load it

Install what `requirements.txt` lists, then:

```python
import daskflow as flow

model = flow.load_model("model")    # this folder; verified by SHA256SUMS first, and no code of it runs
model.predict(frame)                # a pandas or dask DataFrame with the columns above
model.predict_proba(frame)          # of classes
```

`sha256sum -c SHA256SUMS` checks the files without Python."""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(value: Any) -> str:
    r"""A value as text that means only itself.

    Examples
    --------
    >>> _text("a|b <script>")
    'a\\|b \\<script\\>'
    """
    return SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    """A value inside of code: a backtick would end it, a bar the table's cell, and a tag is none there."""
    return " ".join(str(value).split()).replace("`", "'").replace("|", "¦")


def _number(value: Any) -> str:
    return f"{value:.4g}" if _is_number(value) else "–"


def _interval(score: Mapping[str, Any]) -> str:
    low, high = score.get("low"), score.get("high")
    return f"{_number(low)} to {_number(high)}" if _is_number(low) and _is_number(high) else "–"


def _is_number(value: Any) -> bool:
    """Whether it is a number, and not nan."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
