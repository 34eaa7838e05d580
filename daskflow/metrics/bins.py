"""Bins of numbers by their bits: as many to each power of two, so that they are fine near 0 and near 1 alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskflow.data.kernels import compiled


@compiled
def n_score_bins(bits: int, powers: int, least: int) -> Any:
    """Return how many bins there are: see `score_bin`."""
    half = ((-1 - least) << bits) + 1
    return 2 * ((powers << bits) + 1) + 2 * half + 2


@compiled
def magnitude_bin(number: Any, bits: int, powers: int, least: int) -> Any:
    """Return the bin of a number that is not negative: 0 below 2**least, then 2**bits to each power of two."""
    raw = np.float64(number).view(np.int64) >> np.int64(52 - bits)
    found = raw - (np.int64(1023 + least) << np.int64(bits)) + 1
    return min(max(found, np.int64(0)), (np.int64(powers) << np.int64(bits)) + 1)


@compiled
def signed_bin(number: Any, bits: int, powers: int, least: int) -> Any:
    """Return the bin of a number, negative for a negative one."""
    if number < 0:
        return -magnitude_bin(-number, bits, powers, least)
    return magnitude_bin(number, bits, powers, least)


@compiled
def score_bin(score: Any, bits: int, powers: int, least: int) -> Any:
    """Return the bin of a score, rising with it: by its magnitude up to one half, above by its distance from 1.

    So bins are as fine, in proportion, near a probability of 1 as they are near 0.
    """
    lowest = (np.int64(powers) << np.int64(bits)) + 1
    half = magnitude_bin(0.5, bits, powers, least)
    if score <= 0.5:
        return lowest + signed_bin(score, bits, powers, least)
    return lowest + 2 * half + 1 - signed_bin(1.0 - score, bits, powers, least)


@compiled
def add_score_bins(scores: Any, weight: Any, bits: int, powers: int, least: int, sums: Any) -> None:
    """Add weights, or rows where `weight` is empty, to the bins of their scores."""
    for row in range(len(scores)):
        place = score_bin(np.float64(scores[row]), bits, powers, least)
        sums[place] += weight[row] if len(weight) else 1.0


@compiled
def bin_edge(place: Any, bits: int, least: int) -> Any:
    """Return the least magnitude of a bin of magnitudes."""
    if place <= 0:
        return 0.0
    raw = np.int64(place) - 1 + (np.int64(1023 + least) << np.int64(bits))
    return np.int64(raw << np.int64(52 - bits)).view(np.float64)


@compiled
def score_edges(places: Any, bits: int, powers: int, least: int, edges: Any) -> None:
    """Write a score of each bin: that of its edge which is nearer to 0, or above one half to 1."""
    lowest = (np.int64(powers) << np.int64(bits)) + 1
    half = magnitude_bin(0.5, bits, powers, least)
    for row in range(len(places)):
        signed = np.int64(places[row]) - lowest
        is_above = signed > half
        if is_above:
            signed = 2 * half + 1 - signed
        found = bin_edge(signed, bits, least) if signed >= 0 else -bin_edge(-signed, bits, least)
        edges[row] = 1.0 - found if is_above else found


@compiled
def add_signed_bins(numbers: Any, bits: int, powers: int, least: int, counts: Any) -> None:
    """Count numbers by their bins: see `signed_bin`."""
    lowest = (np.int64(powers) << np.int64(bits)) + 1
    for number in numbers:
        counts[lowest + signed_bin(number, bits, powers, least)] += 1
