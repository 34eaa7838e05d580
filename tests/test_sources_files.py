"""Paths stand for files in natural order, and what stands for nothing is said."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.sources.csv import Csv
from daskflow.sources.guess import guess, resolve
from daskflow.sources.reading import check_unchanged


def written(folder: Path, *names: str) -> None:
    """Small files of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a,b\n1,2\n")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every user may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize(
    "path", ["*.csv", ".", ["part.10.csv", "part.2.csv", "part.1.csv"]], ids=["glob", "folder", "list"]
)
def test_files_come_in_natural_order_however_they_are_named(path: str | list[str], tmp_path: Path) -> None:
    # given
    written(tmp_path, "part.10.csv", "part.2.csv", "part.1.csv")
    # when
    found = resolve(path, "csv", tmp_path)
    # then
    assert [file.name for file in found] == ["part.1.csv", "part.2.csv", "part.10.csv"]


def test_names_are_relative_to_the_folder_all_files_share(tmp_path: Path) -> None:
    written(tmp_path, "deep/2020/a.csv", "deep/2021/a.csv")
    assert [file.name for file in resolve("deep/**/*.csv", "csv", tmp_path)] == ["2020/a.csv", "2021/a.csv"]
    assert [file.name for file in resolve("deep/2020/a.csv", "csv", tmp_path)] == ["a.csv"]


def test_the_same_file_named_twice_is_read_once(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", "b.csv")
    assert [file.name for file in resolve(["*.csv", "a.csv"], "csv", tmp_path)] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("name", ["d[1]/x[2].csv", "with blank/a b.csv", "Größe/été.csv", "100%/a#b?.csv", "{x}/y.csv"])
def test_names_with_unusual_letters_are_found_alone_in_lists_and_by_globs_below(name: str, tmp_path: Path) -> None:
    # given
    written(tmp_path, name)
    folder = name.partition("/")[0]
    # when, then
    for path in (name, [name], str(tmp_path / name), f"{folder}/*.csv", folder):
        assert [file.name for file in resolve(path, "csv", tmp_path)] == [name.partition("/")[2]]


def test_a_folder_stands_for_its_own_files_of_the_kind(tmp_path: Path) -> None:
    # given beside data: markers, hidden files, other kinds and a folder below
    written(
        tmp_path, "a.csv", "b.CSV.GZ", "_SUCCESS", ".hidden.csv", "_old.csv", "notes.md", "c.parquet", "below/d.csv"
    )
    # when
    found = resolve(str(tmp_path), "csv")
    # then
    assert [file.name for file in found] == ["a.csv", "b.CSV.GZ"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none-*.csv", ("none-*.csv", "matches no file")),
        ("absent.csv", ("absent.csv", "no such file", "there is: a.csv")),
        ("below", ("below", "without .csv")),
        ([], ("empty list",)),
        ("https://user:secret@example.org/a.csv?token=secret", ("https://example.org/a.csv", "kind = 'http'")),
        (["absent.csv", "none-*.csv"], ("absent.csv", "none-*.csv")),
        ("zero.csv", ("zero.csv", "empty", "0 bytes")),
    ],
    ids=["glob", "file", "folder", "list", "address", "all at once", "no bytes"],
)
def test_what_stands_for_nothing_is_an_error_and_never_an_empty_table(
    path: str | list[str], words: tuple[str, ...], tmp_path: Path
) -> None:
    # given
    written(tmp_path, "a.csv", "below/b.txt.old")
    (tmp_path / "zero.csv").touch()
    # when
    with pytest.raises(DataError) as caught:
        resolve(path, "csv", tmp_path)
    # then
    assert all(word in str(caught.value) for word in words)
    assert "secret" not in str(caught.value)


