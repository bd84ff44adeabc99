import multiprocessing
import os
import shutil
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from adapert.data.shipping import ShippedFolder
from adapert.errors import InputError


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's temporary folder."""
    path = tmp_path / "node"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "prepared"
    (path / "train" / "deep").mkdir(parents=True)
    (path / "manifest.json").write_text('{"name": "Ü"}')
    (path / "empty").write_bytes(b"")
    (path / "train" / "deep" / "delta.npy").write_bytes(bytes(range(256)) * 100)
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_test_split_never_leaves_the_machine(folder: Path) -> None:
    (folder / "test").mkdir()
    (folder / "test" / "delta.npy").write_bytes(b"secret")
    (folder / "train" / "test").write_bytes(b"no split")
    assert set(ShippedFolder.pack(folder).files) == {
        "manifest.json",
        "empty",
        "train/deep/delta.npy",
        "train/test",
    }


def test_what_is_unpacked_equals_what_was_packed(folder: Path, node: Path) -> None:
    shipped, expected = ShippedFolder.pack(folder), content_of(folder)
    shutil.rmtree(folder)
    unpacked = shipped.unpack("0123")
    assert unpacked.parent == node
    assert content_of(unpacked) == expected


def test_each_data_set_has_a_folder_of_its_own(folder: Path, node: Path) -> None:
    shipped = ShippedFolder.pack(folder)
    assert shipped.unpack("0123") != shipped.unpack("4567")


def test_a_node_unpacks_once(folder: Path, node: Path) -> None:
    shipped = ShippedFolder.pack(folder)
    first = shipped.unpack("0123")
    (first / "mark").write_text("first")
    assert shipped.unpack("0123") == first
    assert (first / "mark").is_file()


def unpack(shipped: ShippedFolder, node: Path, barrier: Barrier, unpacked: "Queue[object]") -> None:
    import tempfile

    tempfile.tempdir = str(node)
    barrier.wait(60)
    path = shipped.unpack("0123")
    unpacked.put((content_of(path), path.stat().st_ino))


def test_processes_that_unpack_at_once_get_the_same_whole_folder(folder: Path, node: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier, unpacked = fork.Barrier(2), fork.Queue()
    shipped = ShippedFolder.pack(folder)
    processes = [fork.Process(target=unpack, args=(shipped, node, barrier, unpacked)) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = unpacked.get(timeout=60), unpacked.get(timeout=60)
    for process in processes:
        process.join(60)
    assert first == second
    assert first[0] == content_of(folder)


def test_a_folder_that_is_a_link_of_somebody_s_is_refused(folder: Path, node: Path, tmp_path: Path) -> None:
    shipped = ShippedFolder.pack(folder)
    (tmp_path / "elsewhere").mkdir()
    (node / f"adapert-{os.getuid()}-0123").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="must be in a folder of this user"):
        shipped.unpack("0123")


def test_what_a_link_leads_to_elsewhere_is_not_shipped(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (folder / "train" / "link").symlink_to(tmp_path / "secret")
    assert "train/link" not in ShippedFolder.pack(folder).files
