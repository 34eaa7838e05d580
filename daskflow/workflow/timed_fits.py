"""Timed fits: what fits of a family take, by those of earlier runs or by a few on made-up rows."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from daskflow.core.errors import DaskflowError
from daskflow.core.folder import RunFolder, read_json
from daskflow.core.journal import read
from daskflow.core.warned import ignored
from daskflow.data.matrices import MatrixPart
from daskflow.data.predictions import predict
from daskflow.data.ranges import usual_block_rows
from daskflow.search.candidates import model_params
from daskflow.search.costs import Step
from daskflow.search.fits import LANES
from daskflow.search.random import draw
from daskflow.search.training import Training, Way, way_of
from daskflow.workflow import toml

if TYPE_CHECKING:
    from daskflow.workflow.workflow import Workflow

MOST_SECONDS = 200.0
"""By the clock on the wall; fits that wait for something else take no processor time."""

TIMED_SECONDS = 2.0
"""How long fits on made-up rows go on, about; time that other work on the machine takes does not count."""

SLOW_SECONDS, FIRST_SECONDS = 1.0, 4.0
"""A family whose smallest fit takes longer is not timed: what more rows cost cannot be seen in the time. The very
first fit may: it also pays for imports and compilation."""

FIRST_ROWS, MORE, MOST_CELLS = 100, 4, 4_000_000
"""Made-up rows at first, how many times as many each further time, and the largest matrix of them."""

MOST_CANDIDATES = 12

MOST_POWER = 2.0
"""Time goes with rows to a power between 1 and this."""

MADE_UP_DOUBT, POWER_DOUBT = 0.4, 0.3
"""Spread of the logarithm of what real rows take beside made-up ones; and of the power."""

EARLIER_DOUBT = 0.25
"""The same, for fits of another run: of other parameters, beside other work."""

MOST_RUNS, MOST_UNITS, FARTHEST = 30, 200, 30.0
"""Runs looked at, newest first; fits of one of them; and how many times more or fewer cells its matrices may have."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The matrix of a fold.

    Attributes
    ----------
    train, validation : int
        Rows.
    columns : int
        Features.
    block_rows : int
        Training rows of a block.
    """

    train: int
    validation: int
    columns: int
    block_rows: int


class Timed(NamedTuple):
    """A candidate's fit over a step, as it would be on the matrix that is asked about."""

    trial: str
    params: Mapping[str, Any]
    step: Step
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Fits:
    """Timed fits, and how far they can be trusted.

    Attributes
    ----------
    timed : tuple of Timed
        At least one.
    doubt : float
        Spread of the logarithm of what all of them are off by.
    basis : str
        Where they come from, in words.
    """

    timed: tuple[Timed, ...]
    doubt: float
    basis: str


def visits(way: Way, step: Step, budget: int, shape: Shape) -> tuple[float, float]:
    """Return how many fits of how many rows the work of a step is.

    Examples
    --------
    >>> shape = Shape(train=900, validation=200, columns=10, block_rows=100)
    >>> [visits(way, Step(1, 3), 9, shape) for way in (Way.WHOLE, Way.BLOCKS, Way.ROUNDS, Way.ROWS)]
    [(1.0, 900.0), (2.0, 100.0), (0.2222222222222222, 900.0), (1.0, 300.0)]
    """
    if way is Way.BLOCKS:
        return float(step.stop - step.start), float(shape.block_rows)
    if way is Way.ROUNDS:
        return (step.stop - step.start) / budget, float(shape.train)
    return 1.0, float(shape.train) * (step.stop / budget if way is Way.ROWS else 1.0)


def _rows_seen(way: Way, step: Step, budget: int, shape: Shape) -> float:
    times, rows = visits(way, step, budget, shape)
    return times * rows


def earlier_fits(workflow: Workflow, task: str, shape: Shape, runs: Path) -> Fits | None:
    """Return the fits of the run below a folder that is most alike: of the same family, trained in the same way.

    Their seconds are brought to this matrix in proportion to its cells. None where there is no such run.
    """
    way = way_of(workflow.model, task, stops_early=workflow.search.stops_early)
    family = workflow.model.dump()
    likest: tuple[float, list[Timed], str] | None = None
    for folder in recent_runs(runs):
        found = _fits_of(folder, family, way, shape, workflow.search.resource)
        if found is not None and (likest is None or abs(found[0]) < abs(likest[0])):
            likest = found
    if likest is None:
        return None
    away, timed, name = likest
    doubt = math.hypot(EARLIER_DOUBT, POWER_DOUBT * away)
    return Fits(tuple(timed), doubt, f"by {len(timed)} fits of the run {name}")


