"""What columns say without a model is found beside the refit, and does not depend on how they are shared out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from daskflow.core.seeds import seed_of
from daskflow.data.aside import Aside
from daskflow.data.blocks import UNIT
from daskflow.data.execution import InlineExecutor, run_all
from daskflow.data.matrices import MatrixPart
from daskflow.data.predictions import Predictions
from daskflow.data.ranges import RangeRows
from daskflow.data.schema import Roles, Schema, Target, Task
from daskflow.data.split_plan import TEST
from daskflow.metrics.drift import drift
from daskflow.metrics.leaks import leaks
from daskflow.streams.drift_bins import PREDICTION, reference_of
from daskflow.workflow import columns_seen
from daskflow.workflow.evaluation import TestPart as Part

SEED, RANGES, ROWS = 5, 3, 400
CLASSES = ("late", "on time")


def rows_of(place: int, segments: np.ndarray[Any, Any]) -> RangeRows:
    """A range: numbers of which one tells the target and one is another in the test, gaps, a text, a date."""
    draw = np.random.default_rng(place)
    y, is_test = draw.integers(0, 2, ROWS), segments == TEST
    columns = {f"x{number}": pa.array(draw.normal(size=ROWS)) for number in range(13)}
    columns["known_later"] = pa.array(np.where(draw.random(ROWS) < 0.02, np.nan, y + draw.normal(0, 0.01, ROWS)))
    columns["moved"] = pa.array(draw.normal(size=ROWS) + 3.0 * is_test)
    columns["fuel"] = pa.array(draw.choice(["gas", "oil", "none"], ROWS)).dictionary_encode()
    columns["day"] = pa.array(draw.integers(0, 400, ROWS).astype("datetime64[D]"))
    columns["listed"] = pa.array([[1]] * ROWS)  # of a type that no model can use
    columns["target"] = pa.array([CLASSES[code] for code in y]).dictionary_encode()
    content, units = draw.integers(0, 1 << 60, ROWS).astype(np.uint64), draw.integers(0, 90, ROWS).astype(np.uint64)
    return RangeRows(pa.table(columns), segments, content, content, np.zeros(ROWS, np.uint8), units)


@pytest.fixture
def part(tmp_path: Path) -> Part:
    """Test rows and training rows, set aside as a run does."""
    made = [rows_of(place, np.where(np.arange(ROWS) % 3 == 0, TEST, 0).astype(np.uint8)) for place in range(RANGES)]
    schema = Schema.of(made[0].table.drop_columns(["target", "listed"]).schema)
    aside = Aside(str(tmp_path), tuple(made[0].table.column_names), (0,), RANGES, "token")
    for place, rows in enumerate(made):
        aside.write(place, rows)
    n_test = [int((rows.segments == TEST).sum()) for rows in made]
    offsets = tuple(np.cumsum([0, *n_test]).tolist())
    matrix = MatrixPart(str(tmp_path), offsets[-1], 1, offsets, tuple(range(RANGES)), False, False)
    target = Target("target", Task.BINARY, CLASSES, (1, 1))
    return Part(matrix, aside, schema, Roles(target="target"), target)


SAID = Predictions(np.array([0, 1, 1]), np.array([0.1, 0.9, 0.8]))


@pytest.mark.parametrize("is_grouped", [False, True], ids=["rows", "groups"])
def test_it_is_what_all_columns_say_together_however_they_are_shared_out(part: Part, is_grouped: bool) -> None:
    part = replace(part, roles=Roles(target="target", group="fuel")) if is_grouped else part
    # given what the whole tables say
    train, y = part.train_sample()
    test, _ = part.sample(columns_seen.SAMPLE_ROWS)
    names = list(part.features.names)
    units = [table.column(UNIT).to_numpy() for table in (train, test)]
    counts = [len(np.unique(each)) if is_grouped else None for each in units]
    whole = {
        "drift": drift(train.select(names), test.select(names), train_units=counts[0], test_units=counts[1]),
        "inputs": reference_of(train, part.features, SAID, CLASSES),
        "leaks": leaks(
            train.select(names), y, "binary", unit=units[0] if is_grouped else None, seed=seed_of(SEED, "leaks")
        ),
    }
    assert [row["column"] for row in whole["drift"] if row["is_drifted"]] == ["moved"]
    assert [row["column"] for row in whole["leaks"]] == ["known_later"]
    for slots in (1, 99):
        # when units look at some columns each
        units_of = columns_seen.units_of(part, slots, SEED)
        answers = run_all(InlineExecutor(), columns_seen.quietly(units_of))
        found = columns_seen.details_of(part, SAID, units_of, answers, InlineExecutor())
        # then they find the same, in the same order
        assert len(units_of) == min(slots, 3)
        assert found == whole
        assert list(found["inputs"]) == [*names, PREDICTION]


def test_what_fails_beside_the_refit_is_looked_at_again_and_then_says_why(part: Part) -> None:
    # given units that cannot read one of the files
    units = columns_seen.units_of(part, 2, SEED)
    path = Path(part.aside.folder) / "train-000001.arrow"
    content = path.read_bytes()
    path.unlink()
    # when they run beside the refit
    answers = run_all(InlineExecutor(), columns_seen.quietly(units))
    # then they do not end it, and say nothing
    assert list(answers.values()) == [None, None]
    # and whoever needs the answers is told
    with pytest.raises(FileNotFoundError):
        columns_seen.details_of(part, SAID, units, answers, InlineExecutor())
    # or gets them, once they can be had; of units that were shared out otherwise, too
    path.write_bytes(content)
    found = columns_seen.details_of(part, SAID, columns_seen.units_of(part, 3, SEED), answers, InlineExecutor())
    assert [row["column"] for row in found["leaks"]] == ["known_later"]


def test_without_rows_nothing_is_said(part: Part) -> None:
    # given no test rows
    empty = replace(part, matrix=part.matrix.head(0))
    # then there is no unit, and no detail
    assert columns_seen.units_of(empty, 2, SEED) == []
    assert columns_seen.details_of(empty, SAID, [], {}, InlineExecutor()) == {}


def test_settings_of_a_search_reach_a_worker_without_the_libraries_that_draw_candidates() -> None:
    # given the settings of every kind of search, pickled as a worker gets them
    code = """
import pickle, sys
import daskflow
kinds = [daskflow.search.REGISTRY.find(kind)() for kind in ("hyperband", "grid", "random", "none")]
assert all(pickle.loads(pickle.dumps(each)) == each for each in kinds)
print([module for module in sys.modules if module in ("dask_ml", "sklearn.model_selection")])
print(sorted({module for each in kinds for module in each.loads}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['dask_ml.model_selection', 'sklearn.model_selection']"]
