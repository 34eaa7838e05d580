"""Linear models trained side by side in vector registers: what the compiled loops are told."""

from __future__ import annotations

from enum import IntEnum

FEW, MANY = 4, 16
"""Models side by side: two or four vector registers for each variable of many, whose latencies hide each other; and
few, in a quarter of the time, for the candidates that are left in the end."""


class Loss(IntEnum):
    """What is minimised."""

    LOG = 0
    HINGE = 1
    SQUARED_HINGE = 2
    MODIFIED_HUBER = 3
    SQUARED_ERROR = 4
    HUBER = 5
    EPSILON_INSENSITIVE = 6
    SQUARED_EPSILON_INSENSITIVE = 7


class Step(IntEnum):
    """How large a step is: by a schedule of the rows seen, or passive-aggressive of either kind."""

    SCHEDULE = 0
    PA1 = 1
    PA2 = 2


class Setting(IntEnum):
    """Rows of the settings: what each lane is trained with."""

    ALPHA = 0
    SHRUNK = 1
    """Share of alpha that shrinks the weights."""
    CUT = 2
    """Share of alpha that cuts them towards zero (L1)."""
    ETA0 = 3
    IS_OPTIMAL = 4
    OPTIMAL_START = 5
    IS_INVERSE = 6
    POWER = 7
    THRESHOLD = 8
    """What the loss compares with: epsilon, or the margin of a hinge."""
    AVERAGE_FROM = 9
    """Row from which on weights are averaged; 0 for never."""
    CLASS = 10
    """Code of the class that is told from the others."""
    POSITIVE = 11
    NEGATIVE = 12
    """Class weights."""
    HAS_INTERCEPT = 13
    INTERCEPT = 14
    AVERAGE_INTERCEPT = 15
    SCALE = 16
    """What the weights are to be multiplied by."""
    DRIFT = 17
    GROWTH = 18
    """What the averages are still to be given of the weights, and divided by."""
    DUE = 19
    """What L1 has had to cut from each weight so far."""
    SQUARED_NORM = 20
    L1_NORM = 21
    """Of the weights."""
    OBJECTIVE = 22
    """Sum of losses and penalties over the rows of the last pass, where it is asked for."""
