"""Twenty metrics with intervals in one pass, and scikit-learn's on whole arrays: CPU of a replicate, and peak memory.

    python tests/bench/metrics_pass.py --rows 10000000

- ``scikit-learn``: the twenty metrics once, on arrays in memory: what one replicate costs where every row gets a weight
  and metrics are computed anew.
- ``values``: one pass in blocks without resampling.
- ``replicates``: the same with 500 replicates; rows are their own units.
- ``groups``: the same with rows of 20 to a group.
- ``paired``: two models with 500 replicates, and the intervals of their differences.

A replicate's cost is what a run takes more than the one without, by 500 (and 1,000 for two models).
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import turns

TOOLS = ("scikit-learn", "values", "replicates", "groups", "paired", "paired values")
REPLICATES = 500
BLOCK_ROWS = 2**18
NAMES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "recall_macro",
    "precision_weighted",
    "recall_weighted",
    "mcc",
    "cohen_kappa",
    "jaccard",
    "fbeta_2",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "ks",
)


def blocks(n_rows: int) -> Iterator[tuple[int, Any, Any, Any]]:
    """Yield the number of the first row, truth, and two models' probabilities."""
    import numpy as np

    for start in range(0, n_rows, BLOCK_ROWS):
        rng = np.random.default_rng(start)
        size = min(BLOCK_ROWS, n_rows - start)
        p = rng.beta(1.0, 3.0, size)
        other = np.clip(p + rng.normal(0.0, 0.02, size), 0.0, 1.0)
        yield start, (rng.random(size) < p).astype(np.int64), p, other


def metrics() -> list[Any]:
    """The twenty metrics."""
    from daskflow.metrics import parse

    table = {"fbeta_2": {"kind": "fbeta", "beta": 2.0}}
    return [parse(table.get(name, name)) for name in NAMES]


def references() -> Mapping[str, Any]:
    """The same in scikit-learn: functions of truth, labels and probabilities."""
    import sklearn.metrics as sk
    from scipy.stats import ks_2samp

    def averaged(function: Any, average: str, **options: Any) -> Any:
        return lambda y, label, p: function(y, label, average=average, **options)

    found = {
        "accuracy": lambda y, label, p: sk.accuracy_score(y, label),
        "balanced_accuracy": lambda y, label, p: sk.balanced_accuracy_score(y, label),
        "mcc": lambda y, label, p: sk.matthews_corrcoef(y, label),
        "cohen_kappa": lambda y, label, p: sk.cohen_kappa_score(y, label),
        "jaccard": lambda y, label, p: sk.jaccard_score(y, label),
        "fbeta_2": averaged(sk.fbeta_score, "binary", beta=2.0),
        "roc_auc": lambda y, label, p: sk.roc_auc_score(y, p),
        "average_precision": lambda y, label, p: sk.average_precision_score(y, p),
        "log_loss": lambda y, label, p: sk.log_loss(y, p),
        "brier": lambda y, label, p: sk.brier_score_loss(y, p),
        "ks": lambda y, label, p: ks_2samp(p[y == 1], p[y == 0], method="asymp").statistic,
    }
    functions = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    for kind, function in functions.items():
        found |= {kind: averaged(function, "binary")}
        found |= {f"{kind}_{average}": averaged(function, average) for average in ("macro", "weighted")}
    return found


def reference(clock: turns.Clock, n_rows: int) -> dict[str, Any]:
    """Compute the metrics of whole arrays."""
    import numpy as np

    y, p = (np.concatenate(parts) for parts in zip(*((y, p) for _, y, p, _ in blocks(n_rows)), strict=True))
    label, functions = (p > 0.5).astype(np.int64), references()
    with clock:
        values = {name: float(functions[name](y, label, p)) for name in NAMES}
    return {"values": values, "memory": peak()}


def passed(clock: turns.Clock, tool: str, n_rows: int) -> dict[str, Any]:
    """Make one pass over the blocks; only what the tally does is timed."""
    import numpy as np

    from daskflow.data.predictions import Predictions
    from daskflow.metrics.asked import Asked
    from daskflow.metrics.paired import compare
    from daskflow.metrics.tally import Tally

    is_pair = tool.startswith("paired")
    asked = Asked(metrics(), "binary", ["no", "yes"], 7, 0 if "values" in tool else REPLICATES)
    tallies: list[Any] = [None, None] if is_pair else [None]
    stopwatch = turns.Stopwatch()
    for n in (2000, n_rows):  # the first round has everything compiled and imported
        tallies = [None] * len(tallies)
        stopwatch = turns.Stopwatch()
        for start, y, *both in blocks(n):
            unit = (np.arange(start, start + len(y)) // 20).astype(np.uint64) if tool == "groups" else None
            with stopwatch:
                for number in range(len(tallies)):
                    p = both[number]
                    own = Tally.of(asked, y, Predictions(None, p, p), unit=unit, start=start)
                    tallies[number] = own if tallies[number] is None else tallies[number].merge(own)
        with stopwatch:
            if is_pair:
                differences = compare(*tallies)
                values = {name: each.first.value for name, each in differences.items()}
            else:
                values = {name: score.value for name, score in tallies[0].evaluation().metrics.items()}
    clock.wall, clock.cpu = stopwatch.wall, stopwatch.cpu
    return {"values": dict(zip(NAMES, values.values(), strict=True)), "memory": peak()}


def peak() -> float:
    """Peak memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Run the tools in turns, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    turns.add_options(parser, TOOLS, 3)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    if options.one == "scikit-learn":
        turns.answer(lambda clock: reference(clock, options.rows))
        return
    if options.one:
        turns.answer(lambda clock: passed(clock, options.one, options.rows))
        return
    runs = turns.in_turns(
        options.tools,
        options.repeats,
        lambda name: turns.once(__file__, ["--one", name, "--rows", str(options.rows)]),
        ["memory"],
    )
    print(turns.table(runs, {"peak GB": ("memory", 2)}))
    cpu = {name: median(run["cpu"] for run in found) for name, found in runs.items()}
    for name, (less, n) in {
        "replicates": ("values", REPLICATES),
        "groups": ("values", REPLICATES),
        "paired": ("paired values", 2 * REPLICATES),
    }.items():
        if {name, less, "scikit-learn"} <= cpu.keys():
            each = (cpu[name] - cpu[less]) / n
            print(
                f"{name}: {1000 * each:.2f} ms a replicate, {each / cpu['scikit-learn']:.6f} of scikit-learn's metrics"
            )
    if {"values", "scikit-learn"} <= runs.keys():
        ours, theirs = runs["values"][0]["values"], runs["scikit-learn"][0]["values"]
        print(f"largest difference of a value: {max(abs(ours[name] - theirs[name]) for name in NAMES):.2e}")
    print(turns.about(runs, options.repeats))


if __name__ == "__main__":
    main()
