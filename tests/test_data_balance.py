"""Classes are balanced in training alone: weights as scikit-learn computes them, and fewer rows of the largest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from daskflow.core.errors import SettingsError
from daskflow.data.balance import Balance
from daskflow.data.execution import InlineExecutor
from daskflow.data.matrices import Matrices, MatrixPart, build
from daskflow.data.schema import Target, Task
from daskflow.data.splits import Split
from tests.small_tables import Prepared, cut, prepared, table_of
from tests.test_data_matrices import Shifted

N = 3_000


def rows() -> pa.Table:
    """Rows of three classes, the rarest a hundredth, with weights."""
    draw = np.random.default_rng(0)
    labels = draw.choice(["no", "some", "rare"], N, p=[0.85, 0.14, 0.01])
    return pa.table(
        {
            "pay": np.arange(N, dtype=float),
            "age": np.zeros(N),
            "late": labels,
            "w": draw.integers(1, 5, N).astype(float),
        }
    )


def ready(folder: Path, n_parts: int = 3, **roles: Any) -> Prepared:
    """The rows in folds."""
    table = table_of(cut(rows(), n_parts), target="late", **{"drop": () if "weight" in roles else ("w",), **roles})
    return prepared(table, folder / f"blocks{n_parts}", Split(kind="stratified", folds=3), block_rows=400)


def built(ready: Prepared, folder: Path, *, is_sparse: bool = False, **balance: Any) -> Matrices:
    """Matrices under a balance."""
    transformers = [Shifted(0.0, is_sparse) for _ in ready.plan.folds]
    balancing = Balance(**balance).settled(ready.target)
    return build(ready.reader, transformers, Shifted(1.0, is_sparse), folder, InlineExecutor(), balancing=balancing)


def ids(part: MatrixPart | None) -> np.ndarray:
    """Which rows a part has."""
    assert part is not None
    X = part.whole().X
    X = X.toarray() if sparse.issparse(X) else X
    return np.round(X[:, 0] - X[:, 1]).astype(int)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"class_weight": "equal"}, "balanced"),
        ({"class_weight": {"a": -1.0}}, "finite numbers of at least 0"),
        ({"class_weight": {"a": 0.0}}, "some above it"),
        ({"undersample": 0.0}, "a share is above 0 and at most 1"),
        ({"undersample": {"a": 1.5}}, "a share is above 0 and at most 1"),
        ({"correct": True}, "correct is for undersample"),
        ({"in_scores": True}, "in_scores is for class_weight"),
    ],
)
def test_a_balance_that_means_nothing_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Balance(**values)


def test_labels_that_are_no_classes_are_named_with_the_nearest() -> None:
    target = Target("late", Task.BINARY, ("no", "yes"), (5, 3))

    with pytest.raises(SettingsError, match="'yess' is no class of 'late'; did you mean 'yes'"):
        Balance(class_weight={"yess": 2}).settled(target)
    with pytest.raises(SettingsError, match="needs classes; the target 'late' is a regression"):
        Balance(undersample=0.5).settled(Target("late", Task.REGRESSION))
    assert Balance().settled(target) is None


@pytest.mark.parametrize("label", [True, "true", "True"])
def test_labels_are_known_by_their_text(label: Any) -> None:
    settled = Balance(class_weight={label: 3}).settled(Target("late", Task.BINARY, (False, True), (5, 3)))

    assert settled is not None
    assert settled.weights == (1.0, 3.0)


@pytest.mark.parametrize("weight", [None, "w"])
def test_balanced_weights_are_scikit_learns_over_each_folds_training_rows(weight: str | None, tmp_path: Path) -> None:
    prepared_rows = ready(tmp_path, **({"weight": weight} if weight else {}))

    found = built(prepared_rows, tmp_path / "m", class_weight="balanced")

    table = rows().to_pandas()
    codes = table.late.map({label: code for code, label in enumerate(prepared_rows.target.classes)}).to_numpy()
    for part in [*(fold.train for fold in found.folds), found.final]:
        mine = ids(part)
        own = table.w.to_numpy()[mine] if weight else np.ones(len(mine))
        batch = part.whole()
        expected = compute_class_weight("balanced", classes=np.arange(3), y=codes[mine], sample_weight=own)
        assert batch.weight == pytest.approx(own * expected[batch.y], rel=1e-12)
        assert np.bincount(batch.y, weights=batch.weight) == pytest.approx(own.sum() / 3)
    for part in [*(fold.validation for fold in found.folds), found.test]:
        batch = part.whole()
        assert batch.weight is None if weight is None else batch.weight.tolist() == table.w[ids(part)].tolist()


def test_class_weights_count_in_scores_only_when_asked(tmp_path: Path) -> None:
    prepared_rows = ready(tmp_path)

    found = built(prepared_rows, tmp_path / "m", class_weight={"RARE": 7, "some": 2}, in_scores=True)

    factors = np.array([{"rare": 7.0, "some": 2.0}.get(label, 1.0) for label in prepared_rows.target.classes])
    for part in (found.fold(1).train, found.fold(1).validation, found.test):
        assert part is not None
        assert part.whole().weight.tolist() == factors[part.whole().y].tolist()


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("corrects", [False, True], ids=["plain", "corrected"])
def test_undersampling_leaves_out_rows_of_the_largest_class_in_training_alone(
    is_sparse: bool, corrects: bool, tmp_path: Path
) -> None:
    prepared_rows = ready(tmp_path)
    plain = built(prepared_rows, tmp_path / "m", is_sparse=is_sparse)

    found = built(prepared_rows, tmp_path / "m", is_sparse=is_sparse, undersample=0.2, correct=corrects)

    no = prepared_rows.target.classes.index("no")
    for part, whole in [
        *((a.train, b.train) for a, b in zip(found.folds, plain.folds, strict=True)),
        (found.final, plain.final),
    ]:
        ours, before = part.whole(), whole.whole()
        kept, everything = np.bincount(ours.y), np.bincount(before.y)
        assert [n for c, n in enumerate(kept) if c != no] == [n for c, n in enumerate(everything) if c != no]
        assert kept[no] == pytest.approx(0.2 * everything[no], rel=0.15)
        assert set(ids(part)) < set(ids(whole))
        assert (
            ours.weight is None if not corrects else ours.weight.tolist() == np.where(ours.y == no, 5.0, 1.0).tolist()
        )
        assert sum(len(part.block(i).y) for i in range(part.n_blocks)) == part.n_rows == len(ours.y)
    kept_rows = [set(ids(fold.train)[fold.train.whole().y == no]) for fold in found.folds]
    both = set(ids(plain.fold(0).train)) & set(ids(plain.fold(1).train))
    assert kept_rows[0] & both == kept_rows[1] & both, "a row that stays in one fold stays in all"
    assert found.test == plain.test
    assert [fold.validation for fold in found.folds] == [fold.validation for fold in plain.folds]


def test_shares_may_be_said_class_by_class_and_weights_are_those_of_the_rows_that_stay(tmp_path: Path) -> None:
    prepared_rows = ready(tmp_path)

    found = built(prepared_rows, tmp_path / "m", undersample={"no": 0.1, "some": 0.5}, class_weight="balanced")

    batch = found.fold(0).train.whole()
    assert np.bincount(batch.y, weights=batch.weight) == pytest.approx(len(batch.y) / 3)


def test_files_do_not_matter_for_what_stays(tmp_path: Path) -> None:
    one, other = (
        built(ready(tmp_path, n_parts), tmp_path / f"m{n_parts}", undersample=0.3, class_weight="balanced")
        for n_parts in (1, 5)
    )

    for left, right in zip(one.folds, other.folds, strict=True):
        assert np.array_equal(left.train.whole().X, right.train.whole().X)
        assert np.array_equal(left.train.whole().weight, right.train.whole().weight)
