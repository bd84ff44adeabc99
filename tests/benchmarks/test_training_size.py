from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.registry import build_model
from benchmarks.training_size import main, measure_growth, nested_subsets, summarize_growth


def test_a_larger_training_set_has_all_of_a_smaller_one(tiny_dataset: PreparedDataset) -> None:
    draws = []
    for seed in range(4):
        subsets = list(nested_subsets(tiny_dataset, (0.25, 0.5, 1), seed))
        names = [set(subset.splits["train"].table.perturbations.tolist()) for subset in subsets]
        assert [len(each) for each in names] == [2, 4, 8]
        assert names[0] < names[1] < names[2]
        assert all(set(subset.splits) == {"train", "validation"} for subset in subsets)
        draws.append(frozenset(names[0]))
    assert len(set(draws)) > 1


def test_the_whole_training_set_scores_as_a_plain_fit(tiny_dataset: PreparedDataset) -> None:
    import torch

    growth = measure_growth(tiny_dataset, Config(), ["mean", "ridge_text"], (0.5, 1), n_draws=2)
    table = tiny_dataset.splits["validation"].table
    model = build_model(Config().with_changes({"model.name": "ridge_text"}), 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    pairs = zip(model.predict(table.perturbations.tolist()), table.delta, strict=True)
    expected = np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])
    found = growth.query("model == 'ridge_text' and fraction == 1")["pearson_delta"]
    np.testing.assert_allclose(found, [expected] * 2, atol=1e-6)
    summary = summarize_growth(growth)
    assert summary.groupby("model")["n_train"].apply(list).to_dict() == {"mean": [4, 8], "ridge_text": [4, 8]}


def test_the_command_writes_a_table_and_a_figure(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = tmp_path / "growth"
    main(["--data", str(prepared), "--models", "mean", "--draws", "2", "--out", str(stem)])
    assert len(pd.read_csv(stem.with_suffix(".csv"))) == 8
    assert stem.with_suffix(".png").stat().st_size > 1000
    assert "±" in capsys.readouterr().out
