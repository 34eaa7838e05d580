"""Settings: frozen pydantic models whose mistakes are all reported at once, each with the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict

from daskflow.core.errors import Problem, SettingsError


class Settings(BaseModel):
    """What a user can say about one thing: frozen, typed, and closed to words it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        populate_by_name=True,
        validate_default=True,
    )

    def __init__(self, **data: Any) -> None:
        """Check the values; raise SettingsError with every mistake, not only the first."""
        try:
            super().__init__(**data)
        except pydantic.ValidationError as error:
            raise SettingsError(problems_of(error, type(self))) from None

    def dump(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, without those that are None."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: the part of the settings that a run's ID is made from."""
        return self.dump()


AnySettings = TypeVar("AnySettings", bound=Settings)


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of `words`, else the list of what there is.

    Examples
    --------
    >>> nearest("penaltty", ["alpha", "penalty"])
    "; did you mean 'penalty'?"
    >>> nearest("zzz", ["a", "b"])
    '; there is: a, b'
    """
    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is: {', '.join(known)}" if known else ""


def words_of(settings: type[BaseModel]) -> list[str]:
    """Return the options that a settings class knows, by the names a user writes."""
    return [field.alias or name for name, field in settings.model_fields.items()]


def problems_of(error: pydantic.ValidationError, settings: type[BaseModel], where: str = "") -> list[Problem]:
    """Turn pydantic's report into sentences, each with its place as ``table.option``."""
    problems: list[Problem] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, SettingsError):
            place = _place(where, item["loc"])
            problems += [Problem(_place(place, (p.where,)) if p.where else place, p.message) for p in cause.problems]
            continue
        place = _place(where, item["loc"])
        if item["type"] == "extra_forbidden":
            word = str(item["loc"][-1])
            known = words_of(settings) if len(item["loc"]) == 1 else []
            problems.append(Problem(place, f"no such option{nearest(word, known)}"))
        elif item["type"] == "missing":
            problems.append(Problem(place, "is required"))
        else:
            message = item["msg"].removeprefix("Value error, ")
            problems.append(Problem(place, f"{message[:1].lower()}{message[1:]} (found {item['input']!r:.80})"))
    return problems


def parse(settings: type[AnySettings], values: Mapping[str, Any], where: str = "") -> AnySettings:
    """Check `values` against a settings class.

    Raises
    ------
    SettingsError
        With every mistake, placed under `where`.
    """
    try:
        return settings.model_validate(dict(values))
    except pydantic.ValidationError as error:
        raise SettingsError(problems_of(error, settings, where)) from None
    except SettingsError as error:
        raise SettingsError([Problem(_place(where, (p.where,)), p.message) for p in error.problems]) from None


def _place(where: str, parts: Iterable[Any]) -> str:
    """Join a table's name and the parts below it with points."""
    return ".".join([word for word in [where, *(str(part) for part in parts)] if word])
