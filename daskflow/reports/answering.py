"""The answer at the top of the report: how good and how sure, for whom not, what to do and beware of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from daskflow.core.results import RunRecord
from daskflow.figures.slices import where_text
from daskflow.figures.style import known
from daskflow.figures.style import score as score_text
from daskflow.reports import cautions, words

STATES = {
    "running": "the run goes on, and this page shows what there was when it was written",
    "interrupted": "the run was interrupted, and the same command continues it",
    "failed": "the run failed, and the same command tries again from there",
}
"""What to expect of a run that is not done."""

SAID = 4
"""Cautions that the summary names; it counts the others."""


def answer(record: RunRecord) -> list[tuple[str, str]]:
    """Return the answer in three sentences, each under its question.

    Parameters
    ----------
    record : RunRecord
        Whatever there is; a question that the run cannot answer yet is left out.
    """
    found = [
        ("How good, and how sure?", _good(record)),
        ("For whom not?", _whom(record)),
        ("What to do, what to beware of?", _beware(record)),
    ]
    return [(question, sentence) for question, sentence in found if sentence]


def learned(record: RunRecord) -> str:
    """Return what was learned from what, in one sentence."""
    rows = record.data.get("rows")
    if rows is None:
        return f"The run has not read its data yet; it is {record.status}."
    n_features = sum(column.get("role") in ("feature", "group", "time") for column in record.data.get("columns", ()))
    where = f"{words.plural(rows, 'row')} in {words.plural(int(record.data.get('files', 0)), 'file')}"
    columns = words.plural(n_features, "column")
    return f"{words.model_name(record)} learned to predict {_aim(record)} from {columns} of {where}."


def _aim(record: RunRecord) -> str:
    """What is predicted."""
    target = words.target_name(record)
    what = f"'{target}'" if target else "the target"
    if record.task == "regression":
        return f"the number {what}"
    if record.task == "binary" and len(record.classes) == 2:
        positive = record.class_counts[1] if len(record.class_counts) == 2 else 0
        return (
            f"whether {what} is '{record.classes[1]}' ({words.share(positive, sum(record.class_counts))} of the rows)"
        )
    return f"{what}, one of {words.plural(len(record.classes), 'class', 'classes')},"


def _good(record: RunRecord) -> str:
    """The best candidate's test metric with its interval, and whether validation agrees."""
    search, evaluation, metric = record.search, record.evaluation, words.main_metric(record)
    if search is None and evaluation is None:
        return "No candidate has been scored yet." if record.data.get("rows") is not None else ""
    best = "The model"
    if search is not None:
        scored = sum(not math.isnan(trial.score) for trial in search.trials)
        best = f"The best of {words.plural(scored, 'scored candidate')} (trial {search.best.id})"
        if evaluation is None or metric not in evaluation.metrics:
            said = f"{search.metric} {score_text(search.best.score)} in validation" if scored else "no score"
            return f"{best} has {said}; it has not been tested."
    if evaluation is None or metric not in evaluation.metrics:
        return ""
    score = evaluation.metrics[metric]
    bounds = words.interval(score)
    text = (
        f"{best} reaches {metric} {score_text(score.value)}{f' (95 % interval {bounds})' if bounds else ''} on "
        f"{words.plural(evaluation.n_rows, 'test row')} that had no part in any choice"
    )
    if search is not None and not math.isnan(search.best.score):
        folds = f"mean of {search.n_folds} folds" if search.n_folds > 1 else "one validation part"
        verdict = cautions.agreement(record)
        text += f"; validation had said {search.metric} {score_text(search.best.score)} ({folds})"
        text += f", which is {verdict}" if verdict else ""
    return f"{text}."


def _whom(record: RunRecord) -> str:
    """The worst slice; where nothing was sliced the weakest class."""
    details = words.details(record)
    bad = cautions.evident(details)
    if bad:
        one = bad[0]
        metric = cautions.metric_of(one, record)
        bounds = words.bounds(known(one.get("difference_low")), known(one.get("difference_high")))
        text = (
            f"It serves worst the {words.plural(int(one['rows']), 'test row')} with {where_text(one)}: {metric} "
            f"{score_text(known(one['value']))}, {score_text(abs(known(one['difference'])))} from that of the "
            "other rows"
            f"{f' (95 % interval of the difference {bounds})' if bounds else ''}"
        )
        others = f"; {words.plural(len(bad) - 1, 'other group is', 'other groups are')} worse than chance explains"
        return f"{text}{others if len(bad) > 1 else ''}."
    classes = _weakest(details)
    if (details.get("slices") or {}).get("columns"):
        text = "No group of test rows that was looked at is served worse by more than chance explains"
        return f"{text}; {classes[:1].lower()}{classes[1:]}" if classes else f"{text}."
    return classes


def _weakest(details: Mapping[str, Any]) -> str:
    """The class that is recognised least, of those with enough test rows."""
    given = details.get("confusion")
    if not given or not sum(map(sum, given["counts"])):
        return ""
    rows = [(sum(row), row[code], str(given["classes"][code])) for code, row in enumerate(given["counts"])]
    enough = [one for one in rows if one[0] >= cautions.FEW_ROWS] or [one for one in rows if one[0]]
    total, right, name = min(enough, key=lambda one: one[1] / one[0])
    share = words.share(right, total)
    return f"Of the classes '{name}' is recognised least: {right:,} of its {total:,} test rows ({share})."


def _beware(record: RunRecord) -> str:
    """The threshold in use, what the page warns of, and how to go on with a run that is not done."""
    parts = []
    chosen = words.details(record).get("decision") or {}
    if chosen.get("threshold") and len(record.classes) == 2:
        value = score_text(known(chosen["threshold"].get("value")))
        how = words.rule_text(chosen["threshold"].get("rule"))
        parts.append(f"answer '{record.classes[1]}' from probability {value} on (chosen {how})")
    all_found = cautions.found(record)
    short = [one.short for one in all_found if one.short]
    others = len(all_found) - sum(bool(one.short) for one in all_found[:]) + max(0, len(short) - SAID)
    if short:
        more = f", and {words.plural(others, 'more warning')}" if others else ""
        parts.append(f"beware: {', '.join(short[:SAID])}{more}")
    elif others:
        parts.append(f"see the {'warning' if others == 1 else f'{others} warnings'} below")
    if record.status in STATES:
        parts.append(STATES[record.status])
    if not parts and record.evaluation is not None and record.evaluation.metrics:
        return "Nothing that this page looks at speaks against using it on rows like these."
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""
