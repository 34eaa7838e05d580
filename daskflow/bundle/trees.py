"""Whether the trees in xgboost's and lightgbm's own files stay inside their arrays and the columns they are given.

Both libraries follow the children, features and categories of a node without a check of bounds when they predict, so
that a forged file could read and write memory of others. Here every index is checked before the library sees the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def check_xgboost(content: bytes) -> None:
    """Check a model in xgboost's JSON; ValueError when it is not whole, or no model of trees."""
    learner = json.loads(content)["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] == "dart":
        weights, booster = booster["weight_drop"], booster["gbtree"]
        _demand(len(weights) == len(booster["model"]["trees"]), "it has another number of weights than of trees")
    _demand(booster.get("name", "gbtree") == "gbtree", f"its booster is '{booster.get('name')}', not trees")
    model, param = booster["model"], learner["learner_model_param"]
    n_features = int(param["num_feature"])
    n_outputs = max(int(param["num_class"]), int(param.get("num_target", 1)), 1)
    groups, ends = _integers(model["tree_info"]), _integers(model["iteration_indptr"])
    _demand(not any(model.get("cats", {}).values()), "it holds names of categories")
    found = model["trees"]
    n_said = int(model["gbtree_model_param"]["num_trees"])
    _demand(len(found) == len(groups) == n_said, "it says another number of trees than it has")
    _demand(_inside(groups, n_outputs), "a tree is of an output that is not there")
    _demand(len(ends) > 0 and ends[0] == 0 and ends[-1] == n_said, "its iterations are not its trees")
    _demand(bool((np.diff(ends) >= 0).all()), "its iterations are not in order")
    for number, tree in enumerate(found):
        _check_xgboost_tree(tree, n_features, f"tree {number}")


def _check_xgboost_tree(tree: Mapping[str, Any], n_features: int, name: str) -> None:
    """One tree."""
    param = tree["tree_param"]
    n_nodes = int(param["num_nodes"])
    _demand(int(param["size_leaf_vector"]) <= 1, f"{name} has leaves of several values")
    _demand(int(param["num_feature"]) == n_features, f"{name} is of another number of columns")
    left, right, features = (_integers(tree[key]) for key in ("left_children", "right_children", "split_indices"))
    arrays = (
        "base_weights",
        "default_left",
        "loss_changes",
        "parents",
        "split_conditions",
        "split_type",
        "sum_hessian",
    )
    sizes = {len(left), len(right), len(features), *(len(tree[key]) for key in arrays)}
    _demand(n_nodes > 0 and sizes == {n_nodes}, f"{name} has arrays of different lengths")
    inner = left != -1
    places = np.flatnonzero(inner)
    for children in (left[inner], right[inner]):
        _demand(bool((children > places).all()) and _inside(children, n_nodes), f"{name} has a child outside of it")
    _demand(_inside(features[inner], n_features), f"{name} splits by a column that is not there")
    _check_xgboost_categories(tree, n_nodes, places, name)


def _check_xgboost_categories(tree: Mapping[str, Any], n_nodes: int, places: Integers, name: str) -> None:
    """Its splits by category."""
    nodes, segments, sizes = (_integers(tree[f"categories_{key}"]) for key in ("nodes", "segments", "sizes"))
    values = _integers(tree["categories"])
    by_category = np.flatnonzero(_integers(tree["split_type"]) != 0)
    _demand(set(by_category.tolist()) <= set(nodes.tolist()), f"{name} splits by categories that are not there")
    _demand(len(nodes) == len(segments) == len(sizes), f"{name} has arrays of different lengths")
    _demand(_inside(nodes, n_nodes) and bool((np.diff(nodes) > 0).all()), f"{name} has a split outside of it")
    ends = segments + sizes
    are_inside = bool((segments >= 0).all() and (sizes >= 0).all() and (ends <= len(values)).all())
    _demand(are_inside and _inside(values, 2**24), f"{name} has categories outside of its list")


def check_lightgbm(content: bytes) -> None:
    """Check a model in lightgbm's text; ValueError when it is not whole, or has linear leaves."""
    head, *rest = content.decode().split("\nTree=")
    _demand(head.startswith("tree\n"), "it does not begin as a model of trees")
    _demand("\nend of trees\n" in (rest[-1] if rest else head), "its end is missing")
    known = _lines(head)
    n_features, per_iteration = int(known["max_feature_idx"]) + 1, int(known["num_tree_per_iteration"])
    n_classes, sizes = int(known["num_class"]), known.get("tree_sizes", "").split()
    _demand(n_features > 0 and per_iteration >= 1 and n_classes == per_iteration, "its numbers of classes differ")
    _demand(len(known.get("feature_names", "").split()) == n_features, "it names another number of columns")
    _demand(len(known.get("feature_infos", "").split()) == n_features, "it describes another number of columns")
    _demand(len(rest) % per_iteration == 0 and len(sizes) in (0, len(rest)), "it says another number of trees")
    start = content.index(b"\nTree=") + 1 if rest else 0
    for number, text in enumerate(rest):
        tree = text.split("\nend of trees\n")[0]
        place, _, body = tree.partition("\n")
        _demand(place == str(number), f"tree {number} is called {place[:20]}")
        if sizes:  # lightgbm jumps by these from tree to tree
            start += int(sizes[number])
            following = b"Tree=%d\n" % (number + 1) if number + 1 < len(rest) else b"end of trees\n"
            is_there = start > 0 and content[start : start + len(following)] == following
            _demand(is_there, f"tree {number} is not as long as it says")
        _check_lightgbm_tree(_lines(body), n_features, f"tree {number}")


def _lines(text: str) -> dict[str, str]:
    """``name=value`` lines; ValueError when one stands twice."""
    pairs = [line.partition("=") for line in text.split("\n") if "=" in line]
    found = {name: value for name, _, value in pairs}
    _demand(len(found) == len(pairs), "a line stands twice")
    return found


def _check_lightgbm_tree(tree: Mapping[str, str], n_features: int, name: str) -> None:
    """One tree; leaf n is the child ~n."""
    n_leaves, n_categorical = int(tree["num_leaves"]), int(tree["num_cat"])
    _demand(n_leaves >= 1 and int(tree.get("is_linear", "0")) == 0, f"{name} has no plain leaves")
    _demand(len(_floats(tree["leaf_value"])) == n_leaves, f"{name} has arrays of different lengths")
    if n_leaves == 1:
        return
    left, right, features, decisions = (
        _integers(tree[key].split()) for key in ("left_child", "right_child", "split_feature", "decision_type")
    )
    thresholds = _floats(tree["threshold"])
    _demand(
        {len(left), len(right), len(features), len(decisions), len(thresholds)} == {n_leaves - 1},
        f"{name} has arrays of different lengths",
    )
    places = np.arange(n_leaves - 1)
    for children in (left, right):
        is_leaf = children < 0
        _demand(_inside(~children[is_leaf], n_leaves), f"{name} has a leaf outside of it")
        deeper = children[~is_leaf]
        is_inside = bool((deeper > places[~is_leaf]).all()) and _inside(deeper, n_leaves - 1)
        _demand(is_inside, f"{name} has a child outside of it")
    _demand(_inside(features, n_features), f"{name} splits by a column that is not there")
    by_category = thresholds[(decisions & 1) == 1]
    if n_categorical or len(by_category):
        bounds, bits = (_integers(tree[key].split()) for key in ("cat_boundaries", "cat_threshold"))
        _demand(_inside(by_category, n_categorical), f"{name} splits by categories that are not there")
        are_whole = len(bounds) == n_categorical + 1 and bounds[0] == 0 and bool((np.diff(bounds) >= 0).all())
        _demand(are_whole and bounds[-1] == len(bits), f"{name} has categories outside of its list")


def _integers(values: Any) -> Integers:
    """A list of whole numbers, or of their texts; ValueError for others."""
    found = np.array(values)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iuU"):
        raise ValueError("a list of whole numbers holds something else")
    return found.astype(np.int64)


def _floats(text: str) -> NDArray[np.float64]:
    return np.array([float(word) for word in text.split()])


def _inside(values: Any, n: int) -> bool:
    """Whether all are among 0..n-1."""
    return bool(((values >= 0) & (values < n)).all())


def _demand(holds: bool, otherwise: str) -> None:
    """Raise ValueError unless it holds."""
    if not holds:
        raise ValueError(otherwise)
