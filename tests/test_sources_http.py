"""Tables over HTTP: the same rows as from files, read while others come, and never anything else without a word."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import daskflow as flow
from daskflow.core.errors import BadRowsError, ChangedDataError, DataError, SettingsError
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.sources import REGISTRY
from daskflow.sources.http import Http
from daskflow.sources.http_engine import ENGINE
from tests.misbehaving_server import Reply, Request, Server, answer, breaking_off, file, redirect, serving

LIMITS = {"backoff_seconds": 0.01, "idle_seconds": 60, "connect_seconds": 30, "retries": 2}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
    assert ENGINE.wait(60)
    assert_no_threads_are_left()


def assert_no_threads_are_left() -> None:
    """Threads of a download end with it, or a moment later."""
    until = time.monotonic() + 60
    while left := [each.name for each in threading.enumerate() if each.name.startswith(("daskflow", "misbehaving"))]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Http]:
    """Make a source with shrunken times and a cache of its own."""

    def made(**options: Any) -> Http:
        limits = {**LIMITS, **options.pop("limits", {})}
        return Http(**{"cache": str(tmp_path / "cache"), "limits": limits, **options})

    return made


def frame(number: int, n_rows: int = 300) -> pd.DataFrame:
    """Rows of one file."""
    rows = range(number * n_rows, (number + 1) * n_rows)
    return pd.DataFrame(
        {"x": [row / 4 for row in rows], "n": list(rows), "zip": [f"{row % 50:05}" for row in rows],
         "late": [row % 3 == 0 for row in rows]}
    )  # fmt: skip


def encoded(table: pd.DataFrame, kind: str) -> bytes:
    """A table as the bytes of a file."""
    buffer = io.BytesIO()
    if kind == "csv":
        table.to_csv(buffer, index=False)
    elif kind == "csv.gz":
        table.to_csv(buffer, index=False, compression="gzip")
    elif kind == "jsonl":
        table.to_json(buffer, orient="records", lines=True)
    elif kind == "arrow":
        rows = pa.Table.from_pandas(table, preserve_index=False)
        with pa.ipc.new_file(buffer, rows.schema) as writer:
            writer.write_table(rows)
    else:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), buffer, row_group_size=100)
    return buffer.getvalue()


def csv_at(server: Server, n_files: int = 4, **options: Any) -> list[str]:
    """Addresses of so many CSV files."""
    return [server.at(f"/d/{n}.csv", file(encoded(frame(n), "csv"), etag=f'"{n}"', **options)) for n in range(n_files)]


def rows_of(table: Table) -> pd.DataFrame:
    return pa.concat_tables([part.read().plain for part in table.partitions]).to_pandas()


def bodies(server: Server, path: str) -> int:
    """How often a file was asked for as a whole."""
    return sum(
        "range" not in request.headers and "if-none-match" not in request.headers for request in server.asked(path)
    )


# the same rows


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "arrow", "parquet"])
def test_a_table_over_http_is_the_table_of_the_same_files(
    kind: str, server: Server, tmp_path: Path, make: Callable[..., Http]
) -> None:
    # given the same files in a folder and over HTTP
    (tmp_path / "files").mkdir()
    urls = []
    for number in (10, 9, 1):
        body = encoded(frame(number), kind)
        (tmp_path / "files" / f"{number}.{kind}").write_bytes(body)
        urls.append(server.at(f"/d/{number}.{kind}", file(body)))
    # when
    remote = make(url=urls, target="late", derive={"half": "x / 2"}).table()
    name = {"csv.gz": "csv", "jsonl": "json"}.get(kind, kind)
    local = REGISTRY.get(name)(path=str(tmp_path / "files"), target="late", derive={"half": "x / 2"}).table()
    # then
    assert remote.schema == local.schema
    assert [part.fingerprint.name for part in remote.partitions] == [p.fingerprint.name for p in local.partitions]
    pd.testing.assert_frame_equal(rows_of(remote), rows_of(local))
    blocks = [scan(table, tmp_path / "store" / str(n), InlineExecutor()) for n, table in enumerate((remote, local))]
    assert blocks[0].fingerprint == blocks[1].fingerprint


def test_templates_stand_for_addresses_and_formats_take_their_own_options(
    server: Server, make: Callable[..., Http]
) -> None:
    for number in range(8, 12):
        server.at(f"/{number:02}.txt", file(f"a;b\n{number};1,5\n".encode(), kind="text/plain"))
    table = make(url=server.url("/{08..11}.txt"), format={"kind": "csv", "separator": ";", "decimal": ","}).table()
    assert rows_of(table)["a"].tolist() == [8, 9, 10, 11]
    assert rows_of(table)["b"].tolist() == [1.5] * 4


def test_the_format_comes_from_what_servers_say_when_names_say_nothing(
    server: Server, make: Callable[..., Http]
) -> None:
    # given
    csv = server.at("/export", file(encoded(frame(0), "csv"), kind="text/csv; charset=utf-8"))
    parquet = server.at("/other", file(encoded(frame(0), "parquet")))
    plain = server.at("/plain", file(encoded(frame(0), "csv"), kind="text/plain"))
    # when, then
    assert len(rows_of(make(url=csv).table())) == 300
    assert len(rows_of(make(url=parquet).table())) == 300
    with pytest.raises(DataError, match=r"say one format \(content types: text/plain\).*format = 'csv'"):
        make(url=plain).table()


@pytest.mark.parametrize("ranges", [True, False], ids=["parts", "no parts"])
def test_names_of_folders_and_files_are_columns_over_http_too(
    ranges: bool, server: Server, make: Callable[..., Http]
) -> None:
    for year in (2020, 2021):
        body = encoded(frame(year - 2020).drop(columns="n"), "parquet")
        server.at(f"/d/year={year}/a.parquet", file(body, ranges=ranges))
    table = make(
        url=server.url("/d/year={2020,2021}/a.parquet"), format={"kind": "parquet", "file_column": "origin"}
    ).table()
    rows = rows_of(table)
    assert rows["year"].tolist() == [2020] * 300 + [2021] * 300
    assert rows["origin"].unique().tolist() == ["year=2020/a.parquet", "year=2021/a.parquet"]
    blocks_schema = table.source_schema.names
    assert set(blocks_schema) == {"x", "zip", "late", "year", "origin"}


# one schema


def test_the_schema_of_parquet_comes_from_footers_and_no_file_is_fetched_for_it(
    server: Server, make: Callable[..., Http]
) -> None:
    # given files of several row groups
    urls = [server.at(f"/{n}.parquet", file(encoded(frame(n, 20_000), "parquet"), etag=f'"{n}"')) for n in range(3)]
    # when
    table = make(url=urls, format={"kind": "parquet", "partition_bytes": 200_000}).table()
    # then files are cut into partitions of their row groups
    assert len(table.partitions) > 3
    assert [bodies(server, f"/{n}.parquet") for n in range(3)] == [0, 0, 0]
    # and they are read right, each fetched once
    assert len(rows_of(table)) == 60_000
    assert [bodies(server, f"/{n}.parquet") for n in range(3)] == [1, 1, 1]


def test_silent_error_11_parquet_files_that_differ_are_refused_before_anything_is_fetched(
    server: Server, make: Callable[..., Http]
) -> None:
    urls = [server.at("/a.parquet", file(encoded(frame(0), "parquet")))]
    urls.append(server.at("/b.parquet", file(encoded(frame(1).assign(extra=1), "parquet"))))
    with pytest.raises(DataError, match=r"column 'extra' is in 'b\.parquet', but not in 'a\.parquet'"):
        make(url=urls).table()
    assert bodies(server, "/a.parquet") == 0


def test_a_large_footer_is_read_in_two_parts(server: Server, make: Callable[..., Http]) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"large": "x" * 100_000}), buffer)
    table = make(url=server.at("/wide.parquet", file(buffer.getvalue()))).table()
    assert table.schema.names == ("x",)
    assert len(server.requests) == 2


def test_a_later_file_that_does_not_fit_the_schema_is_named(server: Server, make: Callable[..., Http]) -> None:
    """The schema is from the first file: a later one with other columns, or other values, is an error."""
    # given
    urls = csv_at(server, 4)
    server.at("/d/1.csv", file(b"x,n,late,zip\n1,2,true,00001\n1,2.5,true,00001\n"))
    server.at("/d/2.csv", file(b"x,n,zip\n1,2,00001\n"))
    server.at("/d/3.csv", file(b"x,n,zip,late,more\n1,2,00001,true,1\n"))
    table = make(url=urls, sample_files=1).table()
    # when, then
    table.partitions[0].read()
    with pytest.raises(BadRowsError, match=r"http://127\.0\.0\.1:\d+/d/1\.csv: 1\.csv, line 3.*'n'.*2\.5"):
        table.partitions[1].read()
    with pytest.raises(DataError, match=r"/d/2\.csv: its columns are not.*lacks 'late'"):
        table.partitions[2].read()
    with pytest.raises(DataError, match=r"/d/3\.csv: its columns are not.*has 'more'"):
        table.partitions[3].read()


def test_types_are_those_of_the_table_whatever_a_file_alone_looks_like(
    server: Server, make: Callable[..., Http]
) -> None:
    """Silent error 12: a file whose floats are all whole, and whose texts look like numbers, changes nothing."""
    urls = [server.at("/0.csv", file(b"x,zip\n1.5,02139\n")), server.at("/1.csv", file(b"zip,x\n94110,2\n"))]
    rows = rows_of(make(url=urls, sample_files=1).table())
    assert rows["x"].tolist() == [1.5, 2.0]
    assert rows["zip"].tolist() == ["02139", "94110"]


def test_rejected_rows_are_listed_with_their_file(server: Server, make: Callable[..., Http]) -> None:
    urls = [server.at("/0.csv", file(b"x,y\n1,1\n")), server.at("/1.csv", file(b"x,y\n1,1\nno,1\n"))]
    table = make(url=urls, sample_files=1, format={"kind": "csv", "on_bad_rows": "reject"}).table()
    (reject,) = table.partitions[1].read().rejects
    assert (reject.file, reject.line) == ("1.csv", 3)


# what is not there, not data, or changed


def test_all_files_that_cannot_be_had_are_named_at_once_before_anything_is_read(
    server: Server, make: Callable[..., Http]
) -> None:
    urls = csv_at(server, 2)
    urls.append(server.at("/gone.csv", answer(404)))
    urls.append(server.at("/page.csv", file(b"<html>Log in</html>", kind="text/html")))
    urls.append(server.at("/empty.csv", file(b"")))
    urls.append(server.at("/else.csv", redirect("http://169.254.169.254/")))
    with pytest.raises(DataError) as caught:
        make(url=urls).table()
    for words in ("/gone.csv: the server answered 404", "/page.csv: the server says it is a web page",
                  "/empty.csv: the file is empty", "/else.csv: it redirects to another host"):  # fmt: skip
        assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_silent_error_9_a_file_that_changes_between_planning_and_reading_is_noticed(
    kind: str, server: Server, make: Callable[..., Http]
) -> None:
    """Guarantee 17: inputs are fingerprinted; a change raises."""
    # given
    urls = [server.at(f"/{n}.{kind}", file(encoded(frame(n), kind), etag=f'"{n}"')) for n in range(2)]
    table = make(url=urls, sample_files=1).table()
    # when
    server.at(f"/1.{kind}", file(encoded(frame(7), kind), etag='"7"'))
    # then
    with pytest.raises(ChangedDataError, match=rf"/1\.{kind} changed since it was planned"):
        table.partitions[1].read()


def test_a_short_answer_is_continued_and_one_that_stays_short_is_named(
    server: Server, make: Callable[..., Http]
) -> None:
    body = encoded(frame(0, 5000), "csv")
    urls = [server.at("/0.csv", file(body), breaking_off(body, 1000), file(body))]
    assert len(rows_of(make(url=urls).table())) == 5000
    bad = server.at("/1.csv", file(body), breaking_off(body, 1000, etag='W/"1"'))
    with pytest.raises(DataError, match=rf"/1\.csv: the answer broke off after 1000 of {len(body)} bytes"):
        make(url=bad).table()


# again


def test_a_second_run_fetches_nothing_and_finds_its_blocks(
    server: Server, tmp_path: Path, make: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given files that are large enough for a block each
    monkeypatch.setattr("daskflow.data.grouping.GROUP_BYTES", 1)
    urls = csv_at(server)
    first = scan(make(url=urls).table(), tmp_path / "store", InlineExecutor())
    asked = len(server.requests)
    # when it is opened again, with other limits and one file more
    urls.append(server.at("/d/4.csv", file(encoded(frame(4), "csv"))))
    second = scan(make(url=urls, ahead=1, limits={"per_host": 1}).table(), tmp_path / "store", InlineExecutor())
    # then each was looked at, and only the new one was read
    assert (first.partition_reads, second.partition_reads) == (4, 1)
    later = server.requests[asked:]
    assert [request.path for request in later if "range" not in request.headers] == ["/d/4.csv"]


def test_a_changed_file_alone_is_read_again(
    server: Server, tmp_path: Path, make: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daskflow.data.grouping.GROUP_BYTES", 1)
    urls = csv_at(server)
    scan(make(url=urls).table(), tmp_path / "store", InlineExecutor())
    server.at("/d/2.csv", file(encoded(frame(9), "csv"), etag='"9"'))
    blocks = scan(make(url=urls).table(), tmp_path / "store", InlineExecutor())
    assert blocks.partition_reads == 1


def test_files_of_a_server_that_tells_no_states_apart_are_fetched_by_every_run(
    server: Server, tmp_path: Path, make: Callable[..., Http]
) -> None:
    # given a server without ETag and Last-Modified
    urls = [server.at(f"/d/{n}.csv", file(encoded(frame(n), "csv"), etag=None)) for n in range(2)]
    first = scan(make(url=urls).table(), tmp_path / "store", InlineExecutor())
    # when a file changes, and keeps its size
    server.at("/d/1.csv", file(encoded(frame(1), "csv").replace(b"75.0", b"76.0"), etag=None))
    second = scan(make(url=urls).table(), tmp_path / "store", InlineExecutor())
    # then
    assert second.fingerprint != first.fingerprint
    assert any("without ETag or date" in note for note in make(url=urls).table().notes)


# at the same time


def test_the_first_partition_is_decoded_before_the_last_file_is_fetched(
    server: Server, make: Callable[..., Http]
) -> None:
    """Partitions become available while later ones download, and the download does not wait for them to be read."""
    # given a last file whose end is not sent before the first partition was decoded
    decoded, begun, ended = threading.Event(), threading.Event(), threading.Event()
    urls = csv_at(server, 4)
    body = encoded(frame(3), "csv")

    async def gated(request: Request, reply: Reply) -> None:
        if request.start is not None:
            await file(body)(request, reply)
            return
        begun.set()
        await reply.head(200, {"Content-Length": str(len(body)), "ETag": '"1"'})
        await reply.raw(body[:100])
        while not decoded.is_set():
            await asyncio.sleep(0.005)
        await reply.raw(body[100:])
        ended.set()

    server.at("/d/3.csv", gated)
    table = make(url=urls, sample_files=1).table()
    # when
    table.partitions[0].read()
    # then the last one is on its way, and not there
    assert begun.wait(60)
    assert not ended.is_set()
    # when
    decoded.set()
    rows = [table.partitions[n].read().rows.num_rows for n in (1, 2, 3)]
    # then
    assert rows == [300] * 3
    assert [bodies(server, f"/d/{n}.csv") for n in range(4)] == [1, 1, 1, 1]


def test_no_more_files_are_fetched_ahead_than_said_however_fast_the_server_is(
    server: Server, make: Callable[..., Http]
) -> None:
    """The disk is bounded as memory is: the server waits for the reader."""
    table = make(url=csv_at(server, 8), sample_files=1, ahead=2).table()
    for place, fetched in ((0, 3), (1, 4), (5, 8)):
        table.partitions[place].read()
        assert ENGINE.wait(60)
        assert sum(bodies(server, f"/d/{n}.csv") for n in range(8)) == (fetched if place < 5 else 7)


def test_the_cache_is_bounded_and_what_was_used_longest_ago_goes_first(
    server: Server, tmp_path: Path, make: Callable[..., Http]
) -> None:
    # given room for three files
    size = len(encoded(frame(7), "csv"))
    table = make(url=csv_at(server, 8), sample_files=1, ahead=1, cache_bytes=3 * size + 3000).table()
    # when all are read
    most = 0
    for part in table.partitions:
        part.read()
        assert ENGINE.wait(60)
        held = list((tmp_path / "cache").rglob("*.csv"))
        most = max(most, len(held))
    # then no more were there at once, and the last ones are
    assert most <= 4
    assert {path.name for path in held} >= {"6.csv", "7.csv"}
    # and what is gone is fetched again when it is wanted
    assert table.partitions[0].read().rows.num_rows == 300


def test_workers_that_share_the_cache_fetch_each_file_once(
    client: Any, server: Server, tmp_path: Path, make: Callable[..., Http]
) -> None:
    table = make(url=csv_at(server, 8), sample_files=2).table()
    blocks = scan(table, tmp_path / "store", ClientExecutor(client))
    assert blocks.n_rows == 8 * 300
    assert [bodies(server, f"/d/{n}.csv") for n in range(8)] == [1] * 8


def test_a_table_is_opened_and_read_where_an_event_loop_runs(server: Server, make: Callable[..., Http]) -> None:
    async def notebook() -> int:
        return len(rows_of(make(url=csv_at(server, 2)).table()))

    assert asyncio.run(notebook()) == 600


# manifests


def test_a_manifest_gives_addresses_checksums_and_sizes(
    server: Server, tmp_path: Path, make: Callable[..., Http]
) -> None:
    # given
    import hashlib

    urls = csv_at(server, 3)
    bodies_ = [encoded(frame(n), "csv") for n in range(3)]
    sums = [hashlib.sha256(body).hexdigest() for body in bodies_]
    lines = [
        "# files",
        f"{urls[0]} {len(bodies_[0])} sha256:{sums[0]}",
        json.dumps({"url": urls[1], "sha256": sums[1], "size": len(bodies_[1])}),
        f"{sums[2]}  {urls[2]}",
    ]
    (tmp_path / "files.txt").write_text("\n".join(lines))
    # when it stands here, and when it is fetched, with names relative to it
    here = make(manifest=str(tmp_path / "files.txt")).table()
    relative = "\n".join(line.replace(server.url("/d/"), "") for line in lines)
    there = make(manifest=server.at("/d/SHA256SUMS", file(relative.encode(), kind="text/plain"))).table()
    # then
    assert len(rows_of(here)) == 900
    assert len(rows_of(there)) == 900
    # when a checksum is another
    (tmp_path / "files.txt").write_text(f"{'0' * 64}  {urls[2]}")
    with pytest.raises(DataError, match=r"/d/2\.csv: its sha256 is [0-9a-f]{64}, and 0{64} was stated"):
        make(manifest=str(tmp_path / "files.txt"), cache=str(tmp_path / "other")).table()


def test_every_line_of_a_manifest_that_is_wrong_is_named_and_a_fetched_one_sends_nowhere_else(
    server: Server, tmp_path: Path, make: Callable[..., Http]
) -> None:
    text = 'a.csv\nftp://x/b.csv\nhttp://x/c.csv sha256:12\n{"url": 1}\n'
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        make(manifest=str(tmp_path / "m.txt")).table()
    assert [f"m.txt, line {n}" in str(caught.value) for n in (1, 2, 3, 4)] == [True] * 4
    remote = server.at("/m.txt", file(b"http://10.0.0.1/a.csv\n", kind="text/plain"))
    with pytest.raises(DataError, match=r"line 1: it names another host, http://10\.0\.0\.1/a\.csv"):
        make(manifest=remote).table()
    with pytest.raises(DataError, match="lists no files"):
        make(manifest=server.at("/none.txt", file(b"# nothing\n", kind="text/plain"))).table()


# settings and secrets


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"url": "ftp://ann:canary@x/a.csv"}, ["data.url: 'ftp://...' is no address"]),
        ({"url": ["http://x", "canary"]}, ["data.url.1: This is no address"]),
        ({"url": 5}, ["data.url: should be an address"]),
        ({}, ["data.url: is required (or manifest)"]),
        ({"url": "http://x/a", "format": {"kind": "csv", "seperator": ";"}}, ["format.seperator", "'separator'"]),
        ({"url": "http://x/a", "format": "frame"}, ["format.kind: should be a format of files", "csv"]),
        ({"url": "http://x/a", "format": {"kind": "csv", "target": "y", "path": ""}}, ["format.target", "format.path"]),
        ({"url": "http://x/a", "access": {"bearer": "canary"}}, ["access.bearer", "'env:TOKEN'"]),
        ({"url": "http://x/a", "access": {"headers": {"X-Api-Key": "canary"}}}, ["access.headers.X-Api-Key"]),
        ({"url": "http://x/a", "access": "canary"}, ["access: should be a table"]),
        ({"url": "http://x/a", "access": {"user": "ann"}}, ["access.user: and password go together"]),
        ({"url": "http://x/a", "allow_hosts": ["http://y/"]}, ["allow_hosts", "should be hosts"]),
        ({"url": "http://x/a", "limits": {"retires": 3}}, ["limits.retires", "'retries'"]),
        ({"url": "http://x/a", "limits": {"rate": "fast"}}, ["limits.rate: should be a size"]),
    ],
)  # fmt: skip
def test_mistakes_are_named_where_they_stand_and_show_no_secret(options: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        REGISTRY.parse({"kind": "http", **options}, where="data")
    text = str(caught.value)
    assert all(problem in text for problem in problems), text
    assert "canary" not in text


def test_a_variable_that_is_not_set_is_named(server: Server, make: Callable[..., Http]) -> None:
    with pytest.raises(SettingsError, match="environment variable DASKFLOW_NO_SUCH is not set"):
        make(url=server.url("/a.csv"), access={"bearer": "env:DASKFLOW_NO_SUCH"}).table()


def test_credentials_come_from_the_environment_of_the_process_that_fetches(
    server: Server, make: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("PLANTED", "canary")
    urls = csv_at(server, 2)
    source = make(url=urls, access={"bearer": "env:PLANTED", "params": {"token": "env:PLANTED"}}, sample_files=1)
    # when
    table = source.table()
    part = table.partitions[1]
    # then what is sent to a worker has no secret, and the worker's requests have it
    assert b"canary" not in pickle.dumps(part)
    part.read()
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer canary"}
    assert {request.query for request in server.requests} == {"token=canary"}


def test_settings_written_without_their_secrets_are_refused_with_what_to_do(make: Callable[..., Http]) -> None:
    written = make(url="http://x/a.csv?token=canary").dump()
    with pytest.raises(DataError, match=r"secrets were left out.*params = "):
        REGISTRY.parse(written).table()


def test_guarantee_24_a_workflow_trains_over_http_and_planted_secrets_appear_nowhere_in_its_run(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # given a file of settings whose addresses have secrets in them
    plain = csv_at(server, 4)
    urls = [f"{url.replace('//', '//canary:canary@')}?token=canary" for url in plain]
    (tmp_path / "workflow.toml").write_text(
        f"""
        [data]
        kind = "http"
        url = {json.dumps(urls)}
        cache = "cache"
        target = "late"
        derive = {{ third = "n % 3" }}
        drop = ["n"]
        [data.format]
        kind = "csv"
        dtypes = {{ zip = "string" }}
        [split]
        test = 0.2
        validation = 0.2
        [model]
        kind = "random_forest"
        [search]
        kind = "none"
        [cluster]
        kind = "inline"
        [cache]
        folder = "{tmp_path / "store"}"
        """
    )
    said: list[str] = []
    # when it runs
    workflow = flow.Workflow.from_toml(tmp_path / "workflow.toml")
    run = workflow.run(tmp_path / "runs", listener=lambda event: said.append(repr(event)))
    # then it learned, and each file was fetched once
    assert run.status == "done"
    assert run.metrics["roc_auc"].value > 0.95
    assert [bodies(server, f"/d/{n}.csv") for n in range(4)] == [1] * 4
    # and where the files are is not part of what it is; how they are read is
    moved = flow.Workflow.from_toml(tmp_path / "workflow.toml", {"data.url": "http://elsewhere/a.csv"})
    assert moved.id == workflow.id
    assert flow.Workflow.from_toml(tmp_path / "workflow.toml", {"data.format.separator": ";"}).id != workflow.id
    # when everything that was said and written is looked at, an error included
    server.at("/d/0.csv", answer(403))
    with pytest.raises(DataError) as caught:
        workflow.table()
    table = Http(url=urls[1:], cache=str(tmp_path / "cache")).table()
    said += [str(caught.value), repr(workflow.data), repr(workflow)]
    said += [json.dumps(workflow.data.dump()), repr(table), *table.notes, *capfd.readouterr()]
    (tmp_path / "workflow.toml").unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    # then the secrets are nowhere
    assert {"report.html", "journal.jsonl", "workflow.toml"} <= {path.name for path in files}
    assert [path for path in files if b"canary" in path.read_bytes() or "canary" in str(path)] == []
    assert not any("canary" in text for text in said)


def test_a_source_that_needs_aiohttp_says_so(monkeypatch: pytest.MonkeyPatch, make: Callable[..., Http]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    with pytest.raises(SettingsError, match=r"pip install 'daskflow\[http\]'"):
        make(url="http://127.0.0.1:1/a.csv").table()


def test_the_engine_ends_with_its_last_job(server: Server, make: Callable[..., Http]) -> None:
    rows_of(make(url=csv_at(server, 3)).table())
    assert ENGINE.wait(60)
    assert not any(thread.name == "daskflow-http" for thread in threading.enumerate())
