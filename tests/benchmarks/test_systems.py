from pathlib import Path

import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared

from benchmarks.systems import train_alone


@pytest.mark.parametrize("name", ["perturbed_vae", "scvi"])
def test_an_epoch_of_a_system_has_seconds_memory_and_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("benchmarks.systems.N_EPOCHS", 2)
    write_prepared(build_tiny_dataset(), tmp_path / "data")
    cost = train_alone(tmp_path / "data", name)
    assert 0 < cost.seconds < 60
    assert 0 <= cost.gigabytes < 8
    assert cost.n_parameters > 0
