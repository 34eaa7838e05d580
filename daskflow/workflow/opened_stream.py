"""Streams as values: what a served or streaming model has done, read from its folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.core.errors import DaskflowError, StorageError
from daskflow.core.journal import Record, read
from daskflow.core.live import place_in_words, time_of
from daskflow.streams.seconds import PERCENTILES
from daskflow.workflow.watching_streams import StreamSource, is_stream, streams_in

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OpenedStream:
    """A stream as it was when it was opened; open it again for news.

    Attributes
    ----------
    path : Path
        Its folder.
    name, id : str
        Of the model's run, where it has one, and of the folder.
    verb : str
        ``serve`` or ``stream``.
    status : str
        ``running``, ``done``, ``failed``, or ``killed`` when its process went without a word.
    error : str
        Why it failed.
    model, source, sink : str
        What answers now, where records come from and go to; empty where it was not told.
    started, ended : float or None
        When it was begun the first time, and when it ended; seconds since 1970.
    requests, rows : int
        Answered in all. A stream's requests are its records.
    errors : mapping of str to int
        Requests or records without an answer, by reason.
    lag : int or None
        Records that waited at the source by the last word.
    drift : mapping of str to (float, float)
        How far each column has moved, and its bound.
    score : mapping or None
        Of the answers whose truth has come: metric, value, low, high, rows.
    models : mapping of str to (float, float, float)
        Score, low, high of each model that is compared.
    swaps, alarms, notes : sequence of mapping
        Records ``swap``, ``drift``, and ``note`` and ``warning`` of `core.live`, the oldest first.
    offsets : mapping of str to object
        Of the newest record by partition that is handed on for good; nothing of a server.
    answered, dead : int or None
        Records with and without a result by the last commit; None of a server.
    """

    path: Path
    name: str
    id: str
    verb: str
    status: str
    error: str
    model: str
    source: str
    sink: str
    started: float | None
    ended: float | None
    requests: int
    rows: int
    errors: Mapping[str, int]
    lag: int | None
    drift: Mapping[str, Any]
    score: Mapping[str, Any] | None
    models: Mapping[str, Any]
    swaps: Sequence[Mapping[str, Any]]
    alarms: Sequence[Mapping[str, Any]]
    notes: Sequence[Mapping[str, Any]]
    offsets: Mapping[str, Any]
    answered: int | None
    dead: int | None
    records: Sequence[Mapping[str, Any]] = field(repr=False)

    @cached_property
    def seconds(self) -> pd.DataFrame:
        """What was told each second, old ones added up: a row each, by ``at`` (UTC, its end).

        Columns: ``seconds`` (that it stands for), ``requests``, ``rows``, ``errors``, ``p50``, ``p95``, ``p99``
        (seconds), ``queue``, ``queue_limit``, ``lag``, ``score``, ``low``, ``high``; nan where it is not known. A score
        stands in each row from where it was told.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        score: Mapping[str, Any] = {}
        for record in self.records:
            if record["record"] != "stream":
                continue
            score = record.get("score") or score
            latency = record.get("latency") or {}
            rows.append(
                {
                    "at": time_of(record),
                    "seconds": record.get("seconds"),
                    "requests": record.get("requests") or 0,
                    "rows": record.get("rows") or 0,
                    "errors": sum((record.get("errors") or {}).values()),
                    **{name: latency.get(name) for name in PERCENTILES},
                    **{name: record.get(name) for name in ("queue", "queue_limit", "lag")},
                    "score": score.get("value"),
                    **{name: score.get(name) for name in ("low", "high")},
                }
            )
        names = ("at", "seconds", "requests", "rows", "errors", *PERCENTILES, "queue", "queue_limit", "lag", "score")
        frame = pd.DataFrame(rows, columns=[*names, "low", "high"])
        whole = {"requests", "rows", "errors"}
        frame = frame.astype({name: "int64" if name in whole else "float64" for name in frame.columns})
        return frame.assign(at=pd.to_datetime(frame["at"], unit="s", utc=True)).set_index("at")

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values, without the single seconds."""
        left_out = ("records", "path")
        told = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in left_out}
        return {**told, "path": str(self.path)}


def open_stream(folder: Path | str) -> OpenedStream:
    """Open a stream's folder.

    Parameters
    ----------
    folder : path
        Of a stream or server that goes on, has ended or was killed; nothing in it is changed.

    Raises
    ------
    StorageError
        When it is no such folder.

    Examples
    --------
    >>> import daskflow as flow  # doctest: +SKIP
    >>> flow.open_stream("runs/cars/a1b2c3/streams/serve").seconds["p99"].max()  # doctest: +SKIP
    0.0061
    """
    path = Path(folder)
    if not is_stream(path):
        raise StorageError(
            f"{path} is no folder of a stream: it holds no events.jsonl of one. `daskflow status RUN` lists the "
            "streams of a run, and they are in RUN/streams."
        )
    source = StreamSource(path)
    return _opened(source, source.new())


def list_streams(folder: Path | str, *, is_running: bool = False) -> list[OpenedStream]:
    """Return the streams of a run, or those in the folder ``streams``, the newest last; or only those that go on."""
    paths = [path for path in streams_in(Path(folder)) if not is_running or StreamSource(path).is_running]
    found = [open_stream(path) for path in paths]
    return sorted(found, key=lambda stream: stream.started or 0.0)


def _opened(source: StreamSource, records: Sequence[Record]) -> OpenedStream:
    """Put together what records say."""
    begun = [record for record in records if record["record"] == "invocation"]
    about = begun[-1] if begun else {}
    last = next((record for record in reversed(records) if record["record"] in ("invocation", "end")), {})
    has_ended = last.get("record") == "end"
    status = str(last.get("status")) if has_ended else "running" if source.is_running else "killed"
    seconds = [record for record in records if record["record"] == "stream"]
    swaps = [record for record in records if record["record"] == "swap"]
    errors: Counter[str] = Counter()
    newest: dict[str, Any] = {}
    for record in seconds:
        errors.update(record.get("errors") or {})
        newest |= {name: record[name] for name in ("drift", "score", "champion", "challengers") if record.get(name)}
    commits = _commits(source.path)
    first = min(map(time_of, records), default=math.nan)
    return OpenedStream(
        path=source.path,
        name=source.name,
        id=source.id,
        verb=str(about.get("verb") or ""),
        status="killed" if status == "interrupted" else status,
        error=str(last.get("error") or ""),
        model=_model(about, newest, swaps),
        source=place_in_words(about.get("source")),
        sink=place_in_words(about.get("sink")),
        started=None if math.isnan(first) else first,
        ended=time_of(last) if has_ended else None,
        requests=sum(int(record.get("requests") or 0) for record in seconds),
        rows=sum(int(record.get("rows") or 0) for record in seconds),
        errors=dict(errors),
        lag=seconds[-1].get("lag") if seconds else None,
        drift=newest.get("drift", {}),
        score=newest.get("score"),
        models=newest.get("challengers", {}),
        swaps=tuple(swaps),
        alarms=tuple(record for record in records if record["record"] == "drift"),
        notes=tuple(record for record in records if record["record"] in ("note", "warning")),
        offsets={name: offset for commit in commits for name, offset in commit.get("offsets", {}).items()},
        answered=commits[-1].get("answered") if commits else None,
        dead=commits[-1].get("dead") if commits else None,
        records=tuple(records),
    )


def _model(about: Record, newest: Mapping[str, Any], swaps: Sequence[Record]) -> str:
    """The name of what answers: by the last swap, by the seconds, or as it was begun with."""
    found = (swaps[-1] if swaps else {}).get("champion") or newest.get("champion") or about.get("model")
    return str(found or "")


def _commits(path: Path) -> list[Record]:
    """The commits of a stream's journal; none of a server, or where it cannot be read."""
    try:
        return [record for record in read(path / "journal.jsonl") if record.get("record") == "committed"]
    except (OSError, DaskflowError):
        return []
