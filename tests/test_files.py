import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from fixtures.narrowed import present

from adapert.errors import InputError
from adapert.files import (
    append_line,
    check_new_directory,
    open_lines,
    remove_whole,
    whole_directory,
    whole_file,
    write_whole,
)

Whole = Callable[[Path], AbstractContextManager[Path]]


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*"))


def fail_halfway(path: Path, error: Exception) -> None:
    path.write_text("half")
    raise error


def test_file_appears_with_its_text_and_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "a.txt", "one")
    write_whole(tmp_path / "new" / "a.txt", "two")
    assert (tmp_path / "new" / "a.txt").read_text() == "two"
    assert names_in(tmp_path) == ["a.txt", "new"]


def test_file_is_not_there_before_the_block_ends(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.parquet") as beside:
        beside.write_text("half")
        assert not (tmp_path / "a.parquet").exists()
        assert beside.suffix == ".parquet"  # writers choose their format by it
    assert (tmp_path / "a.parquet").read_text() == "half"


def test_failed_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="halfway"), whole_file(tmp_path / "a.txt") as beside:
        fail_halfway(beside, RuntimeError("halfway"))
    assert names_in(tmp_path) == []


def test_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError, match="halfway"), whole_file(tmp_path / "a.txt") as beside:
        fail_halfway(beside, RuntimeError("halfway"))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"must be writable, but: No space left on device\. Nothing was"),
        whole_file(tmp_path / "a.txt") as beside,
    ):
        fail_halfway(beside, OSError(28, "No space left on device"))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("whole", [whole_file, whole_directory])
def test_place_below_a_file_is_told_in_a_sentence(tmp_path: Path, whole: Whole) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="must be writable, but: "), whole(tmp_path / "file" / "new"):
        pass
    assert names_in(tmp_path) == ["file"]


def test_file_never_replaces_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="must be writable, but: Is a directory"):
        write_whole(tmp_path / "a", "text")
    assert names_in(tmp_path) == ["a"]


def test_directory_appears_whole(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "new" / "data") as beside:
        (beside / "a.txt").write_text("one")
        assert not (tmp_path / "new" / "data").exists()
    assert names_in(tmp_path) == ["a.txt", "data", "new"]


def test_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="halfway"), whole_directory(tmp_path / "data") as beside:
        fail_halfway(beside / "a.txt", RuntimeError("halfway"))
    assert names_in(tmp_path) == []


def test_existing_directory_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (
        pytest.raises(InputError, match=r"must be new, but '.*data' exists\. Name another, or remove it"),
        whole_directory(tmp_path / "data"),
    ):
        pytest.fail("the block must not run")
    with pytest.raises(InputError, match="must be new"):
        check_new_directory(tmp_path / "data")
    check_new_directory(tmp_path / "other")
    assert names_in(tmp_path) == ["data"]


LEAVE_HALF = """
import os, signal, sys
from pathlib import Path
from adapert.files import whole_directory, whole_file
folder = Path(sys.argv[1])
with whole_directory(folder / "new [x]") as beside, whole_file(folder / "a.txt") as half:
    (beside / "large").write_text("half")
    half.write_text("half")
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.read()
"""


def leave_half(folder: Path, how: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", LEAVE_HALF, str(folder), how]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("whole", "name"), [(whole_directory, "new [x]"), (whole_file, "a.txt")])
def test_what_a_killed_process_left_is_swept_by_the_next_one(tmp_path: Path, whole: Whole, name: str) -> None:
    leave_half(tmp_path, "dies").communicate()
    left = set(names_in(tmp_path))
    assert len(left) == 3  # a file, and a directory with one
    with whole(tmp_path / name) as beside:
        inside = {path for path in left if path.startswith(f".{Path(name).stem}.")}
        assert inside
        assert not inside & set(names_in(tmp_path))
        if whole is whole_file:
            beside.write_text("whole")
    assert (tmp_path / name).exists()


def test_what_a_running_process_writes_is_never_swept(tmp_path: Path) -> None:
    with leave_half(tmp_path, "waits") as process:
        assert present(process.stdout).readline() == "writing\n"
        before = set(names_in(tmp_path))
        write_whole(tmp_path / "a.txt", "mine")
        with pytest.raises(RuntimeError, match="halfway"), whole_directory(tmp_path / "new [x]") as beside:
            fail_halfway(beside / "file", RuntimeError("halfway"))
        assert set(names_in(tmp_path)) == before | {"a.txt"}
        process.communicate("")


def test_what_another_machine_left_is_not_swept(tmp_path: Path) -> None:
    elsewhere = tmp_path / ".a.000000-1-1-0000.txt"
    elsewhere.write_text("theirs")
    write_whole(tmp_path / "a.txt", "mine")
    assert elsewhere.exists()


def test_a_files_name_without_room_for_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at most 200 bytes, but 'xxxxxxxxxxxxxxxxxxxx\.\.\.' has 300\."):
        write_whole(tmp_path / ("x" * 300), "")
    with pytest.raises(InputError, match="at most 200 bytes"):
        check_new_directory(tmp_path / ("x" * 300))
    assert os.listdir(tmp_path) == []


def test_a_directory_is_removed_whole_and_one_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "gone") as beside:
        (beside / "file").write_text("whole")
    for _ in range(2):
        remove_whole(tmp_path / "gone")
        assert names_in(tmp_path) == []


def test_a_line_is_appended_after_the_last_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    for line in ("one", "two"):
        with open_lines(path) as file:
            append_line(file, line)
        path.write_bytes(path.read_bytes() + b"to")
    with open_lines(path):
        assert path.read_text() == "one\ntwo\n"