def recent_runs(runs: Path) -> list[RunFolder]:
    """Return the newest runs below a folder."""
    journals = [(path.stat().st_mtime, path) for path in runs.glob("*/*/journal.jsonl")]
    return [RunFolder(path.parent) for _, path in sorted(journals, reverse=True)[:MOST_RUNS]]


def _fits_of(
    folder: RunFolder, family: Mapping[str, Any], way: Way, shape: Shape, budget: int
) -> tuple[float, list[Timed], str] | None:
    """A run's fits brought to a shape, with the logarithm of how much larger that is; None if it is another family."""
    data = read_json(folder.data)
    theirs = data.get("split") or {}
    try:
        tables = toml.load(folder.workflow, environment={})
        records = read(folder.journal)
    except DaskflowError:
        return None
    search = tables.get("search") or {}
    model = {"kind": (tables.get("model") or {}).get("kind"), "estimator": (tables.get("model") or {}).get("estimator")}
    if model != {"kind": family.get("kind"), "estimator": family.get("estimator")} or not theirs.get("train"):
        return None
    if ("max_iter" in search) != (way is not Way.WHOLE):
        return None
    known = _shape_of(data, (tables.get("cache") or {}).get("block_rows"))
    drawn = {item["trial"]: item["params"] for r in records if r["record"] == "candidates" for item in r["candidates"]}
    found: list[Timed] = []
    ratio = 1.0
    reached: dict[tuple[str, int], int] = {}
    for record in records:
        if record["record"] != "unit" or record.get("error"):
            continue
        place = record["trial"], record["fold"]
        step = Step(reached.get(place, 0), int(record["resource"]))
        reached[place] = step.stop
        seen = _rows_seen(way, step, int(search.get("max_iter") or 1), known) * known.columns
        # The same share of a whole fit: rounds and shares of rows of a search with another max_iter are its own.
        scaled = step if way in (Way.WHOLE, Way.BLOCKS) else _scaled(step, budget / int(search.get("max_iter") or 1))
        ratio = _rows_seen(way, scaled, budget, shape) * shape.columns / max(1.0, seen)
        cost = record["seconds"] * ratio, record["cpu_seconds"] * ratio
        found.append(Timed(f"{folder.id}-{place[0]}", drawn.get(place[0], {}), scaled, *cost))
    if not found or not 1 / FARTHEST < ratio < FARTHEST:
        return None
    return math.log(ratio), found[-MOST_UNITS:], f"{folder.name}/{folder.id}"


def _shape_of(data: Mapping[str, Any], block_rows: int | None) -> Shape:
    """The matrix of a fold of a run, by its data.json."""
    split, rows = data["split"], int(data["rows"])
    n_folds = int(split.get("folds") or 1)
    train = round(int(split["train"]) * (1 - 1 / n_folds)) if n_folds > 1 else int(split["train"])
    columns = max(1, len(data.get("feature_names") or ()))
    blocks = round((block_rows or usual_block_rows(rows)) * train / rows)
    return Shape(max(2, train), int(split.get("validation") or 0), columns, max(1, blocks))


def _scaled(step: Step, by: float) -> Step:
    return Step(round(step.start * by), max(1, round(step.stop * by)))


