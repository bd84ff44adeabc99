import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import Simulated
from fixtures.exhaustive import few_fast

from adapert.config import Config, read_config, write_config
from adapert.data.prepared import check_values, read_prepared
from adapert.errors import InputError
from adapert.prediction.bundle import read_bundle
from adapert.prediction.predictions import predict_bundle
from adapert.seeding import numpy_generator
from benchmarks import fuzz
from benchmarks.fuzz import LIMIT_BYTES, make_sound, outcome_of
from benchmarks.fuzz_inputs import KINDS, SMALL, copy_inputs, damage, write_bundle_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sound(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound inputs of the kinds that are read within milliseconds."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(simulated.prepared, folder / "prepared")
    changes = {f"model.{name}": size for name, size in SMALL.items()}
    write_config(Config().with_changes(changes), folder / "config.yaml")
    write_bundle_of(folder)
    return folder


def read_data(folder: Path) -> None:
    check_values(read_prepared(folder / "prepared", ("train", "validation", "test")))


def predict(folder: Path) -> None:
    bundle = read_bundle(folder / "bundle")
    deltas = predict_bundle(bundle, [str(bundle.shared.node_names[0])]).deltas
    assert np.isfinite(deltas.to_numpy()).all()


READERS: dict[str, Callable[[Path], object]] = {
    "prepared": read_data,
    "weights": predict,
    "bundle": predict,
    "config": lambda folder: read_config(folder / "config.yaml"),
}


@pytest.mark.parametrize("number", few_fast(range(12), 4))
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_input_is_read_or_refused_in_one_sentence(
    sound: Path, tmp_path: Path, kind: str, number: int
) -> None:
    copy_inputs(sound, tmp_path, kind)
    READERS[kind](tmp_path)
    damage(kind, tmp_path, numpy_generator(number, "short"))
    # Anything else is a traceback.
    with suppress(InputError, FileNotFoundError):
        READERS[kind](tmp_path)


def test_the_same_seed_damages_alike(sound: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        copy_inputs(sound, folder, "bundle")
    one, other = (damage("bundle", folder, numpy_generator(3, "again")) for folder in folders)
    assert one == other
    for file in (path for path in folders[0].rglob("*") if path.is_file()):
        assert file.read_bytes() == (folders[1] / file.relative_to(folders[0])).read_bytes()


EXITED = {"fine": 0, "two": 2 << 8, "one": 1 << 8, "killed": 11}


@pytest.mark.parametrize(
    ("status", "errors", "peak", "outcome"),
    [
        ("fine", "", 0, "accepted"),
        ("two", "Error: A must be B, but C.\n", 0, "refused"),
        ("two", "Error: A must be B\n", 0, "traceback"),
        ("two", "", 0, "traceback"),
        ("two", "Error: The recipe must run, but it raised MemoryError.\n", 0, "refused"),
        ("one", "Traceback (most recent call last):\nKeyError: 1\n", 0, "traceback"),
        ("one", "", 0, "traceback"),
        ("one", "Traceback (most recent call last):\nMemoryError\n", 0, "memory"),
        ("fine", "", LIMIT_BYTES + 1, "memory"),
        ("killed", "", 0, "crash"),
    ],
)
def test_an_end_is_counted_by_what_it_is(status: str, errors: str, peak: int, outcome: str) -> None:
    assert outcome_of(EXITED[status], errors, peak) == outcome


def test_making_sound_inputs_leaves_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "write_sound", lambda folder: None)
    before = len(os.listdir("/proc/self/fd"))
    make_sound(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
def test_damaged_inputs_of_every_kind_end_well() -> None:
    words = [sys.executable, "-m", "benchmarks", "fuzz", "--seed", "1", "--n", str(5 * len(KINDS))]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
