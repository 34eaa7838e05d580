"""Screen of the search: a model being found, from brackets and scores to every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from daskflow.dashboard import screen_search_cost as cost
from daskflow.dashboard import screen_search_curves as curves
from daskflow.dashboard import screen_search_parameters as parameters
from daskflow.dashboard import screen_search_rungs as rungs
from daskflow.dashboard import screen_search_scores as scores
from daskflow.dashboard import screen_search_table as table
from daskflow.dashboard import screen_search_tiles as tiles
from daskflow.dashboard import screen_search_timeline as timeline
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Row, Slot, Value
from daskflow.dashboard.state import RunState

FEW_SCORES = 400
"""As long as there are no more scores, several panels are drawn anew at a call."""


AT_ONCE = 40
"""New scores since the last call from which on all panels are drawn: a replay has jumped, or nobody looked."""

SHOWS_FITS = ("curves", "table")
"""Panels that show what is being fitted: they change with every fit, others with every score."""


FIGURES = (
    "search_scores",
    "search_curves",
    "search_cost",
    "search_parallel",
    "search_importance",
    "search_parameters",
    "search_timeline",
)
"""Panels that are empty before the search."""


class Part(Protocol):
    """One panel, which keeps what it has drawn."""

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""


class SearchScreen:
    """The page Search.

    Scores, rungs and the timeline are added to at every call. What is drawn as a whole (curves, cost, parallel
    coordinates, parameters, table) takes turns while the search goes on: one panel at a call, three as long as there
    are few scores; so a call costs a few milliseconds in any search, and no panel is older than three seconds.

    Examples
    --------
    >>> screen = SearchScreen()
    >>> [panel.key for row in screen.rows() for panel in row.panels][:2]
    ['search_tiles', 'search_rungs']
    >>> {slot.name for slot in screen.slots(RunState(), now=0.0)} >= {'search_rungs', 'search_scores_data'}
    True
    """

    key = "search"
    title = "Search"

    def __init__(self) -> None:
        """Begin with nothing drawn."""
        self._begin(Standing(RunState().search))

    def rows(self) -> Sequence[Row]:
        """Return the panels from top to bottom."""
        return [
            Row([tiles.panel()]),
            Row([rungs.panel()]),
            Row([scores.panel()]),
            Row([curves.panel(), cost.panel()]),
            Row([parameters.parallel_panel()]),
            Row([parameters.importance_panel(), parameters.facets_panel()], widths=[2, 3]),
            Row([timeline.panel()]),
            Row([table.panel()]),
        ]

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is shown now; `state` may be another one than before, as when a replay goes back."""
        if state.search is not self._standing.search:
            self._begin(Standing(state.search, self._standing.generation + 1))
        standing = self._standing
        standing.follow(state, now)
        for part, sign in self._due(standing).items():
            self._drawn[part] = sign
            self._told[part] = self._turns[part].slots(standing)
        steady = [slot for part in self._steady for slot in part.slots(standing)]
        return self._in_sight(standing, [*steady, *(slot for part in self._turns for slot in self._told[part])])

    def _in_sight(self, standing: Standing, slots: list[Slot]) -> list[Slot]:
        """Hide the figures before anything of the search is told: two sentences say more than eight empty boxes."""
        begun = bool(standing.trials or standing.search.plan or standing.search.fits)
        hidden = {f"{key}.hidden": not begun for key in FIGURES}
        for slot in slots:
            if begun and isinstance(slot, Value):
                hidden.pop(slot.name, None)
        kept = [slot for slot in slots if slot.name not in hidden]
        return [*kept, *(Value(name, is_hidden) for name, is_hidden in hidden.items())]

    def _begin(self, standing: Standing) -> None:
        self._standing = standing
        order = parameters.Order()
        self._steady: Sequence[Part] = (tiles.Tiles(), rungs.Rungs(), scores.Scores(), timeline.Timeline())
        self._turns: dict[str, Part] = {
            "curves": curves.Curves(),
            "table": table.Table(order),
            "cost": cost.Cost(),
            "parallel": parameters.Parallel(order),
            "facets": parameters.Facets(order),
            "importance": parameters.Importance(order),
        }
        self._told: dict[str, list[Slot]] = {}
        self._drawn: dict[str, tuple[object, ...]] = {}
        self._n_scores = 0

    def _due(self, standing: Standing) -> dict[str, tuple[object, ...]]:
        """Parts that are drawn anew now, and of what: all at first and at the end, else those that waited longest."""
        of_scores, of_fits = standing.sign(), standing.fit_sign()
        signs = {part: of_fits if part in SHOWS_FITS else of_scores for part in self._turns}
        stale = [part for part in (*self._drawn, *self._turns) if self._drawn.get(part) != signs[part]]
        n_scores, self._n_scores = self._n_scores, len(standing.search.scores)
        is_jump = self._n_scores - n_scores > AT_ONCE or not n_scores
        if self._told and not standing.is_settled and not is_jump:
            stale = stale[: 3 if len(standing.search.scores) <= FEW_SCORES else 1]
        for part in stale:
            self._drawn.pop(part, None)  # to the end of the queue
        return {part: signs[part] for part in stale}
