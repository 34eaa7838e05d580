"""A metric that stands in for another once the task, or an option, says how that one's arithmetic has to go."""

from __future__ import annotations

from typing import Any

from daskflow.metrics import Metric


class Delegate(Metric):
    """Stands in for `metric`: of its name, direction and needs, with arithmetic of its own.

    A kind whose variants keep different states gives one of them by `for_task` and `judge`; what shares a state among
    metrics goes by the class of that.
    """

    metric: Metric

    @property
    def name(self) -> str:
        """The other's."""
        return self.metric.name

    @property
    def greater_is_better(self) -> bool:  # type: ignore[override]  # of each metric, not of the class
        """The other's."""
        return self.metric.greater_is_better

    @property
    def needs(self) -> str:  # type: ignore[override]  # of each metric, not of the class
        """The other's."""
        return self.metric.needs

    def misfit(self, task: str) -> str:
        """Ask the other."""
        return self.metric.misfit(task)

    def for_task(self, task: str, n_classes: int = 0) -> Any:
        """Ask the other."""
        return self.metric.for_task(task, n_classes)

    def dump(self) -> dict[str, Any]:
        """Return the other's settings."""
        return self.metric.dump()

    def __repr__(self) -> str:
        """Show the other."""
        return repr(self.metric)
