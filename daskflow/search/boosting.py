"""Boosting over all workers, attempt after attempt, from the last checkpoint each time."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from daskflow.core.errors import ClusterError, SearchError, StorageError
from daskflow.core.events import Listener, tell
from daskflow.core.protocols import Connection
from daskflow.core.seeds import digest
from daskflow.data.matrices import Batch, MatrixPart
from daskflow.data.neighbours import neighbours_of
from daskflow.search import checkpoints
from daskflow.search.boosters import BOOSTERS, Recipe, Seat, weights_of
from daskflow.search.checkpoints import Checkpoint
from daskflow.search.networks import NETWORKS
from daskflow.search.ranks import Gang, RankFailedError, RankLostError, Spread, places_of

CHECKPOINT_EVERY = 25
"""Rounds between two checkpoints: what a lost worker costs at most. Writing one takes some milliseconds."""

MOST_RESTARTS = 5

WAIT_SECONDS = 120
"""How long a lost worker may take to come back before the fit goes on without it."""

LOG = logging.getLogger("daskflow")


@dataclass(frozen=True, slots=True)
class Boost:
    """What every process of a fit is told; picklable and small.

    Attributes
    ----------
    part : MatrixPart
        All rows.
    shares : tuple of (int, int)
        First block of each rank, and the one behind its last.
    recipe : Recipe
        What to train.
    folder : str
        Of the checkpoints.
    fit : str
        Their identity.
    every : int
        Rounds between two.
    begin : Checkpoint or None
        Where all of them begin.
    """

    part: MatrixPart
    shares: tuple[tuple[int, int], ...]
    recipe: Recipe
    folder: str
    fit: str
    every: int
    begin: Checkpoint | None = None


def boost(
    connection: Connection,
    part: MatrixPart,
    recipe: Recipe,
    folder: Path,
    *,
    checkpoint_every: int,
    listener: Listener,
    spread: Spread,
) -> bytes:
    """Return a booster of all the recipe's rounds; begun ones of the same fit in the folder are continued.

    Raises
    ------
    SearchError
        When the library raises.
    ClusterError
        When processes were lost more than five times, or the scheduler is.
    """
    fit = identity_of(recipe, part)
    job = Boost(part, ((0, part.n_blocks),), recipe, str(folder), fit, max(1, checkpoint_every))
    glance = Progress(folder, fit, recipe.rounds, listener)
    rounds, content = checkpoints.load(folder, fit)
    lost = 0
    tell(listener, "stage", stage="refit", state="started", total=recipe.rounds)
    while rounds < recipe.rounds:
        begun = replace(job, begin=checkpoints.latest(folder, fit) if content else None)
        try:
            attempt(connection, begun, spread, glance)
        except RankFailedError as error:
            raise SearchError(f"{recipe.library} could not fit all rows: {error}") from error
        except RankLostError as error:
            lost += 1
            rounds, content = checkpoints.load(folder, fit)
            told = f"The final fit was interrupted after round {rounds} of {recipe.rounds}: {error}."
            if lost > MOST_RESTARTS:
                raise ClusterError(
                    f"{told} That was the {lost}th time, so it is given up. Give workers more memory or time; the same "
                    "command goes on from the last checkpoint."
                ) from error
            told = f"{told} It goes on from there, restart {lost} of at most {MOST_RESTARTS}."
            LOG.warning(told)
            tell(listener, "warning", text=told)
            continue
        rounds, content = checkpoints.load(folder, fit)
        if rounds < recipe.rounds:
            raise ClusterError(
                f"The final fit ended, but its model is not in {folder}. Is the folder shared by all workers?"
            )
    tell(listener, "stage", stage="refit", state="finished", total=recipe.rounds)
    return content


def identity_of(recipe: Recipe, part: MatrixPart) -> str:
    """Return a hash of all that decides a fit: a part's folder is named by what it holds."""
    return digest([asdict(recipe), Path(part.folder).name, part.n_rows, part.n_features], 24)


class Progress:
    """Tells how many rounds are made, as the checkpoints say; remembers how many workers there were."""

    def __init__(self, folder: Path, fit: str, total: int, listener: Listener) -> None:
        """Begin with nothing told."""
        self._folder, self._fit, self._total, self._listener = folder, fit, total, listener
        self._told = 0
        self.workers = 0
        """The most that an attempt had: later ones wait for as many."""

    def __call__(self) -> None:
        """Look, and tell when there is something new."""
        found = checkpoints.latest(self._folder, self._fit)
        if found is not None and found.rounds > self._told:
            self._told = found.rounds
            tell(self._listener, "progress", stage="refit", done=found.rounds, total=self._total)


