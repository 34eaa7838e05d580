"""The model that is served, and another that may take its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daskflow.bundle import Model
from daskflow.core.errors import BundleError
from daskflow.core.warned import ignored
from daskflow.data.schema import ColumnKind
from daskflow.streams.scoring import Scorer

ZEROS = {ColumnKind.NUMERIC: 0, ColumnKind.BOOLEAN: False, ColumnKind.CATEGORICAL: ""}
"""Values of a row that a model is tried with."""

Loader = Callable[[Path], Model]


class Served:
    """A model with what is asked of it again and again.

    Parameters
    ----------
    model : Model
        Loaded.
    is_strict : bool
        Whether names that are no columns are refused.
    probabilities : bool
        Whether answers have them.

    Attributes
    ----------
    identity : str
        Checksum of the model's files; empty of one that was never written.
    pack : callable
        Takes out of rows all that the scorer needs; None for those that it should be asked as they are.
    head : bytes
        How an answer in JSON begins.
    """

    def __init__(self, model: Model, *, is_strict: bool = False, probabilities: bool = True) -> None:
        """Make the scorer."""
        self.model = model
        self.is_strict, self.probabilities = is_strict, probabilities
        self.scorer = Scorer(model, is_strict=is_strict, probabilities=probabilities)
        self.pack = self.scorer.packer()
        self.identity = model.identity
        self.head = b'{"model":"' + self.identity.encode() + b'","predictions":'

    def tried(self) -> Served:
        """Answer made-up rows, so that whatever is made on first use is made, and return itself.

        Raises
        ------
        BundleError
            When the model raises at all of them: a row of missing values, and one of zeros and empty texts.
        """
        columns = self.scorer.columns.columns
        tries = [dict.fromkeys(self.scorer.columns.names), {column.name: ZEROS.get(column.kind) for column in columns}]
        wrong = []
        try:
            for row in tries:
                for rows in ([row], [row, row]):
                    answers = self.scorer.rows(rows)
                    answers.dicts()
                wrong += [words for reason, words in answers.problems.values() if reason == "model"][:1]
            self.scorer.table(self.scorer.columns.arrow.empty_table())
        except Exception as error:
            raise BundleError(f"The model cannot answer a row: {type(error).__name__}: {error}.") from error
        if len(wrong) == len(tries):
            raise BundleError(f"The model cannot answer a row: {wrong[-1]}.")
        return self


def successor(path: Path, before: Served, load: Loader) -> Served:
    """Load a model that shall take another one's place, and try it.

    Parameters
    ----------
    path : Path
        Its folder, or that of its run.
    before : Served
        The one that answers now; it is not touched.
    load : callable
        Loads a model.

    Raises
    ------
    BundleError
        When it cannot be read, cannot answer, or answers another question: see `misfit`.
    """
    with ignored(UserWarning):
        model = load(path)
    found = Served(model, is_strict=before.is_strict, probabilities=before.probabilities)
    wrong = misfit(before, found)
    if wrong:
        raise BundleError(f"The model at {path} cannot take the place of the one that answers: {wrong}.")
    return found.tried()


def misfit(before: Served, after: Served) -> str:
    """Say why clients of one model could not go on with another; empty when they can.

    They can when it predicts the same target, and needs no column that they do not send yet, or send as another kind.
    """
    old, new = before.model, after.model
    if (old.task, old.target.name) != (new.task, new.target.name):
        return (
            f"it predicts '{new.target.name}' ({new.task}), and clients ask for '{old.target.name}' ({old.task}); "
            "serve it beside the other one, on another port"
        )
    known = {column.name: column.kind for column in before.scorer.columns.columns}
    missing = [name for name in after.scorer.columns.names if name not in known]
    if missing:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        return f"it needs columns that clients do not send: {listed}"
    other = [
        f"'{column.name}' ({column.kind}, was {known[column.name]})"
        for column in after.scorer.columns.columns
        if column.kind is not known[column.name]
    ]
    if other:
        return f"it has learned columns as another kind: {', '.join(other[:5])}"
    if before.scorer.has_probabilities and not after.scorer.has_probabilities:
        return "it gives no probabilities, and clients are told them"
    return ""
