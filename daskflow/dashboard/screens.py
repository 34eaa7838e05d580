"""Screens: all pages in the order of their navigation."""

from __future__ import annotations

from collections.abc import Sequence

from daskflow.dashboard.screen_data import DataScreen
from daskflow.dashboard.screen_evaluation import EvaluationScreen
from daskflow.dashboard.screen_history import HistoryScreen
from daskflow.dashboard.screen_overview import OverviewScreen
from daskflow.dashboard.screen_search import SearchScreen
from daskflow.dashboard.screen_stream import StreamScreen
from daskflow.dashboard.slots import Screen


def screens() -> Sequence[Screen]:
    """Return one of each, for one run: each keeps what it has drawn."""
    return (OverviewScreen(), DataScreen(), SearchScreen(), EvaluationScreen(), StreamScreen(), HistoryScreen())


def stream_screens() -> Sequence[Screen]:
    """Return those of a stream that is looked at alone."""
    return (StreamScreen(),)
