"""Chains: the steps of one column, as a user writes them, and whether they fit each other and the column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from daskflow.core.errors import Problem, SettingsError
from daskflow.data.schema import Column
from daskflow.preprocess import REGISTRY, Step
from daskflow.preprocess.steps import Drop, Form

Chain = tuple[Step, ...]

ENDINGS: Mapping[Form, str] = {
    Form.LEVELS: "strings are left as they are, which no model can use. End the chain with 'onehot' or 'ordinal', or "
    "leave the columns out with 'drop'",
    Form.DATES: "dates are left as they are, which no model can use. End the chain with 'dates', or leave the columns "
    "out with 'drop'",
}
"""What is wrong with a chain that ends in this form."""


def parse_chain(value: Any) -> Chain:
    """Return the steps of what a user wrote: a list of steps, or one of them.

    Raises
    ------
    SettingsError
        With every mistake, placed by the step's number.
    """
    if isinstance(value, str | Mapping | Step):
        value = [value]
    if not isinstance(value, list | tuple):
        raise SettingsError([Problem("", f"should be a list of steps (found {value!r:.80})")])
    problems: list[Problem] = []
    steps: list[Step] = []
    for number, item in enumerate(value):
        try:
            steps.append(REGISTRY.parse(item, where=str(number)))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    if len(steps) > 1 and any(isinstance(step, Drop) for step in steps):
        raise SettingsError([Problem("", "'drop' leaves the column out, so no other step goes with it")])
    return tuple(steps)


def key_of(chain: Chain) -> str:
    """Return a text that is the same for equal chains."""
    return json.dumps([step.dump() for step in chain], sort_keys=True)


def is_dropped(chain: Chain) -> bool:
    """Whether a chain leaves its column out."""
    return any(isinstance(step, Drop) for step in chain)


def misfits(steps: Chain, form: Form, column: Column | None = None) -> list[str]:
    """Walk a chain from the form a column has; say where a step does not take what it gets, or what it leaves."""
    before = ""
    messages: list[str] = []
    for step in steps:
        if form is Form.COLUMNS:
            return [
                f"'{step.kind}' stands after '{before}', whose columns are finished; put it before, or leave it out"
            ]
        if form not in step.takes:
            takes = " or ".join(str(other) for other in Form if other in step.takes)
            after = f" after '{before}'" if before else ""
            return [f"'{step.kind}' takes {takes}, and gets {form}{after}"]
        if before and step.follows is not None and before not in step.follows:
            return [f"'{step.kind}' stands after '{before}', which changes what it counts; put it first"]
        message = step.check(column, form) if column else None
        if column and message:
            messages.append(f"'{step.kind}' on column '{column.name}': {message}")
        form, before = step.gives(form), step.kind
    return [*messages, ENDINGS[form]] if form in ENDINGS else messages


def words_of(steps: Chain) -> str:
    """Say a chain in words: names, and the options that were given."""
    said = []
    for step in steps:
        given = [f"{word} {value}" for word, value in step.dump().items() if word in step.model_fields_set - {"kind"}]
        said.append(f"{step.kind} ({', '.join(given)})" if given else step.kind)
    return ", ".join(said) or "as they are"
