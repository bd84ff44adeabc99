import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.dataset import N_GENES, build_tiny_dataset, change_train
from fixtures.exhaustive import few_fast
from fixtures.trainings import adapert_of, context_of, head_of

from adapert.data.array_tables import CellTable
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import Minibatch
from adapert.errors import InputError
from adapert.evaluation.catalogue import cheap_metrics
from adapert.evaluation.metrics import effective_rank
from adapert.models.network import Prediction
from adapert.training import loop
from adapert.training.loop import DivergedError, train
from adapert.training.objective import minibatch_losses, row_losses
from adapert.training.rows import RowTensors
from adapert.training.state import Training

ALL_LOSSES = {"loss_total", "loss_recon", "loss_non", "loss_align"}
NO_NOISE = {"model.dropout": 0.0}
NO_STATISTICS = {"model.offset": "none", "model.output_basis": 0}
"""A network that is built without a look at the training deltas."""
STRONG = {"loss.lambda_non": 0.05, "loss.lambda_align": 0.3}


def losses_of(training: Training) -> list[dict[str, float]]:
    return [report.losses for report in train(training)]


def full_minibatch(training: Training) -> Minibatch:
    index = np.arange(len(training.objective.rows.perturbation_index))
    return training.objective.rows.minibatch(index, training.order_generator)


def with_one_perturbation() -> PreparedDataset:
    return build_tiny_dataset(splits=(1, 4, 3))


def with_one_gene() -> PreparedDataset:
    dataset = build_tiny_dataset()
    shared = replace(
        dataset.shared,
        n_genes=np.array(1),
        control_mean=dataset.shared.control_mean[:1],
        batch_control_mean=dataset.shared.batch_control_mean[:, :1],
    )
    splits = {
        name: replace(
            split,
            table=replace(
                split.table,
                delta=split.table.delta[:, :1],
                deg_mask=split.table.deg_mask[:, :1],
                group_mean=split.table.group_mean[:, :1],
            ),
        )
        for name, split in dataset.splits.items()
    }
    return replace(dataset, shared=shared, splits=splits)


@pytest.mark.parametrize(
    ("alignment", "is_taught"), [("paper", True), ("frozen", False), ("contrastive", False)]
)
def test_target_head_learns_only_as_the_paper_has_it(
    new_training: NewTraining, alignment: str, is_taught: bool
) -> None:
    training = new_training(STRONG | {"loss.alignment": alignment})
    before = head_of(training).target_head.weight.clone()
    next(train(training))
    assert torch.equal(before, head_of(training).target_head.weight) != is_taught


def test_scorer_of_a_new_model_learns_without_alignment(new_training: NewTraining) -> None:
    # The context enters at weight 0, so the first step moves that weight and later steps the scorer.
    training = new_training({"loss.lambda_align": 0.0, "training.weight_decay": 0.0})
    before = adapert_of(training).scorer.text.weight.clone()
    next(train(training))
    assert not torch.equal(before, adapert_of(training).scorer.text.weight)


def test_literal_scorer_never_moves(new_training: NewTraining) -> None:
    training = new_training(STRONG | {"model.selection": "literal"})
    before = {name: p.clone() for name, p in adapert_of(training).scorer.named_parameters()}
    list(train(training))
    assert all(torch.equal(p, before[name]) for name, p in adapert_of(training).scorer.named_parameters())


@pytest.mark.parametrize("control", ["mean", "batch_mean", "cell"])
def test_each_epoch_is_reported(new_training: NewTraining, control: str) -> None:
    reports = list(train(new_training({"data.control": control, "training.minibatch_size": 8})))
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    for report in reports:
        assert set(report.losses) == ALL_LOSSES
        assert all(math.isfinite(value) for value in report.flat().values())
        assert set(report.validation) == {"pearson_delta", "pds", "rank_overlap_at_50", "mse"}
        assert 1 <= report.network["n_selected"] <= 15
        assert 1 <= report.network["context_effective_rank"] <= 8
        assert report.losses.items() | report.validation.items() <= report.flat().items()
    best = max(reports, key=lambda report: report.validation["pearson_delta"])
    assert reports[-1].best_epoch == best.epoch
    assert reports[-1].best == best.validation