def attempt(connection: Connection, job: Boost, spread: Spread, glance: Progress) -> None:
    """Train from the last checkpoint to the end with the workers that are there.

    Raises
    ------
    RankLostError, RankFailedError, ClusterError
        As `Gang.run`.
    """
    client = connection.client
    if client is None:
        try:
            boost_rank(job, Seat(0, 1, 1))
        except Exception as error:
            raise RankFailedError(f"{type(error).__name__}: {error}") from error
        glance()
        return
    workers = gathered(client, max(1, glance.workers))
    glance.workers = max(glance.workers, len(workers))
    places = places_of(workers, spread=spread)[: job.part.n_blocks]
    shares = shares_of(job.part.offsets, [place.threads for place in places])
    gang = Gang(client, places, f"boost-{job.fit[:8]}-{secrets.token_hex(4)}", connection.priority)
    with neighbours_of(client).gang():
        gang.run(boost_rank, (replace(job, shares=shares),), NETWORKS[job.recipe.library], glance)


def gathered(client: Any, wanted: int) -> dict[str, int]:
    """Return the workers' threads by address, after waiting a while for as many as there were; at least one.

    Raises
    ------
    ClusterError
        When there is none.
    """
    with suppress(TimeoutError):
        client.wait_for_workers(wanted, timeout=WAIT_SECONDS)
    found: dict[str, int] = dict(client.nthreads())
    if not found:
        raise ClusterError(
            f"No worker came within {WAIT_SECONDS} s, so the final fit cannot go on. Run the same command again: it "
            "continues from the last checkpoint."
        )
    return found


def shares_of(offsets: Sequence[int], threads: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Cut blocks into runs, one for each rank, whose rows are in proportion to its threads; each gets a block at least.

    Parameters
    ----------
    offsets : sequence of int
        Block i is rows ``offsets[i]`` to ``offsets[i + 1]``.
    threads : sequence of int
        Of each rank; there are no more ranks than blocks.

    Examples
    --------
    >>> shares_of([0, 10, 20, 30, 40], [1, 1])
    ((0, 2), (2, 4))
    >>> shares_of([0, 10, 20, 30, 40], [3, 1])
    ((0, 3), (3, 4))
    """
    n_blocks, n_ranks = len(offsets) - 1, len(threads)
    reached = np.cumsum(threads) / sum(threads) * offsets[-1]
    cuts = [0]
    for rank in range(n_ranks - 1):
        nearest = int(np.abs(np.asarray(offsets) - reached[rank]).argmin())
        cuts.append(min(max(nearest, cuts[-1] + 1), n_blocks - (n_ranks - 1 - rank)))
    cuts.append(n_blocks)
    return tuple(pairwise(cuts))


def boost_rank(job: Boost, seat: Seat) -> None:
    """Train as one of the ranks; the first one writes the checkpoints."""
    folder, total = Path(job.folder), job.recipe.rounds
    done, model = 0, b""
    if job.begin is not None:
        done, model = job.begin.rounds, checkpoints.read(folder, job.begin)
        if not model:
            raise StorageError(f"{folder / job.begin.file} cannot be read here. Do all workers see the folder?")
    batch = rows_between(job.part, *job.shares[seat.rank])
    batch = Batch(batch.X, batch.y, weights_of(batch, job.recipe.class_weights))

    def keep(rounds: int, content: Any) -> None:
        if seat.rank == 0 and rounds < total and rounds % job.every == 0:
            checkpoints.save(folder, job.fit, rounds, content())

    content = BOOSTERS[job.recipe.library].train(job.recipe, batch, seat, done=done, model=model, after=keep)
    if seat.rank == 0:
        checkpoints.save(folder, job.fit, total, content)


def rows_between(part: MatrixPart, first: int, stop: int) -> Batch:
    """Return the rows of blocks `first` to `stop`: dense ones as they are mapped, sparse ones stacked in memory."""
    if not part.is_sparse:
        whole = part.whole()
        rows = slice(part.offsets[first], part.offsets[stop])
        return Batch(whole.X[rows], whole.y[rows], None if whole.weight is None else whole.weight[rows])
    blocks = [part.block(number) for number in range(first, stop)]
    weights = [block.weight for block in blocks if block.weight is not None]
    return Batch(
        sparse.vstack([block.X for block in blocks], format="csr"),
        np.concatenate([block.y for block in blocks]),
        np.concatenate(weights) if weights else None,
    )


def class_counts(part: MatrixPart, n_classes: int) -> list[int]:
    """Count a part's rows by class; empty for regression."""
    counts: NDArray[np.int64] = np.zeros(n_classes, dtype=np.int64)
    if n_classes:
        for number in range(part.n_blocks):
            counts += np.bincount(part.block(number).y, minlength=n_classes)
    return [int(count) for count in counts]
