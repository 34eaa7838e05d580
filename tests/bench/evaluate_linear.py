"""What evaluating a linear model costs beyond predicting with it, block by block, without resampling.

    python tests/bench/evaluate_linear.py --rows 20000000 --features 100

- ``probabilities``: the estimator's ``predict_proba`` alone, of blocks of float32 rows.
- ``predictions``: what a run asks of an estimator, labels and probabilities (`daskflow.data.predictions.predict`).
- ``evaluation of probabilities``, ``evaluation of predictions``: the same, and a tally of them for the default metrics
  of two classes and all pictures, and at the end the evaluation. Ranking metrics are exact.
"""

from __future__ import annotations

import argparse
import resource
from statistics import median
from typing import Any

import turns

TOOLS = ("probabilities", "predictions", "evaluation of probabilities", "evaluation of predictions")
BLOCK_ROWS = 2**16


def run(clock: turns.Clock, tool: str, n_rows: int, n_features: int, kind: str) -> dict[str, Any]:
    """Predict all rows, and evaluate them or not; making the rows is not timed."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression, SGDClassifier

    from daskflow.data.predictions import Predictions, predict
    from daskflow.metrics import defaults, parse
    from daskflow.metrics.asked import Asked
    from daskflow.metrics.tally import Tally

    rng = np.random.default_rng(0)
    slopes = rng.normal(size=n_features).astype(np.float32) / np.sqrt(n_features)
    X = rng.normal(size=(4 * BLOCK_ROWS, n_features)).astype(np.float32)
    y = (X @ slopes + rng.logistic(size=len(X)) > 0).astype(np.int64)
    model = LogisticRegression() if kind == "logistic" else SGDClassifier(loss="log_loss", random_state=0)
    model.fit(X[:20_000], y[:20_000])
    asked = Asked([parse(name) for name in defaults("binary")], "binary", ["no", "yes"], 7, replicates=0)
    is_bare = tool.endswith("probabilities")

    def tally_of(n: int) -> Any:
        tally, stopwatch = None, turns.Stopwatch()
        for start in range(0, n, BLOCK_ROWS):
            # rows of their own in every block: the same ones, pushed to another side
            first = (start // BLOCK_ROWS % 4) * BLOCK_ROWS
            rows = slice(first, first + min(BLOCK_ROWS, n - start))
            block, truth = X[rows], y[rows]
            block += np.float32(1e-3 * rng.normal())
            with stopwatch:
                if is_bare:
                    p = model.predict_proba(block)[:, 1]
                else:
                    given = predict(model, block, 2)
                if tool.startswith("evaluation"):
                    if is_bare:
                        p = p.astype(np.float64)
                        given = Predictions(None, p, p)
                    own = Tally.of(asked, truth, given, start=start)
                    tally = own if tally is None else tally.merge(own)
        area = 0.0
        with stopwatch:
            if tally is not None:
                area = tally.evaluation().metrics["roc_auc"].value
        clock.wall, clock.cpu = stopwatch.wall, stopwatch.cpu
        return area

    tally_of(2 * BLOCK_ROWS)  # has everything compiled and imported
    area = tally_of(n_rows)
    return {"area": area, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def main() -> None:
    """Run the tools in turns, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    turns.add_options(parser, TOOLS, 3)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--model", choices=["logistic", "sgd"], default="logistic")
    options = parser.parse_args()
    if options.one:
        turns.answer(lambda clock: run(clock, options.one, options.rows, options.features, options.model))
        return
    given = ["--rows", str(options.rows), "--features", str(options.features), "--model", options.model]
    runs = turns.in_turns(
        options.tools, options.repeats, lambda name: turns.once(__file__, ["--one", name, *given]), ["memory"]
    )
    print(turns.table(runs, {"peak GB": ("memory", 2)}))
    for what in ("probabilities", "predictions"):
        if {what, f"evaluation of {what}"} <= runs.keys():
            pairs = zip(runs[f"evaluation of {what}"], runs[what], strict=True)
            ratios = [one["cpu"] / other["cpu"] for one, other in pairs]
            print(f"{what}: evaluating costs {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}) times the CPU")
    print(turns.about(runs, options.repeats))


if __name__ == "__main__":
    main()
