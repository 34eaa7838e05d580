"""How soon a doubled error rate is found, and how often a constant one is called a change.

python -m tests.bench.drift [--streams 200] [--records 20000000]

Simulated errors of 0 and 1, independent of each other, through the watch as a stream uses it. Beside the settings that
daskflow has, river's own.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from daskflow.streams import drift_errors
from daskflow.streams.drift_errors import ErrorWatch

AFTER = 10_000
"""Rows after the change; a watch that has not found it by then never does."""

AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Found:
    """Of several streams: rows from the change to the alarm, alarms before it, and how far off its begin was told."""

    delays: list[int]
    early: int
    off: list[int]


def errors(draw: np.random.Generator, share: float, n_rows: int) -> Any:
    return (draw.random(n_rows) < share).astype(np.float64)


def delays(*, streams: int, before: int, share: float = 0.10, later: float = 0.20) -> Found:
    """Let the error rate change after so many records, once in each stream."""
    found, early, off = [], 0, []
    for seed in range(streams):
        draw, watch = np.random.default_rng([seed, before]), ErrorWatch()
        early += len(watch.learned(errors(draw, share, before)))
        rises = watch.learned(errors(draw, later, AFTER))
        found.append(rises[0].at - before if rises else 10 * AFTER)
        off += [rise.since - before for rise in rises[:1]]
    return Found(found, early, off)


def false_alarms(*, records: int, share: float, seed: int = 0) -> int:
    """Count the alarms of one stream of a constant error rate."""
    draw, watch, found = np.random.default_rng([seed, records]), ErrorWatch(), 0
    for start in range(0, records, AT_ONCE):
        found += len(watch.learned(errors(draw, share, min(AT_ONCE, records - start))))
    return found


def of_river(records: int) -> None:
    """Say what river's own settings give."""
    from river.drift import ADWIN, PageHinkley

    ways: dict[str, Any] = {
        "ADWIN()": ADWIN,
        "PageHinkley()": PageHinkley,
        "PageHinkley(mode='up', alpha=1)": lambda: PageHinkley(mode="up", alpha=1.0),
        "PageHinkley(mode='up', alpha=1, delta=0.03)": lambda: PageHinkley(mode="up", alpha=1.0, delta=0.03),
    }
    for name, make in ways.items():
        counts = []
        for share in (0.1, 0.3, 0.5):
            watch, found = make(), 0
            for error in errors(np.random.default_rng(1), share, records).tolist():
                watch.update(error)
                found += watch.drift_detected
            counts.append(f"{found / records * 1e6:.1f} at {share}")
        print(f"  {name}: alarms per 1 M stationary records: {', '.join(counts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--records", type=int, default=20_000_000)
    asked = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, river {version('river')}")
    print(f"ADWIN delta {drift_errors.DELTA}; Page-Hinkley rise {drift_errors.RISE}, sum {drift_errors.THRESHOLD:g}")
    print(f"\n0.10 -> 0.20, {asked.streams} streams each: records from the change to the alarm")
    for before in (1_000, 2_000, 5_000, 20_000):
        found = delays(streams=asked.streams, before=before)
        q = np.quantile(found.delays, [0.5, 0.95, 0.99, 1.0]).astype(int)
        off = np.quantile(found.off, [0.05, 0.5, 0.95]).astype(int)
        within, shown = np.mean(np.asarray(found.delays) <= 2_000), "median {}, 95 % {}, 99 % {}, most {}".format(*q)
        print(f"  after {before:>6,} stationary ones: {shown}; within 2,000: {within:.1%}; ", end="")
        print(f"early alarms {found.early}; begin off by {off.tolist()}", flush=True)
    print("\nAlarms of stationary streams")
    shares, total = (0.01, 0.10, 0.20, 0.50), 0
    began = time.process_time()
    for share in shares:
        count = false_alarms(records=asked.records // len(shares), share=share)
        total += count
        print(f"  error rate {share}: {count} in {asked.records // len(shares):,} records", flush=True)
    seconds = time.process_time() - began
    many = [ErrorWatch().learned(errors(np.random.default_rng(seed), 0.1, 2_000)) for seed in range(1_000)]
    print(f"  error rate 0.1, 1,000 streams of 2,000 records: {sum(map(len, many))}")
    print(f"  in all {total} in {asked.records:,}; {seconds / asked.records * 1e6:.2f} us of CPU per record")
    print("\nriver's own settings")
    of_river(min(asked.records, 2_000_000))


if __name__ == "__main__":
    main()
