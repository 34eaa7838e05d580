"""The page on models says of every family what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from daskflow import models
from daskflow.models import Model
from daskflow.search.training import Way, takes_weight, way_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
RESOURCES = {Way.BLOCKS: "blocks", Way.ROUNDS: "rounds", Way.ROWS: "rows"}
FAMILIES = sorted(set(models.REGISTRY.kinds) - {"estimator", "families"})


def told() -> dict[str, dict[str, str]]:
    """The rows of both tables by family; the cells by the word of their column."""
    found: dict[str, dict[str, str]] = {}
    head: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells
        elif head[0] == "kind" and (kind := cells[0].strip("`")) in models.REGISTRY.kinds:
            found.setdefault(kind, {}).update(zip(head[1:], cells[1:], strict=True))
    return found


def known(model: Model) -> dict[str, str]:
    """What the code says, in the page's words."""
    tasks = [task for task in ("binary", "regression") if task in model.tasks]
    names = dict.fromkeys(name for task in tasks for name in model.space(task))
    way = way_of(model, tasks[0], stops_early=True)
    weights = [takes_weight(model.estimator(task, {}, None), way) for task in tasks]
    sparse = [model.takes_sparse(task) for task in tasks]
    return {
        "for": {1: "classes" if tasks == ["binary"] else "numbers", 2: "both"}[len(tasks)],
        "searched": ", ".join(f"`{name}`" for name in names),
        "sparse": _both(sparse),
        "weights": _both(weights),
        "resource": RESOURCES[way],
    }


def _both(answers: list[bool]) -> str:
    assert len(set(answers)) == 1
    return "yes" if answers[0] else "no"


def test_every_family_is_on_the_page() -> None:
    assert sorted(told()) == FAMILIES


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_page_says_of_a_family_what_the_code_says(kind: str) -> None:
    cells = told()[kind]

    for word, said in known(models.parse(kind)).items():
        assert cells[word] == said, word
    assert len(cells["take it when"]) > 20


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_page_says_what_a_fit_takes(kind: str) -> None:
    model: Any = models.parse(kind)
    cell = told()[kind]["memory"]

    if re.fullmatch(r"[\d.]+", cell):
        assert float(cell) == 1 + model.copies
    else:
        assert kind in ("random_forest", "extra_trees", "partition_ensemble")
