"""Costs: how long fits will take, learned from those that are done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from daskflow.search.regressions import Columns, Floats, fitted, fitted_above, normal_above, weights_of

FIXED = (0.0, 0.1, 0.3, 1.0, 3.0, 8.0, 20.0)
"""What a fit may cost whatever its resource (loading, scoring), in units of what one resource costs; each as likely."""

SLOPE, SLOPE_SPREAD = 1.0, 0.13
"""Beyond that, r times the resource takes r times the time, to a power about 1."""

UNKNOWN = 30.0
"""Spread of the logarithm of what a fit takes, as long as there was none."""

STEP_SPREAD, FAMILY_SPREAD, PARAMETER_SPREAD = 0.07, 2.0, 0.5
"""How far, in logarithms, steps, families and parameters are expected to stray from that."""

UNSEEN = 4.0
"""How many fits the chance of one unlike all others is worth."""

BETTER, LEAST_CELLS = 0.8, 8
"""Parameters are used when they bring the error on candidates left out to this share, from so many candidates on."""

MOST_CELLS, MOST_FEATURES, MOST_LEVELS = 1000, 24, 8


class Step(NamedTuple):
    """A fit from one resource to another."""

    start: int
    stop: int


class Wanted(NamedTuple):
    """A fit that is still to be done.

    Attributes
    ----------
    trial : str
        Fits of one trial and step differ by their folds only; a name of no candidate where nobody knows which it is.
    step : Step
        From which resource to which.
    elapsed : float
        Seconds it has been running for.
    """

    trial: str
    step: Step
    elapsed: float = 0.0


_Key = tuple[str, Step]


@dataclass
class _Cell:
    """The fits of one candidate over one step: sums over folds of the logarithm of the seconds, and of its square."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count


@dataclass
class Costs:
    """What is known of the time fits take: a regression of its logarithm, whose residuals are drawn again.

    A fit costs something fixed and something for its resource, times a factor for its step, one for its model family
    and one of its candidate's own. How much is fixed is found by how well it explains steps of several sizes, and
    stays uncertain until there are some. The candidates' own factors are drawn from those that are done, by the
    Bayesian bootstrap, now and then from a normal distribution about them: a candidate unlike all others is always
    possible. What runs already counts as being at least as long as it has been running. Parameters join the regression
    when they foretell candidates that are left out clearly better than the regression without them.

    Parameters
    ----------
    continues : bool
        Whether a fit goes on from where the candidate was; else each begins anew.
    params : dict
        The candidates' parameters by trial, where they are known.

    References
    ----------
    D. B. Rubin, "The Bayesian Bootstrap", Annals of Statistics 9, 1981.

    Examples
    --------
    >>> costs = Costs()
    >>> for number in range(20):
    ...     costs.add(str(number), Step(0, 1), seconds=1.0 + number % 3)
    >>> drawn = costs.draw([Wanted(f"next {n}", Step(0, 1)) for n in range(10)], 100, np.random.default_rng(0))
    >>> drawn.shape, bool(1 < drawn.mean() < 3.5)
    ((100, 10), True)
    """

    continues: bool = True
    params: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    uses_parameters: bool = False
    """Whether the last draw looked at the candidates' parameters."""
    _cells: dict[_Key, _Cell] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether a fit is known."""
        return bool(self._cells)

    def add(self, trial: str, step: Step, seconds: float) -> None:
        """Take a finished fit in."""
        cell = self._cells.setdefault((trial, step), _Cell())
        value = math.log(max(seconds, 1e-6))
        cell.count += 1
        cell.total += value
        cell.squares += value * value

    def draw(self, wanted: Sequence[Wanted], n_replicates: int, rng: np.random.Generator) -> Floats:
        """Return what fits may take, in seconds; shape (n_replicates, n_wanted).

        A row is one possible future: what is not known of all fits alike is drawn once per row.

        Raises
        ------
        ValueError
            Before the first fit.
        """
        if not self._cells:
            raise ValueError("no fit is done yet")
        keys = list(self._cells)[-MOST_CELLS:]
        values = np.array([self._cells[key].mean for key in keys])
        cells = list(dict.fromkeys((one.trial, one.step) for one in wanted))
        places = {cell: place for place, cell in enumerate(cells)}
        begun = {trial: number for number, trial in enumerate(dict.fromkeys(trial for trial, _ in keys))}
        groups = np.array([begun[trial] for trial, _ in keys])
        since = {one[:2]: one.elapsed for one in wanted if one.elapsed > 0 and one.trial not in begun}
        running = np.array([places[cell] for cell in since], dtype=np.int64)
        least = np.log(np.array(list(since.values())))
        both = np.append(groups, len(begun) + np.arange(len(running)))
        columns = self._columns(keys, cells, values, groups)
        models = [fitted_above(one, values, both, running, least) for one in columns]
        weights = weights_of(models)
        best = models[int(weights.argmax())]
        spread = np.sqrt(best.variance * best.freedom / rng.chisquare(best.freedom, n_replicates))
        counts = rng.multinomial(n_replicates, weights)
        scales = np.split(spread / math.sqrt(best.variance), np.cumsum(counts)[:-1])
        centre = np.vstack([model.draw(scale, rng) for model, scale in zip(models, scales, strict=True)])
        beyond = spread[:, None] * normal_above((least - centre[:, running]) / spread[:, None], rng)
        residuals = _redrawn(best.residuals[: len(keys)], beyond, spread, len(cells), rng)
        residuals[:, running] = beyond
        own = best.known(both)
        for place, (trial, _) in enumerate(cells):
            if trial in begun:
                residuals[:, place] = own[begun[trial]] + math.sqrt(best.within) * rng.normal(size=n_replicates)
        known = np.array([self._cells[cell].mean if cell in self._cells else math.nan for cell in cells])
        located = np.where(np.isnan(known), centre + residuals, known)[:, [places[one[:2]] for one in wanted]]
        drawn = np.exp(located + self._fold_noise(located.shape, rng))
        found: Floats = np.maximum(drawn, np.array([one.elapsed for one in wanted]))
        return found

    def _columns(self, keys: Sequence[_Key], cells: Sequence[_Key], values: Floats, groups: Any) -> list[Columns]:
        """What to regress on, for each part that may be fixed; with parameters where they are clearly better."""
        both = [*keys, *cells]
        sizes = [float(max(1, step.stop - step.start if self.continues else step.stop)) for _, step in both]
        fixed = FIXED if len(set(sizes)) > 1 else FIXED[:1]
        plain = [_table(_plain(self, both, sizes, part, len(keys)), len(keys)) for part in fixed]
        parameters = _parameters(self, both, len(keys)) if len(keys) >= LEAST_CELLS else []
        self.uses_parameters = False
        if parameters:
            theirs = _table(parameters, len(keys))
            alone = min(fitted(columns, values, groups).error for columns in plain)
            whole = [columns.beside(theirs) for columns in plain]
            self.uses_parameters = min(fitted(columns, values, groups).error for columns in whole) < BETTER * alone
            return whole if self.uses_parameters else plain
        return plain

    def _fold_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """What folds of one candidate differ by."""
        several = [cell for cell in self._cells.values() if cell.count > 1]
        freedom = sum(cell.count - 1 for cell in several)
        squares = sum(cell.squares - cell.total * cell.total / cell.count for cell in several)
        spread = math.sqrt(max(0.0, squares) / freedom) if freedom else 0.05
        noise: Floats = rng.normal(0.0, spread, shape)
        return noise


_Column = tuple[Floats, float, float]
"""Values of the rows and of the wanted rows; expected slope and its spread."""


def _table(columns: Sequence[_Column], n_rows: int) -> Columns:
    values = np.column_stack([column for column, _, _ in columns])
    expected, spread = (np.array([column[place] for column in columns]) for place in (1, 2))
    return Columns(values[:n_rows], values[n_rows:], expected, spread)


def _plain(costs: Costs, both: Sequence[_Key], sizes: Sequence[float], fixed: float, n_rows: int) -> list[_Column]:
    """Columns of the resource, the steps and the model families."""
    found: list[_Column] = [(np.ones(len(both)), 0.0, UNKNOWN)]
    found.append((np.log((fixed + np.array(sizes)) / (fixed + 1)), SLOPE, SLOPE_SPREAD))
    for step in sorted({step for _, step in both}):
        found.append((np.array([float(one == step) for _, one in both]), 0.0, STEP_SPREAD))
    families = [costs.params.get(trial, {}).get("model") for trial, _ in both]
    for family in sorted({str(name) for name in families if name is not None}):
        is_this = [None if name is None else float(str(name) == family) for name in families]
        found.append((_about(is_this, n_rows), 0.0, FAMILY_SPREAD))
    return found


def _parameters(costs: Costs, both: Sequence[_Key], n_rows: int) -> list[_Column]:
    """Columns of the candidates' parameters; of a candidate that nobody knows they are the usual ones."""
    params = [costs.params.get(trial, {}) for trial, _ in both]
    names = sorted({name for one in params[:n_rows] for name in one} - {"model"})
    columns = [column for name in names for column in _parameter([one.get(name) for one in params], n_rows)]
    return [(column, 0.0, PARAMETER_SPREAD) for column in columns[:MOST_FEATURES]]


