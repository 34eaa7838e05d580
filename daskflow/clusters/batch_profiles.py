"""Profiles: what a site and a user say of their batch systems once, for every workflow."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.clusters.batch_jobqueue import configured
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest, parse

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch

SITE = Path("/etc/daskflow/clusters.toml")

ALONE: ContextVar[bool] = ContextVar("ALONE", default=False)
"""Whether values are looked at each by itself, and nothing is filled in."""

KINDS = ("slurm", "pbs", "sge", "lsf", "htcondor", "oar")
"""Tables that a file may have."""

Tables = Mapping[str, Mapping[str, Any]]


def files() -> list[Path]:
    """Return the files that are there, the one that wins last; SettingsError when ``DASKFLOW_SITE`` names none."""
    named = os.environ.get("DASKFLOW_SITE")
    if named and not Path(named).is_file():
        raise SettingsError(f"There is no file {named}, which DASKFLOW_SITE names.")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    found = [Path(named) if named else SITE, config / "daskflow" / "clusters.toml"]
    return [file for file in found if file.is_file()]


def filled(cls: type[Batch], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kind's values with those of profiles, and then of dask-jobqueue's configuration, for what is not said.

    Parameters
    ----------
    cls : type
        The kind's settings class.
    values : mapping
        What the workflow, the command line or Python says.

    Raises
    ------
    SettingsError
        For a file with mistakes, or a profile that does not exist.
    """
    kind = str(cls.model_fields["kind"].default)
    said = {word: value for word, value in values.items() if value is not None}
    if said.get("memory") == "auto":  # of a workflow that was written for the local kind: what this one says
        del said["memory"]
    tables = [(file, read(file)) for file in files()]
    profiles = _profiles(cls, kind, tables)
    base = profiles.get("", {})
    name = said.get("profile", base.get("profile"))
    chosen = profile_of(profiles, str(name), kind, [file for file, _ in tables]) if name else base
    said = {**chosen, **said}
    found = {word: value for word, value in configured(cls, said.get("config_name")).items() if word not in said}
    section = f"jobqueue.{said.get('config_name') or kind}"
    if problems := _wrong_values(cls, found, f"Dask's configuration, {section}"):
        raise SettingsError(problems)
    return {**found, **said}


def read(file: Path) -> dict[str, Any]:
    """Return a file's tables; SettingsError when it cannot be read, or has a table of no kind."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    problems = []
    for word, table in tables.items():
        if word not in KINDS:
            problems.append(Problem("", f"{file}, [{word}]: no such kind of batch queue{nearest(word, KINDS)}"))
        elif not isinstance(table, dict):
            problems.append(Problem("", f"{file}, {word}: should be a table"))
    if problems:
        raise SettingsError(problems)
    return tables


def _profiles(cls: type[Batch], kind: str, files: list[tuple[Path, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The profiles of a kind by name, "" for the kind's own table; later files are laid over earlier ones."""
    found: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for file, tables in files:
        table = tables.get(kind, {})
        options = {word: value for word, value in table.items() if cls.knows(word) or not isinstance(value, dict)}
        parts = {"": options, **{word: table[word] for word in table if word not in options}}
        for name, part in parts.items():
            place = f"{file}, [{kind}.{name}]" if name else f"{file}, [{kind}]"
            wrong = _problems(cls, part, place, is_base=not name)
            problems += wrong
            if not wrong:
                found[name] = {**found.get(name, {}), **cls.canonical(part)}
    if problems:
        raise SettingsError(problems)
    return found


def _problems(cls: type[Batch], part: Mapping[str, Any], place: str, *, is_base: bool) -> list[Problem]:
    """What is wrong in one table: words that are not known, and values that are refused."""
    words = [word for word in part if word != "inherits" or is_base]
    known = [*(name for name in cls.model_fields if name != "kind"), *cls.aliases, *([] if is_base else ["inherits"])]
    unknown = [word for word in words if word not in known or (word == "profile" and not is_base)]
    problems = [Problem("", f"{place}: no such option '{word}'{nearest(word, known)}") for word in unknown]
    inherits = part.get("inherits")
    if not is_base and inherits is not None and not isinstance(inherits, str):
        problems.append(Problem("", f"{place}: inherits should be the name of a profile (found {inherits!r:.80})"))
    return problems + _wrong_values(cls, {word: part[word] for word in words if word not in unknown}, place)


def _wrong_values(cls: type[Batch], values: Mapping[str, Any], place: str) -> list[Problem]:
    """What the settings class refuses of these values, each by itself."""
    token = ALONE.set(True)
    try:
        parse(cls, values)
    except SettingsError as error:
        return [Problem("", f"{place}: {found}") for found in error.problems]
    finally:
        ALONE.reset(token)
    return []


def profile_of(profiles: Tables, name: str, kind: str, files: list[Path]) -> dict[str, Any]:
    """Return a profile with what it inherits: the kind's own table, and the profiles that it names.

    Raises
    ------
    SettingsError
        For a profile that does not exist, or that inherits from itself.

    Examples
    --------
    >>> tables = {"": {"queue": "normal"}, "big": {"cores": 8}, "night": {"inherits": "big", "walltime": "12 h"}}
    >>> profile_of(tables, "night", "slurm", [])
    {'queue': 'normal', 'cores': 8, 'walltime': '12 h'}
    """
    chain: list[str] = []
    while name:
        if name in chain:
            raise SettingsError(f"Profile '{name}' of [{kind}] inherits from itself: {' > '.join([*chain, name])}.")
        if name not in profiles:
            places = " and ".join(map(str, files)) or f"~/.config/daskflow/clusters.toml or {SITE}, which do not exist"
            close = nearest(name, [each for each in profiles if each])
            raise SettingsError(f"there is no profile '{name}' of [{kind}] in {places}{close}")
        chain.append(name)
        name = str(profiles[name].get("inherits", ""))
    layers = [profiles.get("", {}), *(profiles[each] for each in reversed(chain))]
    merged = {word: value for layer in layers for word, value in layer.items()}
    merged.pop("inherits", None)
    return merged
