"""Count every group and every pair of groups of a table of predictions, beside pandas' groupby of the same groups.

daskflow sums by 64 buckets, so that every group and pair has an interval that allows for rows that depend on each
other; pandas sums the loss by group and pair once, which says nothing of that.

    python tests/bench/slices.py --rows 1000000 --columns 20
"""

from __future__ import annotations

import argparse
import resource
from itertools import combinations
from typing import Any

import numpy as np
import turns

TOOLS = ("daskflow", "pandas")


def rows_of(n_rows: int, n_columns: int) -> tuple[dict[str, Any], Any, Any]:
    """Half of the columns levels, half numbers; labels drawn by the predicted probabilities."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for place in range(n_columns):
        codes = rng.choice(6, n_rows, p=[0.3, 0.25, 0.2, 0.15, 0.07, 0.03])
        columns[f"c{place}"] = np.array(list("abcdef"))[codes] if place % 2 else rng.normal(size=n_rows)
    p = rng.beta(1, 4, n_rows)
    return columns, (rng.random(n_rows) < p).astype(int), p


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def daskflow(clock: turns.Clock, columns: dict[str, Any], y: Any, p: Any) -> dict[str, Any]:
    """Blocks of 65,536 rows, merged."""
    import pyarrow as pa

    from daskflow.data.predictions import Predictions
    from daskflow.metrics import parse
    from daskflow.metrics.slices import SliceAsked, SliceTally
    from daskflow.metrics.slices_columns import slice_columns

    table = pa.table(columns)
    names = [name for name in columns if pa.types.is_string(table[name].type)]
    for name in names:  # as blocks hold texts
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    asked = SliceAsked(parse("log_loss"), "binary", ["no", "yes"], slice_columns(table.slice(0, 10_000)))
    labels = (p > 0.5).astype(int)
    few = slice(0, 100)
    SliceTally.of(asked, table.slice(0, 100), y[few], Predictions(labels[few], p[few], p[few])).result()
    before = peak_mb()
    with clock:
        whole = None
        for start in range(0, len(y), 65_536):
            part = slice(start, start + 65_536)
            given = Predictions(labels[part], p[part], p[part])
            tally = SliceTally.of(asked, table.slice(start, 65_536), y[part], given, start=start)
            whole = tally if whole is None else whole.merge(tally)
        assert whole is not None
        found = whole.result()
    return {"groups": len(whole.rows), "shown": len(found["worst_slices"]), "grown_mb": peak_mb() - before}


def pandas(clock: turns.Clock, columns: dict[str, Any], y: Any, p: Any) -> dict[str, Any]:
    """Numbers cut at the same quantiles, texts as categories, one groupby for each column and pair."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    for name in frame:
        frame[name] = frame[name].astype("category") if frame[name].dtype != float else frame[name]
    before = peak_mb()
    with clock:
        for name in frame.select_dtypes("number"):
            frame[name] = pd.qcut(frame[name], 5)
        loss = pd.Series(-np.log(np.where(y == 1, p, 1 - p)))
        groups = 0
        for names in [*((name,) for name in frame), *combinations(frame.columns, 2)]:
            found = loss.groupby([frame[name] for name in names], observed=False).agg(["sum", "count"])
            groups += len(found)
    return {"groups": groups, "shown": 0, "grown_mb": peak_mb() - before}


def main() -> None:
    """Run the tools in turns, or one of them here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    turns.add_options(parser, TOOLS, 3)
    options = parser.parse_args()
    if options.one:
        data = rows_of(options.rows, options.columns)
        tool = {"daskflow": daskflow, "pandas": pandas}[options.one]

        turns.answer(lambda clock: tool(clock, *data))
        return
    own = ["--rows", str(options.rows), "--columns", str(options.columns)]
    runs = turns.in_turns(
        options.tools,
        options.repeats,
        lambda name: turns.once(__file__, [*own, "--one", name]),
        ("groups", "grown_mb"),
    )
    print(turns.table(runs, {"groups": ("groups", 0), "memory MB": ("grown_mb", 0)}))
    print(turns.about(runs, options.repeats))


if __name__ == "__main__":
    main()
