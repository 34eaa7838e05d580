"""Logarithms and square roots of numbers: fixed functions that bring long tails in."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from daskflow.core.errors import DataError
from daskflow.data.arrays import Numbers
from daskflow.data.schema import Column, ColumnKind
from daskflow.preprocess import Step
from daskflow.preprocess.changes import changed, distribution_of
from daskflow.preprocess.steps import Fitted, Flow, Form, State

Base = Literal["e"] | Annotated[FiniteFloat, Field(gt=1)]
"""Of a logarithm; above 1, so that larger numbers stay larger."""

EXACT = {2.0: np.log2, 10.0: np.log10}
"""Logarithms whose whole results are exact."""


def in_base(base: Base, natural: Numbers) -> Numbers:
    """Return natural logarithms as logarithms to another base."""
    return natural if base == "e" else natural / math.log(base)


@dataclass(frozen=True, slots=True)
class Elementary(Fitted):
    """Numbers replaced by a function of them that never decreases.

    Attributes
    ----------
    name : str
        The column, for messages.
    """

    domain: ClassVar[str] = "any number"

    name: str

    @abstractmethod
    def of(self, numbers: Numbers) -> Numbers:
        """Return the function of numbers that it takes, shape (n,)."""

    def is_outside(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Return which numbers the function does not take."""
        return np.zeros(len(numbers), dtype=np.bool_)

    def apply(self, flow: Flow) -> Flow:
        """Take the function; missing stays missing."""
        numbers = flow.numbers()
        n_outside = int(self.is_outside(numbers).sum())
        if n_outside:
            raise self.refusal(float(np.nanmin(numbers)), f"{n_outside:,} values")
        return replace(flow, values=self.of(numbers))

    def refusal(self, smallest: float, values: str = "values") -> DataError:
        """Return the error for numbers it does not take."""
        return DataError(
            f"Column '{self.name}' has {values} down to {smallest:g}; '{self.kind}' takes {self.domain}. Take "
            f"'signed_log', which takes any number, or clip before with {{ kind = 'clip', lower = ... }}."
        )


@dataclass(frozen=True, slots=True)
class Logarithms(Elementary):
    """log(x)."""

    kind: ClassVar[str] = "log"
    domain: ClassVar[str] = "numbers above 0"

    base: Base

    def of(self, numbers: Numbers) -> Numbers:
        """Return the logarithms."""
        if self.base in EXACT:
            return np.asarray(EXACT[self.base](numbers))
        return in_base(self.base, np.log(numbers))

    def is_outside(self, numbers: Numbers) -> NDArray[np.bool_]:
        """0 and below."""
        return numbers <= 0


@dataclass(frozen=True, slots=True)
class LogarithmsOfNext(Elementary):
    """log(1 + x)."""

    kind: ClassVar[str] = "log1p"
    domain: ClassVar[str] = "numbers above -1"

    base: Base

    def of(self, numbers: Numbers) -> Numbers:
        """Return the logarithms."""
        return in_base(self.base, np.log1p(numbers))

    def is_outside(self, numbers: Numbers) -> NDArray[np.bool_]:
        """-1 and below."""
        return numbers <= -1


@dataclass(frozen=True, slots=True)
class SignedLogarithms(Elementary):
    """sign(x) log(1 + abs(x))."""

    kind: ClassVar[str] = "signed_log"

    base: Base

    def of(self, numbers: Numbers) -> Numbers:
        """Return the logarithms with the numbers' signs."""
        return in_base(self.base, np.copysign(np.log1p(np.abs(numbers)), numbers))


@dataclass(frozen=True, slots=True)
class Roots(Elementary):
    """The square root of x."""

    kind: ClassVar[str] = "sqrt"
    domain: ClassVar[str] = "numbers from 0"

    def of(self, numbers: Numbers) -> Numbers:
        """Return the roots."""
        return np.sqrt(numbers)

    def is_outside(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Below 0."""
        return numbers < 0


class ElementaryStep(Step):
    """A function of each number; what is known of the column follows from its distribution."""

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})

    def gives(self, form: Form) -> Form:
        """Other numbers."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Quantiles."""
        return frozenset({"quantiles"})

    def made(self, name: str) -> Elementary:
        """Return the fitted step for a column of this name; nothing is learnt from the rows."""
        raise NotImplementedError(f"The step '{self.kind}' has no function.")

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Check the numbers; find what is known of the function of them."""
        before = state.statistics
        distribution_of(state, self.kind)
        fitted = self.made(state.column.name)
        if fitted.is_outside(np.array([before.min]))[0]:
            raise fitted.refusal(before.min)
        return fitted, replace(state, form=Form.MEASURES, statistics=changed(before, fitted.of))


class Log(ElementaryStep):
    """Take the logarithm of numbers above 0; others are refused, in training and later. Missing values stay missing.

    Attributes
    ----------
    base : "e" or float
        Of the logarithm, above 1; default e.
    """

    kind: Literal["log"] = "log"
    base: Base = "e"

    fitted: ClassVar[type[Fitted]] = Logarithms

    def check(self, column: Column, form: Form) -> str | None:
        """Refuse booleans."""
        if column.kind is ColumnKind.BOOLEAN and form is Form.NUMBERS:
            return (
                "booleans are 0 and 1, and 0 has no logarithm; give booleans steps of their own with "
                "boolean = ['impute']"
            )
        return None

    def made(self, name: str) -> Elementary:
        """Logarithms."""
        return Logarithms(name, self.base)


class Log1p(ElementaryStep):
    """Take the logarithm of 1 + the number; -1 and below are refused, in training and later. Missing stays missing.

    Attributes
    ----------
    base : "e" or float
        Of the logarithm, above 1; default e.
    """

    kind: Literal["log1p"] = "log1p"
    base: Base = "e"

    fitted: ClassVar[type[Fitted]] = LogarithmsOfNext

    def made(self, name: str) -> Elementary:
        """Logarithms of 1 + x."""
        return LogarithmsOfNext(name, self.base)


class SignedLog(ElementaryStep):
    """Take the logarithm of 1 + the absolute value, with the number's own sign; for any number. Missing stays missing.

    Attributes
    ----------
    base : "e" or float
        Of the logarithm, above 1; default e.
    """

    kind: Literal["signed_log"] = "signed_log"
    base: Base = "e"

    fitted: ClassVar[type[Fitted]] = SignedLogarithms

    def made(self, name: str) -> Elementary:
        """Signed logarithms."""
        return SignedLogarithms(name, self.base)


class Sqrt(ElementaryStep):
    """Take the square root; numbers below 0 are refused, in training and later. Missing values stay missing."""

    kind: Literal["sqrt"] = "sqrt"

    fitted: ClassVar[type[Fitted]] = Roots

    def made(self, name: str) -> Elementary:
        """Roots."""
        return Roots(name)