def made_up_fits(workflow: Workflow, task: str, shape: Shape, steps: Sequence[Step]) -> Fits | None:
    """Time a few fits on made-up rows, and bring them to a matrix's rows by a power law.

    The first candidate is fitted on more and more rows as long as there is time; others on as many rows then. It takes
    about `TIMED_SECONDS`. None for a family that is too slow for that, or cannot be fitted on such rows.

    Parameters
    ----------
    workflow : Workflow
        Its model, search, and the space whose candidates are fitted.
    task : str
        binary, multiclass or regression.
    shape : Shape
        Of the real matrix.
    steps : sequence of Step
        What the search asks for.
    """
    n_classes = {"binary": 2, "multiclass": 5}.get(task, 0)
    way = way_of(workflow.model, task, stops_early=workflow.search.stops_early)
    training = Training(workflow.model, task, n_classes, workflow.seed, way, workflow.search.resource)
    candidates = _candidates(workflow, task)
    with tempfile.TemporaryDirectory() as name, ignored():
        try:
            found = _Stopwatch(training, candidates, shape, n_classes, Path(name)).run()
        except Exception:  # a real fit will say what is wrong, with its candidate
            return None
    if found is None:
        return None
    law, measured = found
    timed = []
    for number, took in enumerate(measured):
        params = candidates[number]
        for step in steps:
            own = training.way_for(model_params(params))
            times, rows = visits(own, step, training.budget, shape)
            seconds = times * law(rows) * took.fit / law(law.n_rows)
            if own is Way.BLOCKS:  # all validation rows are scored after each step, however few blocks it was
                seconds += took.scoring * shape.validation / law.n_rows
            timed.append(Timed(f"made-up-{number}", params, step, seconds, seconds * took.cpu_share))
    farthest = math.log(max(1.0, max(visits(way, step, training.budget, shape)[1] for step in steps) / law.n_rows))
    tried = f"{len(measured)} candidate{'s' if len(measured) > 1 else ''}"
    basis = f"by timing {tried} on {law.n_rows:,} made-up rows of {shape.columns:,} columns"
    return Fits(tuple(timed), math.hypot(MADE_UP_DOUBT, POWER_DOUBT * farthest), basis)


@dataclass(frozen=True, slots=True)
class Law:
    """Seconds of a fit by its rows: something fixed, and something that grows with a power of the rows.

    Attributes
    ----------
    n_rows, seconds : int, float
        The largest fit that was timed.
    slope, power : float
        Seconds per further row there, and the power.

    Examples
    --------
    >>> law = Law.through([(100, 0.11), (400, 0.14), (1600, 0.26)])
    >>> round(law.power, 3), round(law(100_000), 3)
    (1.0, 10.1)
    >>> law = Law.through([(100, 0.001), (400, 0.016), (1600, 0.256)])
    >>> round(law.power, 3), round(law(16_000) / law(1600), 1)
    (1.5, 26.5)
    """

    n_rows: int
    seconds: float
    slope: float
    power: float

    @classmethod
    def through(cls, times: Sequence[tuple[int, float]]) -> Law:
        """Find it by two fits or more of growing rows: by the last slope, and how much steeper it is than the first."""
        slopes = [max(1e-12, (b[1] - a[1]) / (b[0] - a[0])) for a, b in pairwise(times)]
        power = 1.0
        if len(slopes) > 1:  # half of what is seen: over so few rows, trees that still grow look like a power of 2
            power += math.log(slopes[-1] / slopes[-2]) / math.log(times[-1][0] / times[-2][0]) / 2
        n_rows, seconds = times[-1]
        # A time that does not grow is a fixed cost as far as can be seen; a tenth of it may still go with the rows.
        slope = max(slopes[-1], 0.1 * seconds / n_rows)
        return cls(n_rows, seconds, slope, min(max(power, 1.0), MOST_POWER))

    def __call__(self, rows: float) -> float:
        """Seconds of a fit of so many rows."""
        grown = float((rows / self.n_rows) ** self.power) - 1
        return max(0.1 * self.seconds, self.seconds + self.slope * self.n_rows / self.power * grown)


def _candidates(workflow: Workflow, task: str) -> list[Mapping[str, Any]]:
    """Candidates of the space, as a random search draws them."""
    space = workflow.space(task)
    if workflow.search.kind == "none" or not space:
        return [{}]
    with ignored():
        return list(draw(space, MOST_CANDIDATES, workflow.seed))


class _Took(NamedTuple):
    """Seconds of a fit and of its scoring, processor seconds for each of them, and seconds that timing it took.

    Fits that are trained side by side are timed together, so that timing one of them takes as long as all of them.
    """

    fit: float
    scoring: float
    cpu_share: float
    timing: float


