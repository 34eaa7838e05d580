"""One tool fits one plan on the wide table, and prints what it cost as one line of JSON; `preprocessing.py` runs it.

    python tests/bench/preprocessing_tools.py TOOL FOLDER

The two plans
    common: medians fill gaps in 12 floats, which are scaled like 4 integers; counts of 6 columns of few levels, levels
    below 1 % are rare. full: floats are clipped at the quantiles 0.001 and 0.999 and scaled by the quartiles; 2 columns
    of 100,000 levels are encoded by the target, smoothed, with 5 parts; 2 dates and 2 truths are looked at too.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wide_table import FLOATS, HIGH, INTEGERS, LOW

NUMBERS = [*FLOATS, *INTEGERS]
DATES, TRUTHS = ["t_event", "t_signup"], ["b_new", "b_promo"]
TEST_SHARE = 0.01
"""As little as the split allows goes to the test, so that all tools look at the same rows but for one in a hundred."""


def cpu() -> float:
    """CPU-seconds of this process and its ended children."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in found)


Phases = dict[str, float]
Fit = Callable[[], Phases]


class Daskflow:
    """A plan on a folder, step by step, in this process."""

    def __init__(self, plan: str) -> None:
        """Say what is to be done with the columns."""
        from daskflow.preprocess.settings import Preprocessing

        rare = {"kind": "rare", "min_frequency": 0.01}
        self.columns = [*NUMBERS, *LOW, "target", *([*HIGH, *DATES, *TRUTHS] if plan == "full" else [])]
        if plan == "common":
            steps: dict[str, Any] = {"numeric": [{"kind": "impute", "strategy": "median"}, "scale"]}
        else:
            clip = {"kind": "clip", "lower": 0.001, "upper": 0.999}
            robust = {"kind": "scale", "method": "robust"}
            chain = [{"kind": "impute", "strategy": "median"}, clip, robust]
            target = [{"kind": "target", "smooth": 10.0}]
            steps = {"numeric": chain, "boolean": ["impute"], "columns": dict.fromkeys(HIGH, target)}
        self.preprocessing = Preprocessing(categorical=[rare, "onehot"], **steps)

    def fitted(self, where: Path, store: Path) -> tuple[Any, Any, Any, Phases]:
        """Scan, split, count and fit."""
        import daskflow as flow
        from daskflow.data import passes
        from daskflow.data.execution import InlineExecutor
        from daskflow.data.ranges import RangeReader
        from daskflow.data.scan import scan, target_of
        from daskflow.data.splits import Split, plan_split

        executor, path, columns = InlineExecutor(), str(where / "*.parquet"), self.columns
        start = cpu()
        table = flow.sources.Parquet(path=path, columns=columns, target="target", task="binary").table(Path())
        blocks = scan(table, store, executor)
        scanned = cpu()
        target = target_of(blocks, table.task, table.positive)
        split = plan_split(Split(test=TEST_SHARE, validation=TEST_SHARE), blocks, target, executor)
        cut = cpu()
        reader = RangeReader(blocks, split, target)
        features = blocks.features
        statistics = passes.collect(reader, self.preprocessing.needs(features, blocks.profile), executor)
        fitted = self.preprocessing.fit(features, statistics.only([0]))
        return table, reader, fitted, {"scan": scanned - start, "split": cut - scanned, "statistics": cpu() - cut}


def daskflow_fit(folder: Path, plan: str, stores: Path | None) -> Fit:
    """Fit a plan, with blocks in a new folder of `stores` (None: where temporary files are)."""

    def fit() -> Phases:
        store = Path(tempfile.mkdtemp(prefix="bench-store-", dir=stores))
        try:
            return Daskflow(plan).fitted(folder, store)[3]
        finally:
            shutil.rmtree(store)

    return fit


def daskflow_matrices(folder: Path, plan: str) -> Fit:
    """Make the matrices of a fitted plan from blocks, and read them; and decode the files and transform once more."""
    from daskflow.data import matrices
    from daskflow.data.conforming import conform
    from daskflow.data.execution import InlineExecutor

    def fit() -> Phases:
        store = Path(tempfile.mkdtemp(prefix="bench-store-"))
        try:
            table, reader, fitted, _ = Daskflow(plan).fitted(folder, store)
            start = cpu()
            made = matrices.build(reader, [fitted], None, store / "matrices", InlineExecutor()).fold(0)
            built = cpu()
            for part in (made.train, made.validation):
                for place in range(part.n_blocks):
                    part.block(place).X.sum()
            visited = cpu()
            for partition in table.partitions:
                rows = conform(partition.read().rows, table.source_schema, "bench")
                fitted.matrix(rows)
            return {"from blocks": built - start, "visit": visited - built, "decode again": cpu() - visited}
        finally:
            shutil.rmtree(store)

    return fit


