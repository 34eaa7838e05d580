"""Numbers sorted into bins: of equal counts, of equal widths, or between edges that are given."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from daskflow.data.arrays import Numbers
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.changes import changed, distribution_of, too_large
from daskflow.preprocess.quantile import Method, quantiles_of
from daskflow.preprocess.steps import Fitted, Flow, Form, OneHot, State

MOST_BINS = 1000

REPLACED = ("strategy", "n_bins", "quantile_method")
"""Options that mean nothing where edges are given."""


@dataclass(frozen=True, slots=True)
class Binned(Fitted):
    """Numbers replaced by the number of their bin, or by a column of 0 and 1 for each bin.

    Attributes
    ----------
    edges : tuple of float
        Increasing; bin k is from edge k - 1 up to, and without, edge k. The first and the last bin have no end.
    is_onehot : bool
        Whether bins are columns.
    has_missing : bool
        Whether missing values have a column, the last; without it they are zeros.
    """

    kind: ClassVar[str] = "bin"

    edges: tuple[float, ...]
    is_onehot: bool
    has_missing: bool

    @property
    def n_indicators(self) -> int:
        """Columns of 0 and 1; a single bin without missing values has none, for it says nothing."""
        if not self.is_onehot or not (self.edges or self.has_missing):
            return 0
        return len(self.edges) + 1 + self.has_missing

    def apply(self, flow: Flow) -> Flow:
        """Find the bins; missing stays missing where bins are numbers."""
        numbers = flow.numbers()
        bins = self.bins(numbers)
        missing = np.isnan(numbers)
        if not self.is_onehot:
            return replace(flow, values=np.where(missing, np.nan, bins))
        if not self.n_indicators:
            return flow.finished()
        bins[missing] = self.n_indicators - 1 if self.has_missing else -1
        return flow.finished(OneHot(bins, self.n_indicators))

    def bins(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return the number of each one's bin, shape (n,)."""
        return np.searchsorted(np.array(self.edges), numbers, side="right").astype(np.int64)


class Bin(Step):
    """Sort numbers into bins, as scikit-learn's KBinsDiscretizer; values beyond the ends are in the outer bins.

    A bin is from its lower edge up to, and without, its upper edge. Edges that are equal are one, so that there may be
    fewer bins than asked for. Columns are named ``COLUMN_below_A``, ``COLUMN_A_to_B``, ``COLUMN_from_B``. Quantiles are
    exact up to 65,536 distinct numbers, else within 2**-13 of their own size (tables above a million rows: 4,096 and
    2**-10).

    Attributes
    ----------
    strategy : str
        ``quantile`` (default): bins of about as many rows each. ``uniform``: bins of the same width.
    n_bins : int
        How many; default 5.
    edges : list of float, optional
        Increasing edges between the bins, instead of a strategy: n edges make n + 1 bins.
    encode : str
        ``onehot`` (default): a column of 0 and 1 for each bin; a missing value has one of its own,
        ``COLUMN_(missing)``, when it occurred in training, else it is zeros. ``ordinal``: the bin's number from 0;
        missing stays missing.
    quantile_method : str
        ``averaged_inverted_cdf`` (default, as scikit-learn's), ``inverted_cdf`` or ``linear``: what is between two
        numbers, as in ``numpy.quantile``.
    """

    kind: Literal["bin"] = "bin"
    strategy: Literal["quantile", "uniform"] = "quantile"
    n_bins: int = Field(default=5, ge=2, le=MOST_BINS)
    edges: tuple[FiniteFloat, ...] | None = None
    encode: Literal["onehot", "ordinal"] = "onehot"
    quantile_method: Method = "averaged_inverted_cdf"

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Binned

    @model_validator(mode="after")
    def _edges_or_a_strategy(self) -> Self:
        if self.edges is None:
            return self
        if not 1 <= len(self.edges) < MOST_BINS or any(a >= b for a, b in itertools.pairwise(self.edges)):
            raise ValueError(f"edges should be 1 to {MOST_BINS - 1} increasing numbers")
        fields = type(self).model_fields
        given = [name for name in REPLACED if getattr(self, name) != fields[name].default]
        if given:
            raise ValueError(f"edges say where the bins are, and so does {' and '.join(given)}; leave one of them out")
        return self

    def gives(self, form: Form) -> Form:
        """Finished columns, or the bins' numbers."""
        return Form.COLUMNS if self.encode == "onehot" else Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Quantiles; for one-hot columns between known edges moments."""
        needs_counts = self.encode == "ordinal" or (self.edges is None and self.strategy == "quantile")
        return frozenset({"quantiles" if needs_counts else "moments"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Find the edges; name the columns."""
        before, name = state.statistics, state.column.name
        edges = self._edges(state)
        is_onehot = self.encode == "onehot"
        has_missing = is_onehot and before.n_missing > 0
        fitted = Binned(edges, is_onehot, has_missing)
        if not is_onehot:
            distribution_of(state, self.kind)
            after = changed(before, lambda numbers: fitted.bins(numbers).astype(np.float64))
            return fitted, replace(state, form=Form.MEASURES, statistics=after)
        labels = [*labels_of(edges), *(["(missing)"] if has_missing else [])]
        outputs = [f"{name}_{label}" for label in labels[: fitted.n_indicators]]
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *outputs))

    def _edges(self, state: State) -> tuple[float, ...]:
        """Increasing edges between the bins."""
        before = state.statistics
        if self.edges is not None:
            return self.edges
        if not np.isfinite(before.max - before.min):
            raise too_large(state)
        places = np.linspace(0, 100, self.n_bins + 1) / 100
        if self.strategy == "uniform":
            edges = np.linspace(before.min, before.max, self.n_bins + 1)
        else:
            found = quantiles_of(distribution_of(state, self.kind), places, self.quantile_method)
            edges = np.clip(found, before.min, before.max)
            edges[0], edges[-1] = before.min, before.max
        return tuple(np.unique(edges)[1:-1].tolist())


def labels_of(edges: Sequence[float]) -> list[str]:
    """Return what the bins are called.

    Examples
    --------
    >>> labels_of([18.0, 64.5])
    ['below_18', '18_to_64.5', 'from_64.5']
    """
    shown = [f"{edge:.12g}" for edge in edges]
    if not shown:
        return ["any"]
    return [f"below_{shown[0]}", *(f"{a}_to_{b}" for a, b in itertools.pairwise(shown)), f"from_{shown[-1]}"]
