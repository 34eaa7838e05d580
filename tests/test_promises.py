"""Every line of docs/promises.md has a number and tests, and each of these tests exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
TABLES = {"What daskflow promises": 3, "Errors that stay silent elsewhere": 4}
"""The page's tables and their columns: number, what it says, tests."""

NODE = re.compile(r"(tests/test_\w+\.py)((?:::\w+)+)")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"docs/promises.md has no section '{title}'"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its header."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def names_in(file: str) -> frozenset[str]:
    """Names of a file's tests as pytest says them, those of classes behind the name of the class."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
        prefix = f"::{node.name}" if isinstance(node, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and member.name.startswith("test_"):
                found.add(f"{prefix}::{member.name}")
            elif isinstance(member, ast.Assign):  # checks that a library makes have a name of their own
                found |= {f"::{t.id}" for t in member.targets if isinstance(t, ast.Name) and t.id.startswith("test_")}
    return frozenset(found)


ROWS = [pytest.param(title, row, id=f"{title.split()[0]}-{row[0]}") for title in TABLES for row in rows(title)]


@pytest.mark.parametrize("title", TABLES)
def test_a_table_is_numbered_from_one_without_a_gap(title: str) -> None:
    numbers = [row[0] for row in rows(title)]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= 30


@pytest.mark.parametrize(("title", "row"), ROWS)
def test_a_line_is_complete_and_its_tests_exist(title: str, row: list[str]) -> None:
    # given a line of number, words and tests
    assert len(row) == TABLES[title]
    assert all(row)
    # when each quoted word of its last cell is taken for a test
    named = re.findall(r"`([^`]*)`", row[-1])
    # then there is at least one, and nothing else stands there
    assert named
    assert re.sub(r"`[^`]*`", "", row[-1]).strip(", ") == ""
    for name in named:
        node = NODE.fullmatch(name)
        assert node, f"{name} is not written as tests/test_x.py::test_name"
        assert (ROOT / node[1]).is_file(), f"there is no {node[1]}"
        assert node[2] in names_in(node[1]), f"{node[1]} has no {node[2].removeprefix('::')}"


def test_no_line_stands_there_twice_and_no_test_twice_in_a_line() -> None:
    said = [row[1] for title in TABLES for row in rows(title)]
    assert len(said) == len(set(said))
    for title in TABLES:
        for row in rows(title):
            named = re.findall(r"`([^`]*)`", row[-1])
            assert len(named) == len(set(named)), row[0]


def test_every_test_that_names_a_silent_error_stands_on_the_page() -> None:
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        for name in names_in(f"tests/{file.name}"):
            if "::test_silent_error_" in name:
                assert f"`tests/{file.name}{name}`" in section("Errors that stay silent elsewhere"), name


def test_what_is_not_held_is_said() -> None:
    lines = [line for line in section("Not yet held by a test").splitlines() if line.startswith("- ")]
    assert lines
    assert all(line.endswith(".") or line[-1].isalnum() for line in lines)


def test_lines_that_compare_with_dask_ml_name_tests_that_exist() -> None:
    # given the page's table of what dask-ml does and what daskflow does
    text = (ROOT / "docs" / "dask-ml.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(lines) >= 15
    for line in lines:
        # when the words of its last cell are taken for tests, then there are some, and all of them exist
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        named = [NODE.fullmatch(name) for name in re.findall(r"`([^`]*)`", cells[3])]
        assert len(cells) == 4
        assert named, line
        for node in named:
            assert node, line
            assert node[2] in names_in(node[1]), node[0]
