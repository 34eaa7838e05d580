"""Write docs/reference.md from the settings classes and the command line: ``python docs/make_reference.py``."""

from __future__ import annotations

import importlib
import inspect
import operator
import re
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click

from daskflow.cli import main as command_line
from daskflow.core.settings import Settings
from daskflow.data.balance import Balance
from daskflow.data.splits import Split
from daskflow.preprocess.functions import Function
from daskflow.preprocess.interactions import Interaction
from daskflow.preprocess.select import Select
from daskflow.preprocess.settings import Preprocessing
from daskflow.sources.join import Join
from daskflow.workflow.judging_settings import DecisionSettings, EvaluationSettings
from daskflow.workflow.workflow import Cache

PAGE = Path(__file__).with_name("reference.md")
ROOMS = {
    "data": ("sources", "Where the table comes from."),
    "model": ("models", "What is fitted."),
    "search": ("search", "How candidates are drawn and judged."),
    "metrics": ("metrics", "A list of names, or of tables with `kind` and options."),
    "cluster": ("clusters", "Where it runs."),
    "preprocess steps": ("preprocess", "Steps of the lists in `[preprocess]`."),
}
TABLES: dict[str, tuple[type[Settings], str]] = {
    "data.joins": (Join, "Small tables looked up by key; a list: `[[data.joins]]`. In Python `flow.sources.Join`."),
    "split": (Split, "How rows are divided."),
    "balance": (Balance, "What is done in training about classes of unequal size."),
    "preprocess": (Preprocessing, "Lists of steps by column type, or by column."),
    "preprocess.functions": (Function, "New columns by functions of your own; a list: `[[preprocess.functions]]`."),
    "preprocess.interactions": (Interaction, "New columns of others; a list of lists of names, or of such tables."),
    "preprocess.select": (Select, "Which columns stay."),
    "decision": (DecisionSettings, "What stands between probabilities and answers."),
    "evaluation": (EvaluationSettings, "How the model is judged."),
    "cache": (Cache, "Where blocks are kept."),
}


def described(cls: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each attribute."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        section = re.search(r"^(?:Attributes|Parameters)\n-+\n(.*?)(?=^\w[^\n]*\n-{3,}\n|\Z)", text, re.M | re.S)
        for names, body in re.findall(
            r"^(\S[^\n]*?) : [^\n]*\n((?:[ ]{4}[^\n]*\n?|\n)+)", section[1] if section else "", re.M
        ):
            for name in names.split(", "):
                found[name] = " ".join(body.split())
    return found


def plain(annotation: Any) -> Any:
    """Return a type without what only its check knows."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    inner = get_args(annotation)
    if not inner or get_origin(annotation) is Literal:
        return annotation
    parts = tuple(plain(part) if part is not Ellipsis else part for part in inner)
    if get_origin(annotation) in (Union, UnionType):
        return reduce(operator.or_, parts)
    return get_origin(annotation)[parts if len(parts) > 1 else parts[0]]


def options(cls: type[Settings]) -> list[str]:
    """Return a table of a settings class's options."""
    words = described(cls)
    lines = ["| option | type | default | |", "|---|---|---|---|"]
    for name, field in cls.model_fields.items():
        if name == "kind" and len(getattr(field.annotation, "__args__", ())) <= 1:
            continue
        shown = plain(field.annotation)
        kind = shown.__name__ if inspect.isclass(shown) else str(shown)
        prefixes = r"typing\.|collections\.abc\.|daskflow\.[\w.]*\."
        kind = re.sub(rf"{prefixes}|<class '(\w+)'>", r"\1", kind).replace("|", "\\|")
        if field.is_required():
            default = "required"
        else:
            value = field.get_default(call_default_factory=True)
            default = f"`{value!r}`".replace("|", "\\|")
        lines.append(
            f"| `{field.alias or name}` | {kind} | {default} | {words.get(field.alias or name, words.get(name, ''))} |"
        )
    return lines if len(lines) > 2 else ["No options."]


def page() -> str:
    """Return the whole page."""
    lines = [
        "# Reference",
        "",
        "Written from the code by `python docs/make_reference.py`: every table of a workflow file, every kind and its "
        "options, and every command. In Python the same words are keyword arguments.",
        "",
        "At the top of a workflow file stand `name` (default: the file's name), `seed` (default 0) and `metrics`.",
        "",
    ]
    for table, (cls, what) in TABLES.items():
        lines += [f"## [{table}]", "", what, "", *options(cls), ""]
    for table, (room, what) in ROOMS.items():
        registry = importlib.import_module(f"daskflow.{room}").REGISTRY
        lines += [f"## [{table}]" if " " not in table else f"## {table.capitalize()}", "", what, ""]
        for name, cls in registry.kinds.items():
            first = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")
            lines += [f"### {name}", "", f"{first} In Python `flow.{room}.{cls.__name__}`.", "", *options(cls), ""]
    lines += ["## Commands", ""]
    context = click.Context(command_line, info_name="daskflow", **command_line.context_settings)
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        assert command is not None
        text = command.get_help(click.Context(command, parent=context, info_name=name, terminal_width=100))
        lines += [f"### daskflow {name}", "", "```text", text, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
