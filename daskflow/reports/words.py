"""Sentences of the report: what was learned from what, how good it is, and how sure that is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from daskflow.core.protocols import Score
from daskflow.core.results import RunRecord, SearchResult
from daskflow.core.space import FAMILY
from daskflow.figures.style import known, number
from daskflow.figures.style import score as score_text

CREDENTIALS = re.compile(r"(?<=://)[^/@\s\"']+@|(?<=[?&])(token|key|sig|signature|password|secret)=[^&\s\"']+", re.I)
"""Parts of an address that let somebody in."""


RULES = {
    "cost": "for the lowest cost",
    "f1": "for the best F1",
    "youden": "for the best Youden index (recall less false positive rate)",
    "balanced_accuracy": "for the best balanced accuracy",
    "mcc": "for the best Matthews correlation",
}
"""How a threshold was chosen, by the name of the rule."""


def seconds(value: float) -> str:
    """Return a duration as people say it.

    Examples
    --------
    >>> seconds(0.42), seconds(75.2), seconds(7300)
    ('0.42 s', '1 min 15 s', '2 h 1 min')
    """
    if value < 60:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(n_bytes: float) -> str:
    """Return a number of bytes with its unit.

    Examples
    --------
    >>> size(981_067), size(3 * 2**30)
    ('958 KiB', '3.0 GiB')
    """
    value, unit = float(n_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def share(part: float, whole: float) -> str:
    """Return a part in hundredths; ``-`` of nothing, and never nothing for something.

    Examples
    --------
    >>> share(1, 8), share(3, 494_021), share(0, 5), share(1, 0)
    ('12.5 %', '<0.1 %', '0.0 %', '-')
    """
    if 0 < part < 0.001 * whole:
        return "<0.1 %"
    return f"{part / whole * 100:.1f} %" if whole else "-"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "file"), plural(1200, "file"), plural(2, "class", "classes")
    ('1 file', '1,200 files', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def interval(score: Score) -> str:
    """Return a metric's 95 % interval; empty when there is none."""
    return bounds(score.low, score.high)


def bounds(low: float, high: float) -> str:
    """Return an interval in words; empty when there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{score_text(low)} to {score_text(high)}"


def likeness(search: SearchResult) -> str:
    """Return one sentence on how many candidates cannot be told apart from the best, and what that means."""
    others = [t for t in search.trials if t.id != search.best.id and not math.isnan(t.score)]
    tied, unknown = (sum(trial.is_tied is state for trial in others) for state in (True, None))
    if not others:
        return ""
    if unknown == len(others):
        return "Which candidates are as good as the best cannot be said: there are too few folds or validation rows."
    by = f"by the {search.n_folds} folds" if search.n_folds > 1 else "by the validation rows"
    if not tied and not unknown:
        return f"Every other candidate is worse than the best, {by}, by more than chance explains."
    rest = f"; of {plural(unknown, 'more')} nothing can be said" if unknown else ""
    return (
        f"{plural(tied, 'other candidate')} of {len(others):,} cannot be told apart from the best {by} (≈){rest}: "
        "with 95 % confidence, the one that is best in truth is the best or among them."
    )


def without_credentials(text: str) -> str:
    """Return text whose addresses let nobody in.

    Examples
    --------
    >>> without_credentials("https://me:secret@host/x.csv?token=abc&page=1")
    'https://***@host/x.csv?***&page=1'
    """
    return CREDENTIALS.sub(lambda match: "***@" if match[0].endswith("@") else "***", text)


def model_name(record: RunRecord) -> str:
    """Return the model family's name, that of the best among several, or the estimator's."""
    model = record.workflow.get("model", {})
    if not isinstance(model, Mapping):
        return str(model)
    if record.search is not None and model.get("families"):
        return str(record.search.best.params.get(FAMILY, "the model"))
    return str(model.get("estimator") or model.get("kind") or "the model")


def target_name(record: RunRecord) -> str:
    """Return the target's column; empty when nothing says it."""
    named = [str(c["name"]) for c in record.data.get("columns", ()) if c.get("role") == "target"]
    told = record.data.get("target") or (record.workflow.get("data") or {}).get("target")
    return named[0] if named else str(told or "")


def main_metric(record: RunRecord) -> str:
    """Return the metric the answer is told in: the search's where it was tested, else the first tested."""
    tested = record.evaluation.metrics if record.evaluation else {}
    if record.search and (record.search.metric in tested or not tested):
        return record.search.metric
    return next(iter(tested), "")


def baseline(record: RunRecord) -> str:
    """Return what guessing the most frequent class of the test rows would reach; empty where that says nothing."""
    confusion = record.evaluation.details.get("confusion") if record.evaluation else None
    if not confusion:
        return ""
    rows = [sum(row) for row in confusion["counts"]]
    if not sum(rows):
        return ""
    most = max(range(len(rows)), key=rows.__getitem__)
    return (
        f"For comparison: always answering '{confusion['classes'][most]}' would be right for "
        f"{share(rows[most], sum(rows))} of the test rows."
    )


def details(record: RunRecord) -> Mapping[str, Any]:
    """Return the evaluation's details; empty before the test."""
    return record.evaluation.details if record.evaluation else {}


def rule_text(rule: Any) -> str:
    """Return how a threshold was chosen.

    Examples
    --------
    >>> rule_text("cost"), rule_text("f1"), rule_text(0.3)
    ('for the lowest cost', 'for the best F1', 'by the workflow')
    """
    return RULES.get(str(rule), "by the workflow")


def more_rows(found: Mapping[str, Any]) -> str:
    """Return whether the learning curve still rises: its last step against its interval, in one sentence."""
    value = [known(one) for one in found["value"]]
    if len(value) < 2 or not all(map(math.isfinite, value[-2:])):
        return ""
    low, high = (known((found.get(word) or [None])[-1]) for word in ("low", "high"))
    step, rows = value[-1] - value[-2], [int(count) for count in found["rows"][-2:]]
    changed = f"From {rows[0]:,} to {rows[1]:,} rows it changed by {score_text(step)}"
    if math.isnan(low) or math.isnan(high):
        return f"{changed}."
    if low <= value[-2] <= high:
        return f"{changed}, less than chance explains: more rows of the same kind would hardly help."
    return f"{changed}, more than chance explains: more rows would probably help."


def value_text(value: Any) -> str:
    """Return a parameter or a cell as text: numbers short, nested values in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {value_text(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value) or "-"
    if value is None:
        return "-"
    return number(value)
