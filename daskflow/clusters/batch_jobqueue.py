"""dask-jobqueue's own configuration: a ``jobqueue.yaml`` that exists already fills what the workflow does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask

from daskflow.clusters.batch_scripts import defaults
from daskflow.clusters.walltimes import seconds_in_form
from daskflow.core.errors import SettingsError
from daskflow.core.settings import nearest

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch

WORDS = {
    "cores": "cores",
    "memory": "memory",
    "walltime": "walltime",
    "queue": "queue",
    "account": "account",
    "project": "account",
    "interface": "interface",
    "local-directory": "scratch",
    "log-directory": "log_folder",
    "python": "python",
    "job-script-prologue": "prologue",
    "env-extra": "prologue",
    "job-extra-directives": "directives",
    "job-extra": "directives",
    "job-directives-skip": "directives_skip",
    "header-skip": "directives_skip",
    "worker-extra-args": "worker_arguments",
    "extra": "worker_arguments",
    "shebang": "shebang",
    "death-timeout": "death_timeout",
    "job-cpu": "job_cpu",
    "job-mem": "job_mem",
    "resource-spec": "resource_spec",
    "ncpus": "ncpus",
    "mem": "mem",
    "lsf-units": "lsf_units",
    "disk": "disk",
    "memory-per-core-property-name": "memory_per_core_property_name",
}
"""Words of dask-jobqueue, and options that they fill; of two words for one option the first that says something."""


def configured(cls: type[Batch], config_name: str | None) -> dict[str, Any]:
    """Return what Dask's configuration says of a kind, as its options.

    Parameters
    ----------
    cls : type
        The kind's settings class.
    config_name : str or None
        Section that is asked first; the kind's own says what it does not.

    Raises
    ------
    SettingsError
        When there is no such section.
    """
    kind = str(cls.model_fields["kind"].default)
    written = dask.config.collect(paths=dask.config.paths)  # looked up now: not the default of long ago
    if config_name is not None and not _section(config_name, written):
        names = {**dask.config.get("jobqueue", {}), **dask.config.get("jobqueue", {}, config=written)}
        raise SettingsError(f"Dask's configuration has no section jobqueue.{config_name}{nearest(config_name, names)}")
    found: dict[str, Any] = {}
    for section in [config_name, kind] if config_name not in (None, kind) else [kind]:
        said = _section(str(section), written)
        for word, option in WORDS.items():
            value = said.get(word)
            if value not in (None, [], (), {}) and option in cls.model_fields:
                found.setdefault(option, value)
    if (walltime := found.get("walltime")) is not None:  # dask-jobqueue hands it on, so the system's own rules count
        seconds = seconds_in_form(str(walltime), cls.form)
        found["walltime"] = walltime if seconds is None else f"{seconds:g} s"
    return found


def _section(name: str, written: dict[str, Any]) -> dict[str, Any]:
    """What a section says: in files and the environment, and in this process where it is not what the package ships."""
    said: dict[str, Any] = {}
    now = dask.config.get(f"jobqueue.{name}", {}) or {}
    shipped = shipped_of(name)
    for word, value in now.items():
        if shipped.get(word.replace("_", "-")) != value:
            said[word.replace("_", "-")] = value
    files = dask.config.get(f"jobqueue.{name}", {}, config=written) or {}
    return {**{word.replace("_", "-"): value for word, value in files.items()}, **said}


def shipped_of(name: str) -> dict[str, Any]:
    """Return the values that dask-jobqueue ships for a section; none for one that is the user's own."""
    return dict(defaults(name)) if name in ("oar", "pbs", "sge", "slurm", "lsf", "htcondor") else {}
