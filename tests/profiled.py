"""Profiles of small tables, for tests: in this process, with blocks in a folder of the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from daskflow.data.execution import InlineExecutor
from daskflow.data.profile_table import profile_blocks
from daskflow.data.scan import scan
from daskflow.data.table_profile import Finding, TableProfile
from tests.small_tables import cut, table_of


def profiled(
    pieces: pa.Table | pd.DataFrame | Sequence[pa.Table], folder: Path, *, parts: int = 1, **options: Any
) -> TableProfile:
    """Scan partitions, or one table cut into some, and profile them."""
    if isinstance(pieces, pd.DataFrame):
        pieces = pa.Table.from_pandas(pieces, preserve_index=False)
    if isinstance(pieces, pa.Table):
        pieces = cut(pieces, parts)
    asked = {word: options.pop(word) for word in ("task", "columns", "share", "sample") if word in options}
    blocks = scan(table_of(pieces, **options), folder, InlineExecutor())
    return profile_blocks(blocks, InlineExecutor(), name="table", **asked)


def said(profile: TableProfile, column: str | None, words: str) -> Finding:
    """The one finding about a column (or the table) whose sentence holds some words."""
    found = [finding for finding in profile.findings if finding.column == column and words in finding.sentence]
    assert len(found) == 1, [(finding.column, finding.sentence) for finding in profile.findings]
    return found[0]
