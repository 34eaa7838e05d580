"""Functions that users might write, for tests: good ones, and ones that must be refused."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

SCALE = 10.0

CALLS = itertools.count()


def _shifted(values: pd.Series) -> pd.Series:
    return values + 1


def ratio(rows: pd.DataFrame) -> pd.DataFrame:
    """Divide; missing where one is, and never infinite."""
    return pd.DataFrame({"ratio": rows["x"] / _shifted(rows["size"].astype("float64")) * SCALE})


def gap(rows: pd.DataFrame) -> pd.Series:
    """Subtract: one output as a Series."""
    return rows["float"] - rows["gaps"].astype("float64")


def many(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a column of each type."""
    return pd.DataFrame(
        {
            "whole": rows["size"] * 2,
            "truth": rows["x"] > 0,
            "text": rows["city"].fillna("?") + "!",
            "day": rows["when"].dt.floor("D"),
        },
        index=rows.index,
    )


def dtypes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the types of what it was given."""
    return pd.DataFrame({name: [str(dtype)] * len(rows) for name, dtype in rows.dtypes.items()}, index=rows.index)


def centred(rows: pd.DataFrame) -> pd.Series:
    """Look at other rows."""
    return rows["x"] - rows["x"].mean()


def previous(rows: pd.DataFrame) -> pd.Series:
    """Look at the row before."""
    return rows["x"].shift(1)


def dice(rows: pd.DataFrame) -> pd.Series:
    """Give something else each time."""
    return pd.Series(np.random.default_rng(next(CALLS)).random(len(rows)), index=rows.index)


def shorter(rows: pd.DataFrame) -> pd.DataFrame:
    """Lose rows."""
    return rows[["x"]].dropna().rename(columns={"x": "out"})


def renumbered(rows: pd.DataFrame) -> pd.DataFrame:
    """Lose the index."""
    return rows[["x"]].iloc[::-1].rename(columns={"x": "out"})


def failing(rows: pd.DataFrame) -> pd.DataFrame:
    """Fail."""
    raise KeyError("nothing")


def scalar(rows: pd.DataFrame) -> float:
    """Return no rows at all."""
    return 1.0
