from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.dataset import build_tiny_dataset

from adapert.config import Config
from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset, PreparedSplit
from adapert.data.schema import SplitName
from adapert.training.loop import train
from adapert.training.state import Training

N_GENES, N_TRAIN, N_VALIDATION = 600, 60, 20
"""Enough that matrix products, sums and scores are split between threads."""


def random_dataset() -> PreparedDataset:
    generator = np.random.default_rng(0)
    tiny = build_tiny_dataset()
    names = np.array([f"G{index}" for index in range(N_GENES)])
    control = generator.random(N_GENES, dtype=np.float32)
    shared = replace(
        tiny.shared,
        node_names=names,
        n_genes=np.array(N_GENES),
        control_mean=control,
        batch_control_mean=np.tile(control, (2, 1)),
        edge_source=generator.integers(N_GENES, size=20 * N_GENES),
        edge_target=np.repeat(np.arange(N_GENES), 20),
        edge_score=np.ones(20 * N_GENES, np.float32),
        edge_rank=np.tile(np.arange(20), N_GENES),
        text_embedding=generator.normal(size=(N_GENES, 32)).astype(np.float32),
        has_text=np.ones(N_GENES, dtype=bool),
        is_perturbed=np.ones(N_GENES, dtype=bool),
    )

    def table(start: int, size: int) -> PerturbationTable:
        delta = generator.normal(0, 0.1, (size, N_GENES)).astype(np.float32)
        return replace(
            tiny.splits["train"].table,
            perturbations=names[start : start + size],
            delta=delta,
            deg_mask=np.abs(delta) > 0.2,
            n_cells=np.full(size, 50),
        )

    parts: dict[SplitName, PreparedSplit] = {
        "train": replace(tiny.splits["train"], table=table(0, N_TRAIN)),
        "validation": replace(tiny.splits["validation"], table=table(N_TRAIN, N_VALIDATION)),
    }
    return replace(tiny, shared=shared, splits=parts)


def losses_with(n_threads: int, dataset: PreparedDataset) -> list[float]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        config = Config().with_changes({"training.max_epochs": 2, "training.minibatch_size": 64})
        training = Training(config, dataset, 0, torch.device("cpu"))
        return [value for report in train(training) for value in report.losses.values()]
    finally:
        torch.set_num_threads(before)


def test_threads_change_losses_by_float32_rounding_only() -> None:
    dataset = random_dataset()
    one, two, again = (losses_with(n_threads, dataset) for n_threads in (1, 2, 1))
    assert one == again
    assert two == pytest.approx(one, rel=1e-4)
