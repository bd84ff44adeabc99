from pathlib import Path

import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared

from benchmarks.slots import main


def test_slots_are_timed_and_equal_their_trials_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.slots.N_ALIKE", 2)
    write_prepared(build_tiny_dataset(), tmp_path / "data")
    main(["--data", str(tmp_path / "data"), "--device", "cpu", "--slots", "2", "--epochs", "1"])
    machine, equal, alone, slots = capsys.readouterr().out.splitlines()
    assert "1 thread" in machine
    assert equal.startswith("slots_and_alone")
    assert " ok " in equal
    assert "an hour" in alone
    assert "calls a step" in slots