def test_cells_are_learned_from(new_training: NewTraining) -> None:
    changes = NO_NOISE | {"data.control": "cell", "training.max_epochs": 10, "training.minibatch_size": 16}
    losses = losses_of(new_training(changes | {"training.learning_rate": 0.01}))
    assert losses[-1]["loss_recon"] < 0.9 * losses[0]["loss_recon"]


def test_training_reduces_the_loss(new_training: NewTraining) -> None:
    changes = NO_NOISE | {"training.max_epochs": 40, "training.learning_rate": 0.03}
    losses = losses_of(new_training(changes | {"training.patience": 40, "training.minibatch_size": 8}))
    assert losses[-1]["loss_recon"] < 0.2 * losses[0]["loss_recon"]


def test_bfloat16_changes_losses_by_its_rounding_and_keeps_weights_in_float32(
    new_training: NewTraining,
) -> None:
    full, half = new_training(NO_NOISE), new_training(NO_NOISE | {"training.precision": "bfloat16"})
    one, other = (next(train(training)).losses for training in (full, half))
    assert one["loss_recon"] == pytest.approx(other["loss_recon"], rel=0.02)
    assert one != other
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert half.predict(["G01"]).dtype == np.float32


def test_training_stops_when_patience_is_used_up(
    new_training: NewTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.29, 0.9])

    def scripted(predicted: np.ndarray, observed: np.ndarray, deg_mask: np.ndarray) -> dict[str, np.ndarray]:
        return cheap_metrics(predicted, observed, deg_mask) | {"pearson_delta": np.array([next(scores)])}

    monkeypatch.setattr(loop, "cheap_metrics", scripted)
    training = new_training({"training.patience": 2, "training.max_epochs": 50})
    reports = list(train(training))
    assert [report.best_epoch for report in reports] == [1, 2, 2, 2]
    assert reports[-1].best["pearson_delta"] == 0.3
    assert training.is_over


def test_undefined_pearson_delta_is_never_the_best_and_uses_up_patience(new_training: NewTraining) -> None:
    training = new_training({"training.patience": 3, "training.max_epochs": 50}, with_one_gene())
    reports = list(train(training))
    assert len(reports) == 3
    assert reports[-1].best_epoch == 0
    assert training.best.weights == {}


def test_best_weights_reproduce_the_best_score(
    new_training: NewTraining, tiny_dataset: PreparedDataset
) -> None:
    training = new_training({"training.max_epochs": 12, "training.learning_rate": 0.05})
    reports = list(train(training))
    assert 0 < training.best.epoch < len(reports)  # so the last weights are others
    training.network.load_state_dict(training.best.weights)
    validation = tiny_dataset.splits["validation"].table
    predicted = training.predict(list(validation.perturbations))
    metrics = cheap_metrics(predicted, validation.delta, validation.deg_mask)
    assert metrics["pearson_delta"].mean() == pytest.approx(reports[-1].best["pearson_delta"], abs=1e-12)
    assert metrics["pds"].mean() == pytest.approx(reports[-1].best["pds"], abs=1e-12)


def test_test_split_is_never_needed(new_training: NewTraining, tiny_dataset: PreparedDataset) -> None:
    without = replace(
        tiny_dataset, splits={name: tiny_dataset.splits[name] for name in ("train", "validation")}
    )
    assert losses_of(new_training(dataset=without)) == losses_of(new_training())


def test_validation_perturbations_teach_nothing(
    new_training: NewTraining, tiny_dataset: PreparedDataset
) -> None:
    silent = replace(
        tiny_dataset.splits["validation"].table, delta=0 * tiny_dataset.splits["validation"].table.delta
    )
    changed = replace(
        tiny_dataset,
        splits=dict(tiny_dataset.splits)
        | {"validation": replace(tiny_dataset.splits["validation"], table=silent)},
    )
    assert losses_of(new_training(dataset=changed)) == losses_of(new_training())


