"""``daskflow fetch`` ends as it should: files there, a sentence or an object, an exit code, and nothing twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daskflow.cli import main
from tests.misbehaving_server import Reply, Request, Server, answer, breaking_off, file, serving

BODY = b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(50_000))
SUM = hashlib.sha256(BODY).hexdigest()
QUICK = ("--set", "limits.backoff_seconds=0.01", "--set", "limits.retries=1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, ["fetch", *(str(word) for word in words), *QUICK])


def test_files_of_a_template_are_fetched_and_the_same_command_again_finds_them_unchanged(
    server: Server, tmp_path: Path
) -> None:
    # given
    for number in range(3):
        server.at(f"/part-{number:02}.csv", file(BODY + b"%d,1\n" % number))
    command = (server.url("/part-{00..02}.csv"), "--to", tmp_path / "to")
    # when
    first, second = call(*command), call(*command)
    # then
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "3 fetched" in first.stdout
    assert "3 unchanged; 0 B" in second.stdout
    assert (tmp_path / "to" / "part-01.csv").read_bytes() == BODY + b"1,1\n"


def test_json_is_one_object_with_every_file_whatever_happened(server: Server, tmp_path: Path) -> None:
    urls = server.at("/a.csv", file(BODY)), server.at("/b.csv", answer(404))
    result = call(*urls, "--to", tmp_path, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["status"], found["fetched"], found["failed"]) == ("failed", 1, 1)
    good, bad = found["files"]
    assert (good["state"], good["name"], good["size_bytes"], good["sha256"]) == ("fetched", "a.csv", len(BODY), SUM)
    assert bad["error"].startswith(f"{urls[1]}: the server answered 404 Not Found")
    assert f"Error: {bad['error']}" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["ftp://x/a.csv"], 2, "is no address to fetch from"),
        ([], 2, "There is nothing to fetch"),
        (["http://127.0.0.1:1/a.csv", "--checksum", "sha256:12"], 2, "is no checksum"),
        (["http://x/a.csv", "--checksum", "b.csv=sha256:" + "0" * 64], 2, "no file is called 'b.csv'"),
        (["http://x/{a,b}.csv", "--checksum", "sha256:" + "0" * 64], 2, "there are 2 files: say which"),
        (["http://x/a.csv", "--allow-host", "http://y"], 2, "should be hosts such as"),
        (["http://x/a.csv", "--bearer", "canary"], 2, "access.bearer: should name an environment variable"),
        (["http://x/a.csv", "--bearer", "env:DASKFLOW_NO_SUCH"], 2, "DASKFLOW_NO_SUCH is not set"),
        (["http://x/a.csv", "--rate", "fast"], 2, "limits.rate: should be a size"),
        (["http://x/a.csv", "--set", "limit.retries=3"], 2, "did you mean 'limits'"),
        (["http://127.0.0.1:1/a.csv"], 1, "http://127.0.0.1:1/a.csv: 127.0.0.1, port 1 cannot be reached"),
        (["http://127.0.0.1:1/a.csv", "--manifest", "/no/such"], 1, "The manifest /no/such cannot be read"),
    ],
)
def test_what_is_wrong_is_a_sentence_with_its_exit_code(
    words: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    result = call(*words, "--to", tmp_path)
    assert sentence in result.stderr
    assert result.exit_code == code
    assert "canary" not in result.output


def test_checksums_and_manifests_are_held_to(server: Server, tmp_path: Path) -> None:
    urls = server.at("/a.csv", file(BODY)), server.at("/b.csv", file(BODY))
    assert call(*urls, "--to", tmp_path / "1", "--checksum", f"a.csv=sha256:{SUM}").exit_code == 0
    wrong = call(*urls, "--to", tmp_path / "2", "--checksum", f"b.csv=md5:{'0' * 32}")
    assert wrong.exit_code == 1
    assert "b.csv: its md5 is" in wrong.stderr
    (tmp_path / "list").write_text(f"{urls[0]} sha256:{SUM} {len(BODY)}\n{urls[1]} {len(BODY) + 1}\n")
    listed = call("--manifest", tmp_path / "list", "--to", tmp_path / "3")
    assert "1 fetched, 1 failed" in listed.stdout
    assert f"b.csv: it has {len(BODY)} bytes; {len(BODY) + 1} should come" in listed.stderr


def test_guarantee_24_secrets_of_addresses_and_of_the_environment_are_not_printed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("PLANTED", "canary")
    url = server.at("/a.csv", answer(403)).replace("//", "//canary:canary@") + "?token=canary"
    words = (url, "--to", tmp_path, "--json", "--debug", "--set", "access.params.key=env:PLANTED")
    # when
    result = call(*words)
    # then they were sent, and printed nowhere, the traceback included
    assert server.requests[0].query == "token=canary&key=canary"
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "canary" not in result.output
    assert not any(b"canary" in path.read_bytes() for path in tmp_path.iterdir())


def test_two_commands_do_not_fetch_into_one_folder_at_once(server: Server, tmp_path: Path) -> None:
    from daskflow.core.journal import Journal

    with Journal(tmp_path / ".daskflow-fetch.jsonl"):
        result = call(server.at("/a.csv", file(BODY)), "--to", tmp_path)
    assert result.exit_code == 1
    assert "Another process fetches into" in result.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_was_ended_continues_where_it_was(how: int, server: Server, tmp_path: Path) -> None:
    # given a server that sends half of a file and then waits
    half = threading.Event()

    async def slow(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Content-Length": str(len(BODY)), "ETag": '"1"'})
        await reply.raw(BODY[:300_000])
        half.set()
        await reply.hang()

    urls = server.at("/a.csv", file(BODY)), server.at("/b.csv", slow, file(BODY))
    command = [sys.executable, "-m", "daskflow", "fetch", *urls, "--to", str(tmp_path), "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part, journal = tmp_path / ".b.csv.part", tmp_path / ".daskflow-fetch.jsonl"
    try:
        assert half.wait(60)
        pause = threading.Event()
        for _ in range(3000):  # until the file system has most of what was sent, and the other one is on record
            if part.exists() and part.stat().st_size > 200_000 and b'"done"' in journal.read_bytes():
                break
            pause.wait(0.02)
        # when it is ended
        running.send_signal(how)
        stdout, stderr = running.communicate(timeout=120)
    finally:
        running.kill()
        running.wait()
    # then
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert json.loads(stdout)["status"] == "interrupted"
        assert "the same command continues" in stderr
    kept = part.stat().st_size
    assert not (tmp_path / "b.csv").exists()
    # when the same command runs again
    result = call(*urls, "--to", tmp_path, "--json")
    # then it asks for the rest, and whether the other one changed
    assert result.exit_code == 0
    assert server.asked("/b.csv")[1].start == kept > 200_000
    assert json.loads(result.stdout)["bytes"] == len(BODY) - kept
    assert (tmp_path / "b.csv").read_bytes() == BODY


def test_retries_are_told_on_stderr(server: Server, tmp_path: Path) -> None:
    result = call(server.at("/a.csv", breaking_off(BODY, 1000), file(BODY)), "--to", tmp_path)
    assert "a.csv: the answer broke off after 1000 of" in result.stderr
    assert "try 2 of 2" in result.stderr


def test_the_rate_and_the_concurrency_are_kept(server: Server, tmp_path: Path) -> None:
    # given a server that counts
    now, most = 0, 0

    async def counting(request: Request, reply: Reply) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3000):
            await asyncio.sleep(0.02)
            if most >= 2:
                break
        await reply.send(200, BODY)
        now -= 1

    for number in range(6):
        server.at(f"/{number}.csv", counting)
    # when
    result = call(server.url("/{0..5}.csv"), "--to", tmp_path, "--concurrency", 2, "--rate", "6 MB", "--json")
    # then
    assert most == 2
    assert json.loads(result.stdout)["seconds"] >= 5 * len(BODY) / 6_000_000
