import json
from pathlib import Path
from typing import NoReturn

import pytest

from adapert.errors import InputError
from adapert.models import protocol
from adapert.training.kept import keep_newest, kept_checkpoints, restore_newest


class Fit(protocol.Fit):
    """Remembers the epoch that it was restored to."""

    epoch = 0
    is_over = False

    def step(self) -> dict[str, float]:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError

    def write_weights(self, path: Path) -> None:
        raise NotImplementedError

    def write_checkpoint(self, directory: Path) -> None:
        (directory / "epoch.json").write_text(json.dumps({"epoch": self.epoch}))

    def restore_checkpoint(self, directory: Path) -> None:
        self.epoch = json.loads((directory / "epoch.json").read_text())["epoch"]


def keep(folder: Path, *epochs: int) -> None:
    fit = Fit()
    for fit.epoch in epochs:
        keep_newest(fit, fit.epoch, folder)


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    keep(tmp_path, 1, 20, 300)
    assert [path.name for path in kept_checkpoints(tmp_path)] == ["checkpoint_000300", "checkpoint_000020"]


def test_the_newest_is_restored(tmp_path: Path) -> None:
    keep(tmp_path, 9, 10)
    fit = Fit()
    assert (restore_newest(fit, tmp_path), fit.epoch) == (10, 10)


def test_without_a_checkpoint_a_fit_starts_anew(tmp_path: Path) -> None:
    fit = Fit()
    assert (restore_newest(fit, tmp_path / "no folder"), fit.epoch) == (0, 0)


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"\xff"])
def test_one_that_cannot_be_read_leaves_the_one_before_it(tmp_path: Path, damage: bytes) -> None:
    keep(tmp_path, 10, 20)
    (tmp_path / "checkpoint_000020" / "epoch.json").write_bytes(damage)
    assert restore_newest(Fit(), tmp_path) == 10
    assert len(kept_checkpoints(tmp_path)) == 1


def test_where_none_can_be_read_a_fit_starts_anew(tmp_path: Path) -> None:
    keep(tmp_path, 10, 20)
    for path in kept_checkpoints(tmp_path):
        (path / "epoch.json").unlink()
    assert restore_newest(Fit(), tmp_path) == 0


def test_an_epoch_that_another_worker_kept_is_left_alone(tmp_path: Path) -> None:
    keep(tmp_path, 10)
    file = tmp_path / "checkpoint_000010" / "epoch.json"
    file.write_text('{"epoch": 10, "by": "another"}')
    keep(tmp_path, 10)
    assert "another" in file.read_text()


def test_one_that_a_kill_left_half_written_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint_000010.0f").mkdir()
    assert restore_newest(Fit(), tmp_path) == 0


def test_a_checkpoint_that_the_disk_does_not_take_leaves_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, 10, 20)

    def full(*_: Path) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adapert.files.os.replace", full)
    with pytest.raises(InputError, match="No space left"):
        keep(tmp_path, 30)
    assert [path.name[-2:] for path in kept_checkpoints(tmp_path)] == ["20", "10"]
    assert len(list(tmp_path.iterdir())) == 2