@pytest.mark.slow
def test_same_seed_gives_the_same_losses_in_a_fresh_process(
    new_training: NewTraining, small_settings: dict[str, Any]
) -> None:
    program = f"""
import sys
import torch
import adapert.models.graph_attention.layer
import adapert.study.execution.trainer
from fixtures.dataset import N_GENES, build_tiny_dataset, change_train
from adapert.config import Config
from adapert.training.loop import train
from adapert.training.state import Training
torch.manual_seed(123)
torch.set_num_threads(1)
config = Config().with_changes({small_settings!r})
training = Training(config, build_tiny_dataset(), 0, torch.device("cpu"))
print([report.losses for report in train(training)])
assert "torch_geometric" not in sys.modules, "only a layer of graph attention needs it"
assert "torch._dynamo" not in sys.modules, "nothing is compiled"
assert "ray" not in sys.modules, "a trial needs no Ray"
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(losses_of(new_training()))


def test_another_seed_gives_other_losses(new_training: NewTraining) -> None:
    assert losses_of(new_training(seed=1))[0] != losses_of(new_training(seed=0))[0]


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_lowers_the_rate_where_torchs_scheduler_does(
    new_training: NewTraining, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    drawn = np.random.default_rng(patience).normal(size=30)
    scores = iter(drawn)

    def scripted(predicted: np.ndarray, observed: np.ndarray, deg_mask: np.ndarray) -> dict[str, np.ndarray]:
        return cheap_metrics(predicted, observed, deg_mask) | {"pearson_delta": np.array([next(scores)])}

    monkeypatch.setattr(loop, "cheap_metrics", scripted)
    changes = {"training.schedule": "plateau", "training.plateau_factor": 0.3, "training.minibatch_size": 8}
    limits = {"training.plateau_patience": patience, "training.max_epochs": 30, "training.patience": 30}
    rates = [report.learning_rate for report in train(new_training(changes | limits))]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.001)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.3, patience=patience, threshold=0, eps=0
    )
    expected = []
    for score in drawn:
        expected.append(optimizer.param_groups[0]["lr"])
        plateau.step(float(score))
    assert rates == pytest.approx(expected, rel=1e-12)
    assert min(rates) < 0.001


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_learning_rate_follows_its_schedule(new_training: NewTraining, schedule: str) -> None:
    rates = [report.learning_rate for report in train(new_training({"training.schedule": schedule}))]
    cosine = [0.001, 0.001 * (1 + 0.5**0.5) / 2, 0.0005, 0.001 * (1 - 0.5**0.5) / 2]
    assert rates == pytest.approx(cosine if schedule == "cosine" else [0.001] * 4)


@pytest.mark.parametrize("learning_rate", [1e6, 1e30])
def test_absurd_learning_rate_diverges(new_training: NewTraining, learning_rate: float) -> None:
    changes = {"training.learning_rate": learning_rate, "training.max_epochs": 50, "training.patience": 50}
    with pytest.raises(DivergedError, match=r"must stay finite.*Lower training\.learning_rate"):
        list(train(new_training(changes)))


def test_divergence_in_an_epochs_last_step_is_no_silent_nan(new_training: NewTraining) -> None:
    changes = {"training.learning_rate": 1e30, "training.max_epochs": 1, "training.minibatch_size": 64}
    with pytest.raises(DivergedError, match="Predictions must stay finite, but those after epoch 1 for"):
        list(train(new_training(changes)))


def test_nan_in_the_data_diverges(new_training: NewTraining, tiny_dataset: PreparedDataset) -> None:
    delta = tiny_dataset.splits["train"].table.delta.copy()
    delta[0, 0] = np.nan
    with pytest.raises(DivergedError, match="must stay finite, but it is nan in epoch 1"):
        list(train(new_training(NO_STATISTICS, change_train(tiny_dataset, delta=delta))))


EDGE_CASES = {
    "no_change": lambda data: change_train(data, delta=0 * data.splits["train"].table.delta),
    "no_degs": lambda data: change_train(data, deg_mask=data.splits["train"].table.deg_mask & False),
    "all_degs": lambda data: change_train(data, deg_mask=data.splits["train"].table.deg_mask | True),
    "one_perturbation": lambda data: with_one_perturbation(),
    "one_gene": lambda data: with_one_gene(),
}


@pytest.mark.parametrize("alignment", ["frozen", "paper", "contrastive"])
@pytest.mark.parametrize("case", few_fast(EDGE_CASES, 2))
def test_losses_stay_finite(
    new_training: NewTraining, tiny_dataset: PreparedDataset, case: str, alignment: str
) -> None:
    dataset = EDGE_CASES[case](tiny_dataset)
    losses = losses_of(new_training(STRONG | {"loss.alignment": alignment}, dataset))
    assert all(math.isfinite(value) for epoch in losses for value in epoch.values())


def test_absent_degs_leave_no_alignment_and_absent_non_degs_no_penalty(
    new_training: NewTraining, tiny_dataset: PreparedDataset
) -> None:
    (no_degs, *_), (all_degs, *_) = (
        losses_of(new_training(dataset=EDGE_CASES[case](tiny_dataset))) for case in ("no_degs", "all_degs")
    )
    assert no_degs["loss_align"] == 0
    assert all_degs["loss_non"] == 0


def test_structural_embedding_of_one_number_trains(new_training: NewTraining) -> None:
    losses = losses_of(new_training({"model.structural_size": 1}))
    assert all(math.isfinite(value) for epoch in losses for value in epoch.values())


def test_reported_rank_is_that_of_the_epochs_contexts(new_training: NewTraining) -> None:
    constant = next(train(new_training({"model.context": "constant"})))
    assert constant.network["context_effective_rank"] == pytest.approx(1, abs=0.5)
    training = new_training(NO_NOISE | {"training.learning_rate": 1e-9, "training.minibatch_size": 64})
    training.generator = None  # type: ignore[assignment]  # no noise
    _, prediction = minibatch_losses(training, full_minibatch(training))
    expected = effective_rank(context_of(prediction).z.detach().numpy())
    assert next(train(training)).network["context_effective_rank"] == pytest.approx(expected, rel=1e-3)


def test_huber_delta_is_resolved_in_units_of_the_non_deg_spread(
    new_training: NewTraining, tiny_dataset: PreparedDataset
) -> None:
    table = tiny_dataset.splits["train"].table
    spread = np.std(
        [d for d, is_deg in zip(table.delta.flat, table.deg_mask.flat, strict=True) if not is_deg]
    )
    assert new_training({"loss.huber_delta": 2.0}).resolved["resolved_huber_delta"] == pytest.approx(
        2 * spread, rel=1e-5
    )
    absolute = {"loss.huber_delta": 2.0, "loss.huber_delta_unit": "absolute"}
    assert new_training(absolute).resolved["resolved_huber_delta"] == 2.0
    for case in ("no_change", "all_degs"):
        changed = EDGE_CASES[case](tiny_dataset)
        assert new_training({"loss.huber_delta": 2.0}, changed).resolved["resolved_huber_delta"] > 0


def test_resolved_parameters_count_those_that_train(new_training: NewTraining) -> None:
    frozen, paper = (new_training({"loss.alignment": a}) for a in ("frozen", "paper"))
    assert paper.resolved["n_parameters"] - frozen.resolved["n_parameters"] == N_GENES * 8
    assert frozen.resolved["n_parameters"] == sum(p.numel() for p in frozen.network.parameters())


def test_response_table_without_cells_cannot_be_trained_on_cells(
    new_training: NewTraining, tiny_dataset: PreparedDataset
) -> None:
    none = CellTable.empty()
    train_split = replace(tiny_dataset.splits["train"], cells=none)
    responses = replace(
        tiny_dataset,
        manifest=replace(tiny_dataset.manifest, kind="responses"),
        control_cells=none,
        splits=dict(tiny_dataset.splits) | {"train": train_split},
    )
    assert losses_of(new_training(dataset=responses)) == losses_of(new_training())
    with pytest.raises(InputError, match=r"data\.control 'cell' needs single cells"):
        new_training({"data.control": "cell"}, responses)


def keeps_denormals() -> bool:
    return float(torch.full((), 1e-39) * 1) > 0


def test_an_epoch_takes_denormals_for_0_and_its_caller_keeps_them(
    new_training: NewTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(training: Training, rows: RowTensors) -> tuple[dict[str, torch.Tensor], Prediction]:
        seen.append(keeps_denormals())
        return row_losses(training, rows)

    monkeypatch.setattr(loop, "row_losses", spy)
    next(train(new_training()))
    assert set(seen) == {False}
    assert keeps_denormals()


def test_denormals_stay_flushed_where_they_were() -> None:
    torch.set_flush_denormal(True)
    try:
        with loop.flushed_denormals():
            pass
        assert not keeps_denormals()
    finally:
        torch.set_flush_denormal(False)


def test_averaged_weights_equal_a_plain_moving_average(
    new_training: NewTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = new_training({"training.weight_averaging": 0.7, "training.max_epochs": 2})
    followed: list[dict[str, torch.Tensor]] = []
    step = training.optimizer.step

    def watched() -> None:
        step()
        followed.append({name: p.detach().clone() for name, p in training.network.named_parameters()})

    monkeypatch.setattr(training.optimizer, "step", watched)
    list(train(training))
    expected = followed[0]
    for n_before, weights in enumerate(followed[1:], start=1):
        kept = min(0.7, n_before / (n_before + 1))
        expected = {name: kept * value + (1 - kept) * weights[name] for name, value in expected.items()}
    for name, parameter in training.predictor.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    assert all(torch.equal(value, followed[-1][name]) for name, value in training.network.named_parameters())


def test_the_last_epoch_is_kept_where_the_config_says_so(new_training: NewTraining) -> None:
    changes = {"training.kept_epoch": "last", "training.max_epochs": 12, "training.patience": 1}
    training = new_training(changes | {"training.learning_rate": 0.05})
    reports = list(train(training))
    assert [report.best_epoch for report in reports] == list(range(1, 13))  # so patience ends nothing
    assert any(  # an earlier one scored higher
        report.validation["pearson_delta"] > reports[-1].best["pearson_delta"] for report in reports
    )
    for name, weights in training.network.state_dict().items():
        assert torch.equal(training.best.weights[name], weights)


def test_each_head_follows_the_gradient_of_its_own_loss(new_training: NewTraining) -> None:
    """The loss of heads is the mean of their losses, and not the loss of their mean."""
    training = new_training(NO_NOISE | STRONG | {"model.n_heads": 3, "loss.weighting": "perturbations"})
    torch.nn.init.normal_(adapert_of(training).decoder.last.weight)
    losses, prediction = minibatch_losses(training, full_minibatch(training))
    heads = prediction.delta
    assert len(heads) == 3
    split = training.dataset.splits["train"].table
    observed, is_deg = torch.from_numpy(split.delta), torch.from_numpy(split.deg_mask)
    recon = [torch.nn.functional.mse_loss(head, observed) for head in heads]
    delta = training.resolved["resolved_huber_delta"]
    huber = torch.nn.HuberLoss(reduction="none", delta=delta)
    non = [(huber(head, 0 * head) * ~is_deg).sum(dim=1).mean() for head in heads]
    assert losses["loss_recon"].item() == pytest.approx(torch.stack(recon).mean().item(), rel=1e-5)
    assert losses["loss_non"].item() == pytest.approx(torch.stack(non).mean().item(), rel=1e-5)
    assert losses["loss_recon"].item() > torch.nn.functional.mse_loss(heads.mean(dim=0), observed).item()
