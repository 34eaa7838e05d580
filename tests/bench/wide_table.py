"""Make the 30-column table of the benchmarks: floats of four shapes, integers, strings of few and many levels, dates.

Parts of 250,000 rows, one parquet file (snappy) of one row group each; a part depends on its number alone.

    python tests/bench/wide_table.py FOLDER --rows 2000000
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PART_ROWS = 250_000

FLOATS = [f"f{j:02d}" for j in range(12)]
INTEGERS = {"i0": (0, 10), "i1": (0, 1000), "i2": (-50, 50), "i3": (0, 2_000_000_000)}
LOW = {"c_color": 6, "c_region": 24, "c_device": 12, "c_plan": 4, "c_channel": 40, "c_segment": 120}
HIGH = {"h_user": 100_000, "h_item": 120_000}
LOW_EXPONENT, HIGH_EXPONENT = 1.3, 0.8
LOW_MISSING, HIGH_MISSING = 0.03, 0.01
INTERCEPT = -0.02


def _shares(n_levels: int, exponent: float) -> np.ndarray[Any, Any]:
    """Cumulative Zipf shares."""
    weights = 1.0 / np.arange(1, n_levels + 1) ** exponent
    return np.cumsum(weights / weights.sum())


def _levels() -> dict[str, tuple[list[str], np.ndarray[Any, Any]]]:
    """Names and effects of all levels."""
    rng = np.random.default_rng(0)
    low = {name: ([f"{name}_{i}" for i in range(n)], rng.normal(0, 0.3, n)) for name, n in LOW.items()}
    high = {name: ([f"{name[2:]}{i:07d}" for i in range(n)], rng.normal(0, 0.5, n)) for name, n in HIGH.items()}
    return low | high


def _float(rng: np.random.Generator, j: int, n: int) -> np.ndarray[Any, Any]:
    """One float column without gaps."""
    match j % 4:
        case 0:
            return rng.normal(size=n) * (j + 1) + j
        case 1:
            return np.exp(1.2 * rng.normal(size=n) + 0.1 * j)
        case 2:
            return rng.standard_t(2.2, n) * 5
    return np.round(rng.gamma(2, 20, n), 2)


def part(number: int, n: int = PART_ROWS) -> pa.Table:
    """Return one part of the table."""
    rng = np.random.default_rng([7, number])
    columns: dict[str, Any] = {}
    logit = np.full(n, INTERCEPT)
    for j, name in enumerate(FLOATS):
        values = _float(rng, j, n)
        centre, spread = np.median(values), np.subtract(*np.quantile(values, [0.75, 0.25]))
        logit += 0.15 * (-1) ** j * np.tanh((values - centre) / spread)
        columns[name] = pa.array(values, mask=rng.random(n) < 0.02 + 0.02 * j)
    for name, (low, high) in INTEGERS.items():
        columns[name] = pa.array(rng.integers(low, high, n))
    for name, (levels, effects) in _levels().items():
        is_high = name in HIGH
        exponent, missing = (HIGH_EXPONENT, HIGH_MISSING) if is_high else (LOW_EXPONENT, LOW_MISSING)
        codes = np.minimum(np.searchsorted(_shares(len(levels), exponent), rng.random(n)), len(levels) - 1)
        logit += effects[codes]
        gaps = rng.random(n) < missing
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes, mask=gaps), pa.array(levels)).dictionary_decode()
    start = np.datetime64("2024-01-01", "us").astype(np.int64)
    seconds = rng.integers(0, 365 * 86_400, (2, n)) * 1_000_000
    columns["t_event"] = pa.array(start + seconds[0], pa.timestamp("us"))
    columns["t_signup"] = pa.array(start - seconds[1], pa.timestamp("us"), mask=rng.random(n) < 0.05)
    columns["b_new"] = pa.array(rng.random(n) < 0.2)
    promo = rng.random(n) < 0.5
    columns["b_promo"] = pa.array(promo)
    columns["const"] = pa.array(np.ones(n, dtype=np.int64))
    logit += 0.4 * promo
    columns["target"] = pa.array((rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int8))
    return pa.table(columns)


def write(folder: Path, rows: int) -> list[Path]:
    """Write the parts that are not there yet; return all their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part.{number:03d}.parquet" for number in range(rows // PART_ROWS)]
    for number, path in enumerate(paths):
        if not path.exists():
            pq.write_table(part(number), path.with_suffix(".part"), compression="snappy")
            path.with_suffix(".part").rename(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000)
    options = parser.parse_args()
    print(f"{len(write(options.folder, options.rows))} files in {options.folder}")
