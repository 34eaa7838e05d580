"""Preprocessing that is searched: parameters ``preprocess.PATH`` of a space, and the preprocessings they make.

A path is a table's word (``preprocess.drop_constant``), all steps of a kind of columns (``preprocess.numeric``), or an
option of one of its steps by the step's name (``preprocess.numeric.scale.method``,
``preprocess.columns.city.rare.min_frequency``).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest, parse
from daskflow.core.space import Distribution
from daskflow.preprocess import REGISTRY
from daskflow.preprocess.settings import Preprocessing
from daskflow.search.candidates import PREPROCESS, preprocess_params

MOST_VARIANTS = 64
"""Each is a set of matrices on disk."""

GROUPS = ("numeric", "categorical", "datetime", "boolean")


@dataclass(frozen=True)
class Variant:
    """A preprocessing, and the parameters that make it of the workflow's."""

    params: Mapping[str, Any]
    preprocess: Preprocessing


def space_problems(preprocess: Preprocessing, space: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the parameters of a space that are the preprocessing's."""
    problems: list[Problem] = []
    for name, values in preprocess_params(space).items():
        if isinstance(values, Distribution) or hasattr(values, "rvs"):
            problems.append(
                Problem(
                    f"search.space.{name}",
                    "is a distribution: what is searched of the preprocessing is a list, for each value is a set of "
                    "matrices on disk",
                )
            )
            continue
        for value in values:
            try:
                varied(preprocess, {name: value})
            except SettingsError as error:
                problems += [Problem(f"search.space.{name}", p.message) for p in error.problems]
                break
    number = _count(space)
    if number > MOST_VARIANTS:
        problems.append(
            Problem(
                "search.space",
                f"makes {number} preprocessings, and each is a set of matrices on disk: {MOST_VARIANTS} is the most",
            )
        )
    return problems


def _count(space: Mapping[str, Any]) -> int:
    number = 1
    for values in preprocess_params(space).values():
        number *= len(values) if hasattr(values, "__len__") else 1
    return number


def variants_of(
    preprocess: Preprocessing, space: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]] | None
) -> list[Variant]:
    """Return every preprocessing that candidates may have; one without parameters when none is searched.

    Parameters
    ----------
    preprocess : Preprocessing
        The workflow's.
    space : mapping
        The search's.
    drawn : sequence of mapping, optional
        Parameters of the candidates, when all are known: only theirs are made.
    """
    names = list(preprocess_params(space))
    choices: Iterable[Mapping[str, Any]]
    if drawn is None:
        lists = [list(space[name]) for name in names]
        choices = [dict(zip(names, values, strict=True)) for values in itertools.product(*lists)]
    else:
        choices = [preprocess_params(params) for params in drawn]
    different = {json.dumps(choice, sort_keys=True, default=str): choice for choice in choices}
    return [Variant(choice, varied(preprocess, choice)) for _, choice in sorted(different.items())] or [
        Variant({}, preprocess)
    ]


def varied(preprocess: Preprocessing, params: Mapping[str, Any]) -> Preprocessing:
    """Return a preprocessing with other values at some paths.

    Raises
    ------
    SettingsError
        For a path that leads nowhere, with the nearest right word, and for values that its place refuses.
    """
    for name in sorted(params, key=lambda name: name.count(".")):  # whole chains before their steps' options
        tables = preprocess.dump()
        _put(tables, name, name.removeprefix(PREPROCESS), params[name])
        preprocess = parse(Preprocessing, tables, where=name)
    return preprocess


def _put(tables: dict[str, Any], name: str, path: str, value: Any) -> None:
    word, _, rest = path.partition(".")
    if word not in Preprocessing.model_fields:  # what is None stands in no table
        known = nearest(word, Preprocessing.model_fields)
        raise SettingsError([Problem(name, f"no such option of the preprocessing{known}")])
    if not rest:
        tables[word] = value
        return
    if word == "columns":
        column = next((column for column in tables[word] if rest == column or rest.startswith(f"{column}.")), None)
        if column is None:
            raise SettingsError(
                [Problem(name, f"preprocess.columns has no such selector{nearest(rest.split('.')[0], tables[word])}")]
            )
        rest = rest.removeprefix(column).removeprefix(".")
        if not rest:
            tables[word][column] = value
            return
        _put_option(tables[word][column], name, rest, value)
    elif word in GROUPS:
        _put_option(tables.get(word), name, rest, value)
    else:
        inner = tables.get(word)
        if not isinstance(inner, dict) or rest not in inner:
            raise SettingsError([Problem(name, f"preprocess.{word} has no such option")])
        inner[rest] = value


def _put_option(chain: Any, name: str, path: str, value: Any) -> None:
    """Set an option of the step of a chain that has the path's first word as its kind."""
    kind, _, option = path.partition(".")
    steps = [step for step in chain or () if isinstance(step, dict)]
    step = next((step for step in steps if step["kind"] == kind), None)
    if step is None:
        kinds = [str(each["kind"]) for each in steps]
        raise SettingsError([Problem(name, f"there is no step '{kind}' in those steps{nearest(kind, kinds)}")])
    options = REGISTRY.get(kind).model_fields
    if option not in options:
        raise SettingsError([Problem(name, f"the step '{kind}' has no option '{option}'{nearest(option, options)}")])
    step[option] = value
