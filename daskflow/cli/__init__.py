"""The command line: one file per verb."""

from __future__ import annotations

import importlib
from typing import Any

import click

VERBS = (
    "demo",
    "fetch",
    "profile",
    "init",
    "check",
    "plan",
    "run",
    "submit",
    "status",
    "watch",
    "logs",
    "control",
    "cancel",
    "cleanup",
    "report",
    "predict",
    "serve",
    "stream",
    "swap",
    "evaluate",
    "export",
    "runs",
    "compare",
    "cache",
    "kinds",
    "doctor",
)
"""Verbs in the order of a first day; each is the function of its name in the file of its name."""

INNER = ("controller", "foresee")
"""What jobs, and verbs, say to themselves: like verbs, but not listed."""


class Verbs(click.Group):
    """A group that imports a verb's file when the verb is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Every verb, in order."""
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> Any:
        """Return a verb by its name; None when there is none."""
        return getattr(importlib.import_module(f"{__name__}.{name}"), name) if name in (*VERBS, *INNER) else None

    def resolve_command(self, context: click.Context, words: list[str]) -> Any:
        """Find the verb that the first word names; say the nearest one when there is none."""
        if words and words[0] not in (*VERBS, *INNER) and not words[0].startswith("-"):
            from daskflow.core.settings import nearest

            context.fail(f"There is no verb '{words[0]}'{nearest(words[0], VERBS)}")
        return super().resolve_command(context, words)


@click.group(name="flow", cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="daskflow")
def main() -> None:  # Dask lists the group by its own name, so it is called flow; elsewhere the program's name counts
    """From a folder of files bigger than memory to a tuned, evaluated, servable model.

    A first day: `daskflow demo`; then `init` writes a workflow for your files, `check` and `plan` say what it will
    do, `run` does it (and continues it after a stop), `watch` shows it meanwhile and `report` afterwards, `predict`
    scores new files; `runs` lists what was done, `compare` says what differs, `export` hands it to other tools.
    """
