"""Tiles of the search: the best so far, how many candidates are done, and whether it still gets better."""

from __future__ import annotations

from typing import Any

from daskflow.dashboard import screen_search_chosen as chosen
from daskflow.dashboard import words
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Slot, Value, Widget
from daskflow.figures import live_search_axes as axes
from daskflow.figures import style

LONG = 110
"""Characters of the best candidate's parameters; all of them stand in its panel."""


def panel() -> Widget:
    """Return the panel."""
    return Widget("search_tiles", "", "tiles", empty="The best candidate so far stands here, after the first score.")


class Tiles:
    """Tells where the search stands, in numbers."""

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        if not standing.trials:
            return [Value("search_tiles", None)]
        return [Value("search_tiles", [*_best(standing), _candidates(standing), _improvement(standing)])]


def _best(standing: Standing) -> list[dict[str, Any]]:
    """The best score with its interval, and the candidate that has it."""
    search, best = standing.search, standing.best()
    metric = style.shown(search.metric or "score", 24)
    if best is None:
        return [
            {"label": f"Best {metric} so far", "value": "–", "note": "comes when all folds of a candidate have ended"},
            {"label": "Its candidate", "value": "–", "note": ""},
        ]
    interval = words.bounds(*search.interval())
    direction = "higher is better" if search.greater_is_better else "lower is better"
    note = f"95 % interval {interval}" if interval else direction
    tied = search.best_said.get("tied") if search.best_said.get("trial") == best.id else None
    if tied:
        note += f"; {words.plural(int(tied), 'other')} cannot be told apart from it"
    text = chosen.params_text(standing, best)
    text = text if len(text) <= LONG else f"{text[: LONG - 1]}…"
    return [
        {"label": f"Best {metric} so far", "value": style.score(best.score), "note": note},
        {"label": "Its candidate", "value": style.shown(best.id, 20), "note": style.shown(text, LONG)},
    ]


def _candidates(standing: Standing) -> dict[str, Any]:
    """How many candidates have a score, of how many."""
    search = standing.search
    first = [step for step in search.plan if step.start == 0]
    expected = max(len(standing.trials), sum(step.trials for step in first))
    n_running = len({trial for trial, _, _ in search.running})
    parts = [f"of {expected:,}"]
    if n_running:
        parts.append(f"{n_running:,} being fitted")
    if search.failed:
        parts.append(f"{search.failed:,} failed")
    return {"label": "Candidates scored", "value": f"{len(standing.ranking):,}", "note": ", ".join(parts)}


def _improvement(standing: Standing) -> dict[str, Any]:
    """When a score was last better than all before."""
    if standing.peak_place < 0:
        return {"label": "Last improvement", "value": "–", "note": ""}
    at = standing.clock(standing.peak_at)
    since = len(standing.search.scores) - 1 - standing.peak_place
    later = f"{words.plural(since, 'score')} since then" if since else "by the newest score"
    value = axes.clock(at) if standing.is_settled else f"{words.lasting(max(0.0, standing.now - at))} ago"
    note = later if standing.is_settled else f"at {axes.clock(at)}; {later}"
    return {"label": "Last improvement", "value": value, "note": note}
