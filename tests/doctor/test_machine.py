import shutil
import sys
from pathlib import Path

import pytest

from adapert.doctor.findings import GB, Finding, State
from adapert.doctor.machine import (
    Gpu,
    Memory,
    check_cores,
    check_gpus,
    check_memory,
    check_shared_memory,
    has_nvidia_card,
    measure_memory,
)


def assert_found(finding: Finding, state: State | str, *parts: str) -> None:
    missing = [part for part in parts if part not in finding.sentence]
    assert (finding.state, missing) == (state, []), finding.sentence


def test_cores_are_those_that_studies_use() -> None:
    from adapert.study.execution.resources import count_cpus

    assert_found(check_cores(), "ok", f"{count_cpus()} of")


def test_little_memory_is_a_warning() -> None:
    assert_found(check_memory(Memory(3 * GB, 8 * GB)), "ok", "3.0 GB of 8.0 GB")
    assert_found(check_memory(Memory(GB // 2, 8 * GB)), "warning", "0.5 GB of 8.0 GB", "--memory")


@pytest.mark.parametrize(
    ("membership", "folder", "names"),
    [
        ("0::/job/step\n", "job", ("memory.max", "memory.current", "inactive_file")),
        (
            "5:devices:/\n4:memory:/not/visible\n",
            "memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
    ids=["version 2, of a group around it", "version 1, of a container"],
)
def test_memory_is_what_the_container_is_allowed(
    tmp_path: Path, membership: str, folder: str, names: tuple[str, str, str]
) -> None:
    limit_file, usage_file, cached = names
    (tmp_path / "groups" / folder).mkdir(parents=True)
    (tmp_path / "groups" / folder / limit_file).write_text("300000000\n")
    (tmp_path / "groups" / folder / usage_file).write_text("250000000\n")
    (tmp_path / "groups" / folder / "memory.stat").write_text(f"anon 1\n{cached} 40000000\n")
    (tmp_path / "membership").write_text(membership)
    found = measure_memory(tmp_path / "groups", tmp_path / "membership")
    assert found == Memory(available=90_000_000, total=300_000_000)


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n"])
def test_no_limit_leaves_the_machines_memory(tmp_path: Path, limit: str) -> None:
    for name in ("memory.max", "memory.current"):
        (tmp_path / name).write_text(limit)
    (tmp_path / "membership").write_text("0::/\n")
    without = measure_memory(tmp_path / "missing", tmp_path / "missing")
    assert measure_memory(tmp_path, tmp_path / "membership").total == without.total


@pytest.mark.skipif(sys.platform != "linux", reason="Ray uses /dev/shm on Linux alone")
def test_small_or_missing_shared_memory_is_a_warning(tmp_path: Path) -> None:
    assert check_shared_memory(tmp_path, free=2 * GB).state == "ok"
    assert_found(check_shared_memory(tmp_path, free=64_000_000), "warning", "64.0 MB", "--shm-size")
    assert_found(check_shared_memory(tmp_path / "none"), "warning", "missing", "--shm-size")


def test_gpus_are_listed_with_their_free_memory() -> None:
    gpus = [Gpu("H200", 100 * GB, 140 * GB), Gpu("A100", GB // 10, 80 * GB)]
    assert_found(check_gpus(gpus[:1]), "ok", "1: H200 (100.0 GB of 140.0 GB free)")
    assert_found(check_gpus(gpus), "warning", "'1'", "0.1 GB of 80.0 GB", "nvidia-smi")


def test_no_gpu_is_no_obstacle() -> None:
    assert_found(check_gpus([]), State.WARNING if has_nvidia_card() else State.OK, "trials run on the CPU")


def test_a_card_is_seen_without_its_driver(tmp_path: Path) -> None:
    for name, vendor, kind in (("00", "0x10de", "0x030200"), ("01", "0x8086", "0x030000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    assert has_nvidia_card(tmp_path)
    shutil.rmtree(tmp_path / "00")
    assert not has_nvidia_card(tmp_path)
    assert not has_nvidia_card(tmp_path / "missing")
