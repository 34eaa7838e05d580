"""What loading a model folder and predicting with it needs, as pip reads it."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

import daskflow

TABLES = ("numpy", "pandas", "pyarrow", "pydantic", "scipy")
"""Libraries that hold rows and settings: any version of the same first number reads the folder."""


def requirements(estimator: Any, *, is_native: bool) -> str:
    """Return the text of ``requirements.txt``: one constraint a line.

    scikit-learn and a boosting library are pinned, since another version may predict otherwise; what reads tables may
    be newer. A package that an estimator of the user's own comes from is listed when it is installed as one.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> [line.partition("=")[0] for line in requirements(Ridge(), is_native=False).splitlines()[2:]]
    ['daskflow', 'numpy>', 'pandas>', 'pyarrow>', 'pydantic>', 'scikit-learn', 'scipy>', 'skops>']
    """
    lines = {
        "daskflow": f"daskflow=={daskflow.__version__}",
        "scikit-learn": f"scikit-learn=={version('scikit-learn')}",
    }
    for name in (*TABLES, *(() if is_native else ("skops",))):
        found = version(name)
        first = int(found.partition(".")[0])
        lines[name] = f"{name}>={found},<{first + 1}"
    package = type(estimator).__module__.partition(".")[0]
    if package not in ("sklearn", "daskflow"):
        with suppress(PackageNotFoundError):  # a module of the user's own: card.md names it
            lines[package] = f"{package}=={version(package)}"
    head = f"# What loading this model and predicting with it needs; written with Python {python_version()}.\n"
    note = "# Predicting on dask DataFrames needs dask[dataframe] too, which daskflow itself brings.\n"
    return head + note + "".join(f"{lines[name]}\n" for name in sorted(lines))