def test_a_file_without_permission_is_named_with_what_to_do(open_folder: Path) -> None:
    # given a file and a folder that this user may not read
    written(open_folder, "closed/a.csv", "b.csv")
    (open_folder / "b.csv").chmod(0)
    (open_folder / "closed").chmod(0)
    # made first, for they import modules that the other user may not be able to read
    sources = [Csv(path=path) for path in ("b.csv", "closed/a.csv", "closed")]
    other_user = os.geteuid() == 0
    if other_user:
        os.seteuid(65534)
    try:
        # when, then
        for source in sources:
            with pytest.raises(DataError, match=r"no permission.*chmod"):
                source.table(open_folder)
    finally:
        if other_user:
            os.seteuid(0)
        (open_folder / "closed").chmod(0o755)


def test_a_file_that_grows_is_replaced_or_goes_is_noticed(tmp_path: Path) -> None:
    # given
    written(tmp_path, "a.csv")
    (file,) = resolve("a.csv", "csv", tmp_path)
    check_unchanged(file)
    # when the same number of bytes is written at another time, then
    os.utime(file.path, ns=(1, 1))
    with pytest.raises(ChangedDataError, match=r"a\.csv changed.*modification time"):
        check_unchanged(file)
    # when it is gone, then
    os.unlink(file.path)
    with pytest.raises(ChangedDataError, match=r"a\.csv.*gone"):
        check_unchanged(file)


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.csv", "x,y\n1,2\n3,4\n", {}),
        ("a.csv", "x;y\n1;2\n3;4\n", {"separator": ";"}),
        ("a.tsv", "x\ty\n1\t2\n3\t4\n", {"separator": "\t"}),
        ("a.txt", "x|y\n1|2\n3|4\n", {"separator": "|"}),
        ("a.csv", "1, a\n2, ?\n", {"header": False, "skip_initial_space": True, "na_values": ["?"]}),
    ],
    ids=["comma", "semicolon", "tab", "bar", "no header, blanks, marks"],
)
def test_the_way_a_csv_file_is_written_is_guessed(
    name: str, text: str, options: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    kind, found, notes = guess(name, tmp_path)
    assert (kind, found) == ("csv", options)
    assert notes


def test_the_kind_is_guessed_by_suffix_else_by_content_else_refused(tmp_path: Path) -> None:
    # given
    written(tmp_path, "data/a.csv", "data/b.csv", "below/year=2024/a.csv", "plain")
    (tmp_path / "part").write_bytes(b"PAR1 and more")
    (tmp_path / "p.parquet").write_bytes(b"PAR1 and more")
    # when, then
    assert guess("data", tmp_path)[0] == "csv"
    assert guess("below", tmp_path)[0] == "csv"
    assert guess(["p.parquet"], tmp_path)[0] == "parquet"
    assert guess("part", tmp_path)[0] == "parquet"
    with pytest.raises(DataError, match="suffix that tells no kind"):
        guess("plain", tmp_path)
    with pytest.raises(DataError, match="no such file"):
        guess("absent.csv", tmp_path)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("naïve,x\n1,2\n".encode("latin-1"), "latin-1"),
        ("“naïve”,x\n1,2\n".encode("cp1252"), "cp1252"),
        ("naïve,x\n1,2\n".encode("utf-16"), "utf-16"),
        (("naïve,x\n" + "1,2\n" * 9).encode("utf-16-le"), "utf-16-le"),
    ],
)
def test_encodings_are_guessed_with_a_note(data: bytes, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    _, options, notes = guess("a.csv", tmp_path)
    assert options == {"encoding": encoding}
    assert any(encoding in note for note in notes)


def test_an_empty_folder_is_said_by_where_relative_paths_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an empty folder where a workflow's file is, and one of another name where the command runs
    for name in ("workflows/data", "here/missing"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    # then only the former is an empty folder
    with pytest.raises(DataError, match="'data' is an empty folder"):
        guess("data", tmp_path / "workflows")
    with pytest.raises(DataError, match="no such file"):
        guess("missing", tmp_path / "workflows")