@dataclass
class _Stopwatch:
    """Times candidates on made-up rows; all but the times is as in a search."""

    training: Training
    candidates: Sequence[Mapping[str, Any]]
    shape: Shape
    n_classes: int
    folder: Path

    def run(self) -> tuple[Law, list[_Took]] | None:
        """Return how time goes with rows, and what each candidate took on the most rows; None for what is too slow."""
        is_blocks = self.training.way is Way.BLOCKS
        most = min(self.shape.block_rows if is_blocks else self.shape.train, MOST_CELLS // self.shape.columns)
        n_rows = max(2, min(FIRST_ROWS, most // MORE))
        self.training.begin("made-up-0", model_params(self.candidates[0]))  # imports
        part = self.part(n_rows)
        if self.timed(0, part).fit > FIRST_SECONDS:
            return None
        begun = _clocks()
        took = self.timed(0, part)
        if took.fit > SLOW_SECONDS:
            return None
        times = [(n_rows, took.fit)]
        while n_rows < most:
            # A busy machine shall not leave a quick family unknown: two are timed by what they take themselves.
            spent = _since(begun) if len(times) > 1 else 0.0
            if spent + 1.2 * MORE * took.timing >= TIMED_SECONDS:
                break
            n_rows = min(most, n_rows * MORE)
            part = self.part(n_rows)
            took = self.timed(0, part)
            times.append((n_rows, took.fit))
        if len(times) < 2:
            return None
        measured = [took]
        while len(measured) < len(self.candidates) and _since(begun) + took.timing < 1.2 * TIMED_SECONDS:
            took = self.timed(len(measured), part)
            measured.append(took)
        return Law.through(times), measured

    def part(self, n_rows: int) -> MatrixPart:
        """Write made-up rows whose target is partly noise."""
        rng = np.random.default_rng(0)
        folder = self.folder / str(n_rows)
        folder.mkdir()
        X = rng.normal(size=(n_rows, self.shape.columns)).astype(np.float32)
        said = X[:, : min(8, self.shape.columns)].sum(axis=1) + rng.normal(scale=2.0, size=n_rows)
        if self.n_classes:
            edges = np.quantile(said, np.arange(1, self.n_classes) / self.n_classes)
            y: Any = np.searchsorted(edges, said).astype(np.int64)
        else:
            y = said.astype(np.float64)
        np.save(folder / "X.npy", X)
        np.save(folder / "y.npy", y)
        return MatrixPart(str(folder), n_rows, self.shape.columns, (0, n_rows), (0,), False, False)

    def timed(self, number: int, part: MatrixPart) -> _Took:
        """Fit one candidate and score rows; a whole fit counts with its scoring, a block's without."""
        params = model_params(self.candidates[number])
        training, is_blocks = self.training, self.training.way_for(params) is Way.BLOCKS
        n_together = LANES if training.fuses(params) else 1  # as a search trains them
        begun = _clocks()
        if n_together > 1:
            models = [training.begin(f"made-up-{number}", params) for _ in range(n_together)]
            training.train_many(models, part, 0, 1)
            model = models[0]
        else:
            model = training.train(f"made-up-{number}", params, part, 1 if is_blocks else training.budget)
        fitted, n_scored = _clocks(), part.n_rows
        if not is_blocks:
            n_scored = max(1, min(part.n_rows, round(part.n_rows * self.shape.validation / self.shape.train)))
        needs = {"scores"} if self.n_classes else {"predictions"}
        predict(model, part.whole().X[:n_scored], self.n_classes, needs)
        scored = _clocks()
        (fit, cpu), (scoring, more) = _between(begun, fitted), _between(fitted, scored)
        share = (cpu + more) / max(fit + scoring, 1e-9)
        return _Took((fit if is_blocks else fit + scoring) / n_together, scoring, share, fit + scoring)


def _clocks() -> tuple[float, float]:
    """Wall and processor seconds."""
    return time.perf_counter(), time.process_time()


def _since(begun: tuple[float, float]) -> float:
    """Seconds since then, without those that other work on the machine took; without end after `MOST_SECONDS`."""
    now = _clocks()
    return math.inf if now[0] - begun[0] > MOST_SECONDS else _between(begun, now)[0]


def _between(begun: tuple[float, float], ended: tuple[float, float]) -> tuple[float, float]:
    """Seconds without those that other work on the machine took, and processor seconds."""
    wall, cpu = ended[0] - begun[0], ended[1] - begun[1]
    return min(wall, cpu), cpu
