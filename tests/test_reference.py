"""The reference page is the code's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_reference_says_what_the_code_says() -> None:
    # given the page's maker
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    # when, then
    assert maker.page() == maker.PAGE.read_text(encoding="utf-8"), "run python docs/make_reference.py"
    # and it describes every option
    undescribed = [line for line in maker.page().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert undescribed == []
