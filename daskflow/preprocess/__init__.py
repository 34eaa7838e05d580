"""Preprocessing: families of steps that say which statistics they need, and the Preprocessor made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings

if TYPE_CHECKING:
    from daskflow.data.schema import Column
    from daskflow.data.tallies import Tally
    from daskflow.preprocess.steps import Fitted, Form, State


class Step(Settings):
    """One step of a column's chain; `daskflow.preprocess.steps` shows how a step is added.

    Attributes
    ----------
    kind : str
        The step's name.
    takes : frozenset of Form
        What a column may be when the step meets it.
    fitted : type
        Class of what `fit` returns, which reads its own ``dump``.
    needs_target : bool
        Whether it learns from the target, so that it cannot be fitted without one.
    counts_itself : bool
        Whether it counts by its own tally what it needs of a column, or needs nothing, so that the levels of a column
        whose chain begins with it need not be counted, and may be any number.
    follows : frozenset of str, optional
        Kinds of the steps that may stand before it; default any.
    """

    kind: str

    takes: ClassVar[frozenset[Form]] = frozenset()
    fitted: ClassVar[type[Fitted]]
    needs_target: ClassVar[bool] = False
    counts_itself: ClassVar[bool] = False
    follows: ClassVar[frozenset[str] | None] = None

    def gives(self, form: Form) -> Form:
        """Return what a column of this form is after the step; the same unless a step says otherwise."""
        return form

    def check(self, column: Column, form: Form) -> str | None:
        """Return a sentence when the options do not fit the column, of this form when the step meets it, else None."""
        return None

    def statistics(self, column: Column) -> frozenset[str | Tally]:
        """Return what must be counted of the column: ``moments``, ``quantiles``, ``levels``, and tallies of its own."""
        return frozenset()

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Return the fitted step, and the column's state after it; DataError when the column cannot take it."""
        raise NotImplementedError(f"The step '{self.kind}' has no fit.")


REGISTRY: Registry[Step] = Registry(__name__, Step, "step")


def __getattr__(name: str) -> Any:
    """Find the Preprocessor or a step's class on first use."""
    if name == "Preprocessor":
        from daskflow.preprocess.preprocessor import Preprocessor

        return Preprocessor
    return REGISTRY.attribute(name)
