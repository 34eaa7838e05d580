"""Frequent keys: every key that stands in more than 1/1024 of the rows is among at most 1023 candidates.

The summary of Misra and Gries (1982), merged as Agarwal et al., "Mergeable summaries" (2012), show: counts are too low
by at most 1/1024 of the rows. Which other keys are among the candidates depends on the order of merging, so their rows
are counted once more before anybody sees them, and those that are not above 1/1024 are dropped.
"""

from __future__ import annotations

import numpy as np

from daskflow.data.crosstab import Counts, Keys

SHARE = 1024


def candidates(keys: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Keep at most 1023 of distinct keys: counts are lowered by the 1024th largest, and what is left is kept."""
    if len(keys) < SHARE:
        return keys, counts
    lowered = counts - np.partition(counts, len(counts) - SHARE)[len(counts) - SHARE]
    kept = lowered > 0
    return keys[kept], lowered[kept]


def merged(left: tuple[Keys, Counts], right: tuple[Keys, Counts]) -> tuple[Keys, Counts]:
    """Return the candidates of both."""
    keys, places = np.unique(np.concatenate([left[0], right[0]]), return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, places, np.concatenate([left[1], right[1]]))
    return candidates(keys, counts)
