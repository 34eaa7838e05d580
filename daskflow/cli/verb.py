"""What every verb does alike: errors as sentences with an exit code, ``--debug``, and the options that several take."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from daskflow.core.errors import DaskflowError

Function = TypeVar("Function", bound=Callable[..., Any])

INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""


class Verb(click.Command):
    """A command whose errors are sentences on stderr; exit codes as ``daskflow.core.errors`` says."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Add ``--debug`` to the verb's own options."""
        super().__init__(*arguments, **options)
        self.params.append(click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."))

    def invoke(self, context: click.Context) -> Any:
        """Run the verb; turn what it raises into a sentence and an exit code."""
        debug = context.params.pop("debug", False)
        try:
            return super().invoke(context)
        except KeyboardInterrupt as error:
            _say(str(error) or "Interrupted.", debug)
            context.exit(INTERRUPTED)
        except DaskflowError as error:
            _say(f"Error: {error}", debug)
            context.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            text = f"Unexpected {type(error).__name__}: {error}"
            _say(text if debug else f"{text}\nAdd --debug for the traceback.", debug)
            context.exit(1)


def _say(sentence: str, debug: bool) -> None:
    if debug:
        click.echo(traceback.format_exc(), err=True)
    click.echo(sentence, err=True)


def overriding(function: Function) -> Function:
    """Add ``--set`` and ``--on``, for verbs that read a workflow file."""
    function = click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="NAME=VALUE",
        help="Another value for an option, such as search.trials=10; TOML's notation, or plain text. Repeatable.",
    )(function)
    return click.option("--on", metavar="KIND", help="Another kind of cluster, such as inline or threads.")(function)


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Return ``NAME=VALUE`` texts as values by dotted name.

    Examples
    --------
    >>> parsed(["search.trials=3", "search.metric=roc_auc", "metrics=['f1']"])
    {'search.trials': 3, 'search.metric': 'roc_auc', 'metrics': ['f1']}
    """
    from daskflow.workflow.toml import value_of

    values = {}
    for change in changes:
        name, sign, text = change.partition("=")
        name = name.strip()
        if not sign or not name or not all(name.split(".")):
            raise click.BadParameter(f"'{change}' should be NAME=VALUE, such as search.trials=10.", param_hint="--set")
        values[name] = value_of(text.strip())
    return values


def workflow_of(file: Path, changes: Sequence[str], on: str | None) -> Any:
    """Read a workflow file with the command line's values laid over it."""
    from daskflow.workflow import Workflow

    return Workflow.from_toml(file, parsed(changes), on)


def shown(path: Path | str) -> str:
    """Return a path as a user would type it: relative when it lies below the current folder."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def number(value: Any) -> str:
    """Return a number with four digits that count; not-a-number is a dash.

    Examples
    --------
    >>> number(0.123456), number(None), number(12345.6)
    ('0.1235', '-', '12346')
    """
    if value is None or value != value:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def between(low: float | None, high: float | None) -> str:
    """Return an interval as it stands behind its value; empty when it is not known.

    Examples
    --------
    >>> between(0.8, 0.90001), between(float("nan"), float("nan"))
    ('  [0.8, 0.9]', '')
    """
    return "" if low is None or low != low else f"  [{number(low)}, {number(high)}]"


def duration(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> duration(0.4), duration(75), duration(3725)
    ('0.4 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows of texts as aligned columns under their names.

    Examples
    --------
    >>> print(table([{"name": "a", "status": "done"}, {"name": "longer", "status": "failed"}]))
    name    status
    a       done
    longer  failed
    """
    if not rows:
        return ""
    lines = [list(rows[0]), *[list(row.values()) for row in rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def is_terminal(stream: Any = None) -> bool:
    """Return whether a person reads the stream (default stderr)."""
    stream = sys.stderr if stream is None else stream
    return bool(stream.isatty())
