"""Settings of online learning: where true values come from, how rows are learned, and what is kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from daskflow.core.settings import Settings
from daskflow.streams.champion import SwapRule
from daskflow.streams.drift import DriftSettings

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LearnSettings(Settings):
    """How a model learns from a stream.

    Attributes
    ----------
    label : str
        Column with the true value, of the records or of those of the second source; empty, the default, is the column
        that the model predicts.
    key : str
        Column that a record and its true value have in common. Empty, the default: true values stand in the records.
    rows : int
        Rows of one ``partial_fit``. The learner learns whenever so many more have their true value, wherever batches
        end: what it has learned depends on the order of true values alone. Default 32: a call costs about the same for
        1 row and for 32.
    set : mapping
        Parameters of the learning copy, such as ``{"learning_rate": "constant", "eta0": 0.01}``: a rate that has fallen
        over millions of rows of training follows no drift.
    seed : int
        ``random_state`` of a learning copy that has none.
    challenge : bool
        Whether the model as it is answers, and the learning copy has to beat it; default the learning copy answers.
    rule : SwapRule
        When a challenger becomes champion.
    drift : DriftSettings
        How drift of the rows, the answers and their errors is looked for.
    tell_model : bool
        Whether each answer says in ``model`` who gave it.
    waiting : int
        Records that may wait for their true value, and true values for their record; of more, the oldest are dropped.
    waiting_seconds : float
        How long they may wait, default a week.
    snapshot_rows, snapshot_seconds : int, float
        A snapshot is written when so many rows were learned, or so much time has passed, since the one before; 0
        seconds: by rows alone.
    snapshots : int
        Snapshots that are kept.
    """

    label: str = ""
    key: str = ""
    rows: Count = 32
    set: dict[str, Any] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    challenge: bool = False
    rule: SwapRule = Field(default_factory=SwapRule)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    tell_model: bool = False
    waiting: Count = 100_000
    waiting_seconds: Annotated[float, Field(gt=0)] = 7 * 86_400.0
    snapshot_rows: Count = 10_000
    snapshot_seconds: Seconds = 600.0
    snapshots: Count = 3
