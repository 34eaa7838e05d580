"""A made-up table of realistic shape, for the demo and for trying things without files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from daskflow.core.seeds import digest, seed_of
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Fingerprint, Table
from daskflow.sources import Source
from daskflow.sources.opening import open_table

CHUNK_ROWS = 4_096
"""Rows made with one seed; fixed, so that the rows do not depend on the number of partitions."""

VERSION = 1
"""Raised when other rows come from the same settings; stands for the time the rows were last changed."""

REGIONS = ("north", "south", "east", "west", "centre", "islands", "abroad", "unknown")
CHANNELS = ("shop", "web", "phone", "partner")
PRODUCTS = 3_000
STATES = ("leaves", "stays", "grows")
FIRST_DAY = np.datetime64("2021-01-01", "us")
DAY = np.timedelta64(86_400_000_000, "us")
DAYS = 1_460

SCHEMA = {
    "age": pa.int64(),
    "income": pa.float64(),
    "balance": pa.float64(),
    "rate": pa.float64(),
    "visits": pa.int64(),
    "minutes": pa.float64(),
    "region": pa.string(),
    "channel": pa.string(),
    "product": pa.string(),
    "joined": pa.timestamp("us"),
    "last_visit": pa.timestamp("us"),
    "member": pa.bool_(),
    "currency": pa.string(),
}
ROW_BYTES = 110
"""Measured in Arrow memory."""

Floats = NDArray[np.float64]


class Generated(Source):
    """Customers of a shop: numbers with gaps and heavy tails, texts of few and of many levels, dates, booleans.

    The same settings (and the same numpy) give the same rows, and the number of partitions only cuts them. The
    target has signal in most columns, and noise: a linear model reaches an area under the ROC curve of about 0.8.

    Attributes
    ----------
    rows : int
        How many; default enough for a demo of a minute.
    partitions : int
        How many pieces; some are empty when there are more of them than rows.
    seed : int
        Other seeds give other rows of the same kind.
    task : str
        What `target` is: binary (0 or 1), multiclass (leaves, stays, grows) or regression (a number with outliers).
    target : str
        Name of the target's column; when that is a derived column, the one made here is called ``target``.

    Examples
    --------
    >>> table = Generated(rows=1_000, partitions=4).table()
    >>> [partition.read().rows.num_rows for partition in table.partitions]
    [250, 250, 250, 250]
    """

    kind: Literal["generated"] = "generated"
    rows: int = Field(default=100_000, ge=1)
    partitions: int = Field(default=8, ge=1)
    seed: int = Field(default=0, ge=0)
    task: Literal["binary", "multiclass", "regression"] = "binary"
    target: str = Field(default="target", min_length=1)

    def table(self, base: Path = Path()) -> Table:
        """Return the lazy table; `base` is where joined tables are."""
        made = {"binary": pa.int64(), "multiclass": pa.string(), "regression": pa.float64()}[self.task]
        name = "target" if self.target in self.derive else self.target
        schema = Schema.of(pa.schema([*SCHEMA.items(), (name, made)]))
        cuts = [self.rows * place // self.partitions for place in range(self.partitions + 1)]
        pieces = [
            GeneratedPiece(place, start, stop, self.seed, self.task, name)
            for place, (start, stop) in enumerate(pairwise(cuts))
        ]
        return open_table(self, schema, pieces, base=base)


@dataclass(frozen=True, slots=True)
class GeneratedPiece:
    """Rows `start` to `stop` of the table that a seed stands for."""

    place: int
    start: int
    stop: int
    seed: int
    task: str
    target: str

    @property
    def fingerprint(self) -> Fingerprint:
        """Its place; the rows are decided by the settings, so they changed last with this code."""
        return Fingerprint(f"generated#{self.place}", 0, VERSION)

    @property
    def n_bytes(self) -> int:
        """Estimated size in memory."""
        return (self.stop - self.start) * ROW_BYTES

    @property
    def graph(self) -> None:
        """None: rows are made where they are read."""
        return None

    def read(self, frame: Any = None) -> Decoded:
        """Make the rows."""
        first, last = self.start // CHUNK_ROWS, math.ceil(self.stop / CHUNK_ROWS)
        chunks = [make_chunk(self.seed, chunk, self.task, self.target) for chunk in range(first, max(last, first + 1))]
        rows = pa.concat_tables(chunks).slice(self.start - first * CHUNK_ROWS, self.stop - self.start)
        parameters = [VERSION, self.seed, self.task, self.target, self.start, self.stop]
        return Decoded(rows, (), digest(parameters, 32))


def make_chunk(seed: int, chunk: int, task: str, target: str) -> pa.Table:
    """Make `CHUNK_ROWS` rows.

    Parameters
    ----------
    seed, chunk : int
        Decide the rows.
    task : str
        binary, multiclass or regression.
    target : str
        Name of the last column.
    """
    random = np.random.default_rng([seed, chunk])
    n = CHUNK_ROWS
    age = np.clip(random.normal(44, 15, n), 18, 95).astype(np.int64)
    wealth = random.normal(0, 1, n) + 0.02 * (age - 44)
    income = np.round(np.exp(10.2 + 0.55 * wealth), 2)
    balance = np.round(1_500 * random.standard_t(2.2, n) + 400 * wealth, 2)
    rate = random.normal(4.2, 1.1, n)
    visits = random.negative_binomial(2, 0.15, n)
    minutes = random.gamma(1.6, 14.0, n)
    region, channel = _zipf(random, len(REGIONS), 0.9), _zipf(random, len(CHANNELS), 0.7)
    product = _zipf(random, PRODUCTS, 1.05)
    joined, since = random.integers(0, DAYS, n), random.exponential(60, n)
    member = random.random(n) < 0.35
    # what a region or a product does to the target belongs to it, so it comes from the seed alone
    effects = np.random.default_rng(seed_of(seed, "effects"))
    of_region, of_channel = effects.normal(0, 0.7, len(REGIONS)), effects.normal(0, 0.5, len(CHANNELS))
    of_product = effects.normal(0, 0.5, PRODUCTS)
    signal = (
        0.75 * wealth
        - 0.55 * (rate - 4.2)
        + 0.05 * (visits - 11)
        + 0.5 * np.tanh(balance / 3_000)
        + 0.012 * (minutes - 22)
        + of_region[region]
        + of_channel[channel]
        + of_product[product]
        + 0.8 * member
        + 0.35 * np.cos(2 * np.pi * joined / 365.25)
        - 0.01 * np.minimum(since, 200)
        - 0.6
    )
    gaps = random.random((8, n))
    last_visit = FIRST_DAY + (joined + since) * DAY
    columns = {
        "age": pa.array(age),
        "income": _gappy(income, gaps[0] < 0.08),
        "balance": pa.array(balance),
        "rate": _gappy(rate, gaps[1] < 0.02 + 0.06 * (rate > 5)),
        "visits": _gappy(visits, gaps[2] < 0.05),
        "minutes": _gappy(minutes, gaps[3] < 0.15),
        "region": _gappy(np.array(REGIONS, dtype=object)[region], gaps[4] < 0.03),
        "channel": pa.array(np.array(CHANNELS, dtype=object)[channel]),
        "product": _gappy(np.array([f"P{code:05d}" for code in product], dtype=object), gaps[5] < 0.01),
        "joined": _gappy(FIRST_DAY + joined * DAY, gaps[6] < 0.02),
        "last_visit": _gappy(last_visit, gaps[7] < 0.1),
        "member": pa.array(member),
        "currency": pa.array(["EUR"] * n),
        target: _target(random, signal, task),
    }
    return pa.table(columns)


def _target(random: np.random.Generator, signal: Floats, task: str) -> pa.Array:
    """The target of a signal, with the noise of its task."""
    if task == "regression":
        return pa.array(np.round(120 + 25 * signal + 15 * random.standard_t(4, len(signal)), 2))
    noisy = signal + random.logistic(0, 1, len(signal))
    if task == "binary":
        return pa.array((noisy > 0).astype(np.int64))
    return pa.array(np.array(STATES, dtype=object)[np.digitize(noisy, [-1.0, 1.5])])


def _zipf(random: np.random.Generator, n_levels: int, exponent: float) -> NDArray[np.int64]:
    """Codes of levels, the k-th as frequent as 1 / k ** exponent."""
    weights = np.arange(1, n_levels + 1, dtype=np.float64) ** -exponent
    shares = np.cumsum(weights) / weights.sum()
    return np.minimum(np.searchsorted(shares, random.random(CHUNK_ROWS)), n_levels - 1)


def _gappy(values: NDArray[Any], missing: NDArray[np.bool_]) -> pa.Array:
    """An Arrow array with missing values."""
    return pa.array(values, mask=missing)