def polars_fit(folder: Path, plan: str) -> Fit:
    """One streaming collect of all aggregates; polars finds out that the files are scanned once."""
    import polars as pl

    frame = pl.scan_parquet(str(folder / "*.parquet"))
    quantiles = [0.5] if plan == "common" else [0.001, 0.25, 0.5, 0.75, 0.999]
    wanted = [pl.col(name).quantile(q).alias(f"{name}_{q}") for name in FLOATS for q in quantiles]
    wanted += [
        getattr(pl.col(name), what)().alias(f"{name}_{what}")
        for name in NUMBERS
        for what in ("mean", "std", "null_count", "min", "max")
    ]
    if plan == "full":
        wanted += [getattr(pl.col(n), what)().alias(f"{n}_{what}") for n in DATES for what in ("min", "max")]
        wanted += [pl.col(name).mean().alias(f"{name}_mean") for name in TRUTHS]
    frames = [frame.select(wanted)]
    frames += [frame.group_by(name).len() for name in LOW]
    if plan == "full":
        part = (pl.col("i3") % 5).alias("part")
        frames += [frame.group_by(name, part).agg(pl.len(), pl.col("target").cast(pl.Int64).sum()) for name in HIGH]

    def fit() -> Phases:
        start = cpu()
        pl.collect_all(frames, engine="streaming")
        return {"fit": cpu() - start}

    return fit


def dask_ml_fit(folder: Path) -> Fit:
    """dask-ml's own steps, each on the columns it can take, on the threaded scheduler."""
    import dask.dataframe as dd
    from dask_ml.impute import SimpleImputer
    from dask_ml.preprocessing import Categorizer, OneHotEncoder, StandardScaler

    def fit() -> Phases:
        start = cpu()
        frame = dd.read_parquet(str(folder), columns=[*NUMBERS, *LOW])
        imputer = SimpleImputer(strategy="median").fit(frame[FLOATS])
        StandardScaler().fit(imputer.transform(frame[FLOATS]))
        StandardScaler().fit(frame[list(INTEGERS)])
        categorizer = Categorizer().fit(frame[list(LOW)])
        OneHotEncoder(sparse_output=True).fit(categorizer.transform(frame[list(LOW)]).dropna())
        return {"fit": cpu() - start}

    return fit


def scikit_learn_fit(folder: Path, plan: str) -> Fit:
    """Read the table into memory, then a ColumnTransformer."""
    import numpy as np
    import pandas as pd
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler, TargetEncoder

    class Clip(TransformerMixin, BaseEstimator):  # type: ignore[misc]
        """Clip at two quantiles."""

        def fit(self, X: Any, y: Any = None) -> Any:
            self.ends_ = np.quantile(X, [0.001, 0.999], axis=0)
            return self

        def transform(self, X: Any) -> Any:
            return np.clip(X, *self.ends_)

    def fit() -> Phases:
        start = cpu()
        frame = pd.read_parquet(folder)
        read = cpu()
        levels = OneHotEncoder(min_frequency=0.01, handle_unknown="infrequent_if_exist")
        if plan == "common":
            steps = [
                ("float", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), FLOATS),
                ("integer", StandardScaler(), list(INTEGERS)),
                ("low", levels, list(LOW)),
            ]
        else:
            steps = [
                ("number", make_pipeline(SimpleImputer(strategy="median"), Clip(), RobustScaler()), NUMBERS),
                ("low", levels, list(LOW)),
                ("high", TargetEncoder(smooth=10.0, cv=5), list(HIGH)),
                ("truth", "passthrough", TRUTHS),
            ]
        ColumnTransformer(steps).fit(frame, frame["target"])
        return {"read": read - start, "fit": cpu() - read}

    return fit


TOOLS: dict[str, Callable[[Path], Fit]] = {
    "daskflow common": lambda folder: daskflow_fit(folder, "common", None),
    "daskflow common, blocks in memory": lambda folder: daskflow_fit(folder, "common", Path("/dev/shm")),
    "daskflow full": lambda folder: daskflow_fit(folder, "full", None),
    "daskflow matrices": lambda folder: daskflow_matrices(folder, "common"),
    "polars common": lambda folder: polars_fit(folder, "common"),
    "polars full": lambda folder: polars_fit(folder, "full"),
    "dask-ml common": dask_ml_fit,
    "scikit-learn common": lambda folder: scikit_learn_fit(folder, "common"),
    "scikit-learn full": lambda folder: scikit_learn_fit(folder, "full"),
}

if __name__ == "__main__":
    name, where, warm = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    TOOLS[name](warm)()  # imports, and code that is compiled at its first use
    started = cpu()
    fit = TOOLS[name](where)
    began = time.perf_counter()
    phases = fit()
    wall = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"phases": phases, "cpu": sum(phases.values()), "wall": wall, "peak": peak, "start": started}
    print(json.dumps(found))