def _parameter(values: Sequence[Any], n_rows: int) -> list[Floats]:
    """A parameter's columns: a number's logarithm in units of its spread, or one for each of few words."""
    there = [value for value in values if value is not None]
    if there and all(_is_number(value) for value in there):
        numbers = [None if value is None else float(value) for value in values]
        if min(there) > 0:
            numbers = [None if number is None else math.log(number) for number in numbers]
        column = _about(numbers, n_rows)
        spread = float(column[:n_rows].std())
        return [column / spread] if spread > 1e-9 else []
    words = sorted({str(value) for value in there})
    if not 1 < len(words) <= MOST_LEVELS:
        return []
    return [
        _about([None if value is None else float(str(value) == word) for value in values], n_rows) for word in words
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _about(values: Sequence[float | None], n_rows: int) -> Floats:
    """Values less the mean of those that are done; 0 for what has none."""
    done = [value for value in values[:n_rows] if value is not None]
    mean = sum(done) / len(done) if done else 0.0
    return np.array([0.0 if value is None else value - mean for value in values])


def _redrawn(residuals: Floats, running: Floats, spread: Floats, n_cells: int, rng: np.random.Generator) -> Floats:
    """Draw residuals again, each row of the answer with weights of its own; some from a normal distribution.

    Those of what runs, shape (n_replicates, n_running), are drawn from as well.
    """
    n_known = len(residuals) + running.shape[1]
    weights = rng.exponential(size=(len(spread), n_known))
    unseen = rng.gamma(UNSEEN, size=len(spread))
    found = np.empty((len(spread), n_cells))
    for place in range(len(spread)):
        pool = np.append(residuals, running[place])
        edges = np.cumsum(np.append(weights[place], unseen[place]))
        chosen = np.searchsorted(edges, rng.uniform(0, edges[-1], n_cells))
        normal = rng.normal(0.0, spread[place], n_cells)
        found[place] = np.where(chosen < n_known, pool[np.minimum(chosen, n_known - 1)], normal)
    return found
