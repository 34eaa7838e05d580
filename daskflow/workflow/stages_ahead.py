"""Stages ahead: what a run will compute, in order, and what is known beforehand of what each stage takes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from daskflow.clusters.local import Local
from daskflow.core.errors import DaskflowError
from daskflow.core.estimates import about, amount
from daskflow.core.folder import RunFolder
from daskflow.core.journal import read

if TYPE_CHECKING:
    from daskflow.workflow.outlook import Outlook
    from daskflow.workflow.workflow import Workflow


@dataclass(frozen=True, slots=True)
class StagesAhead:
    """The stages of a run in order.

    Attributes
    ----------
    names : tuple of str
        What is computed.
    seconds : mapping of str to float
        What stages took in the newest run of the same files; those are left out of which none tells.
    run : str
        That run, as ``NAME/ID``; empty without one.
    said : mapping of str to str
        What is known of a stage besides, in words.

    Examples
    --------
    >>> ahead = StagesAhead(("scan", "search", "refit"), {"scan": 2.04}, "a/0a1b", {"search": "about 5 CPU-min"})
    >>> print("\\n".join(ahead.lines()))
    scan 2 s, in the run a/0a1b
    search: about 5 CPU-min
    refit: not told before a run of these files has come so far
    """

    names: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    run: str = ""
    said: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return what each stage takes, or that it is not told."""
        took = [f"{name} {amount(self.seconds[name])}" for name in self.names if name in self.seconds]
        unknown = [name for name in self.names if name not in self.seconds and name not in self.said]
        return [
            *([f"{', '.join(took)}, in the run {self.run}"] if took else []),
            *(f"{name}: {words}" for name, words in self.said.items()),
            *([f"{', '.join(unknown)}: not told before a run of these files has come so far"] if unknown else []),
        ]

    def dump(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def stages_ahead(workflow: Workflow, outlook: Outlook, earlier: RunFolder | None, *, test: float) -> StagesAhead:
    """Return the stages of a run, and what is known of them.

    Parameters
    ----------
    workflow : Workflow
        What will run.
    outlook : Outlook
        Of its search.
    earlier : RunFolder or None
        The newest run of the same files.
    test : float
        Share of the rows that is tested.
    """
    names = stage_names(workflow, test=test)
    said: dict[str, str] = {}
    if outlook.cpu_hours is not None:
        cpu = (outlook.cpu_hours, outlook.cpu_low, outlook.cpu_high)
        said["search"] = about(*(3600 * (hours or 0.0) for hours in cpu), of="CPU-", then=" for its fits")
    if "explanation" in names and workflow.evaluation.explain:
        most = amount(workflow.evaluation.explain_seconds)
        said["explanation"] = f"nothing new is begun after {most} (evaluation.explain_seconds)"
    took = {name: taken for name, taken in _seconds(earlier).items() if name in names and name != "search"}
    return StagesAhead(names, took, f"{earlier.name}/{earlier.id}" if earlier is not None and took else "", said)


def stage_names(workflow: Workflow, *, test: float) -> tuple[str, ...]:
    """Return what is computed, in order; see `workflow.execute`."""
    cluster = workflow.cluster
    is_measured = isinstance(cluster, Local) and cluster.layout == "auto"
    return (
        *(["layout"] if is_measured else []),
        *(["download"] if workflow.data.kind == "http" else []),
        *("scan", "split", "statistics", "matrices", "search", "refit"),
        *(["evaluation", "explanation"] if test else []),
        "model",
    )


def _seconds(run: RunFolder | None) -> dict[str, float]:
    """What each stage took that came to its end, the last time."""
    records = []
    if run is not None:
        with suppress(DaskflowError):
            records = [record for record in read(run.journal) if record["record"] == "stage"]
    return {str(record["stage"]): float(record["seconds"]) for record in records if not record.get("failed")}
