"""Candidates: drawn from a space by dask-ml's samplers before the first fit, and recorded so that a resume can tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daskflow.core.errors import JournalError, Problem, SettingsError
from daskflow.core.journal import plain
from daskflow.core.space import Distribution
from daskflow.search.policies import Candidate, Policy

PREPROCESS = "preprocess."
"""Parameters that begin so are the preprocessing's, and not the model's."""


def model_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are the model's.

    Examples
    --------
    >>> model_params({"alpha": 1, "preprocess.numeric.scale.method": "robust"})
    {'alpha': 1}
    """
    return {name: value for name, value in params.items() if not name.startswith(PREPROCESS)}


def preprocess_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are the preprocessing's, under their whole names."""
    return {name: value for name, value in params.items() if name.startswith(PREPROCESS)}


def named(drawn: Iterable[Mapping[str, Any]], bracket: int | None = None) -> list[Candidate]:
    """Name candidates by the order they were drawn in, behind their bracket where there is one.

    Examples
    --------
    >>> [candidate.trial for candidate in named([{"C": 1}, {"C": 2}], bracket=2)]
    ['2-0', '2-1']
    """
    before = "" if bracket is None else f"{bracket}-"
    return [Candidate(f"{before}{number}", dict(params), bracket) for number, params in enumerate(drawn)]


def check_space(space: Mapping[str, Any], kind: str) -> None:
    """Refuse a space that has nothing to search.

    Raises
    ------
    SettingsError
        When there is no parameter, or a list of values is empty.
    """
    if not space:
        raise SettingsError(
            [
                Problem(
                    "search.space",
                    f"is empty: '{kind}' has nothing to search. Name parameters of the model, each with a list of "
                    "values or a distribution, or choose search.kind = 'none'",
                )
            ]
        )
    empty = [name for name, values in space.items() if not isinstance(values, Distribution) and not len(values)]
    if empty:
        raise SettingsError(
            [Problem(f"search.space.{name}", "is an empty list: there is nothing to choose from") for name in empty]
        )


def candidates_record(policy: Policy) -> list[dict[str, Any]]:
    """Return the drawn list as plain JSON values: what the journal begins with.

    Examples
    --------
    >>> from daskflow.search.policies import AllAtOnce
    >>> candidates_record(AllAtOnce(named([{"C": 0.5}])))
    [{'trial': '0', 'params': {'C': 0.5}, 'bracket': None}]
    """
    return [written(candidate) for candidate in policy.candidates]


def written(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as plain JSON values."""
    return {"trial": candidate.trial, "params": _written(dict(candidate.params)), "bracket": candidate.bracket}


def check_record(recorded: Sequence[Mapping[str, Any]], policy: Policy) -> None:
    """See that the candidates drawn now are those an earlier invocation recorded.

    Raises
    ------
    JournalError
        Naming the first that differs.
    """
    drawn = candidates_record(policy)
    if list(recorded) == drawn:
        return
    first = next((n for n, (old, new) in enumerate(zip(recorded, drawn, strict=False)) if old != new), None)
    if first is None:
        what = f"{len(recorded)} candidates then, {len(drawn)} now"
    else:
        what = f"candidate {drawn[first]['trial']} was {recorded[first]['params']}, and is {drawn[first]['params']}"
    raise other_candidates(what)


def other_candidates(what: str) -> JournalError:
    """Return the error for candidates that are not those an earlier invocation drew."""
    return JournalError(
        f"The candidates drawn now are not those in the journal ({what}): the space was changed, or the sampler of "
        "another version drew them. Restore them, or start anew with --fresh."
    )


def _written(value: Any) -> Any:
    """Plain values; an object becomes its text without its place in memory, which differs in every process."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return plain(value)
    name = f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
    return re.sub(r" at 0x[0-9a-f]+", "", name)
