import numpy as np
import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.dataset import N_GENES, change_train
from fixtures.trainings import adapert_of, context_of, head_of

from adapert.data.prepared import PreparedDataset
from adapert.data.rows import Minibatch
from adapert.models.adapert.objective import align_weight
from adapert.models.targets import build_targets
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

NO_NOISE = {"model.dropout": 0.0}
STRONG = {"loss.lambda_non": 0.05, "loss.lambda_align": 0.3}


def full_minibatch(training: Training) -> Minibatch:
    index = np.arange(len(training.objective.rows.perturbation_index))
    return training.objective.rows.minibatch(index, training.order_generator)


def gradients(training: Training, loss: torch.Tensor) -> list[torch.Tensor]:
    parameters = [p for p in training.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def cell_losses(
    training: Training, dataset: PreparedDataset, perturbation: np.int64, cell: int, control: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Eq. 15 to 20 for one cell: its squared error, its non-DEG penalty, its alignment."""
    table, train_split = dataset.splits["train"].table, dataset.splits["train"]
    targets = build_targets(dataset, [str(table.perturbations[perturbation])], torch.device("cpu"))
    row = torch.zeros(1, dtype=torch.int64)
    prediction = training.network(targets, row, torch.from_numpy(control)[None], row)
    predicted, is_deg = prediction.delta[0, 0], table.deg_mask[perturbation]
    expression = train_split.cells.expression(N_GENES).toarray()[cell]
    matched = dataset.shared.batch_control_mean[train_split.cells.batch_index[cell]]
    recon, non, delta = torch.zeros(()), torch.zeros(()), training.resolved["resolved_huber_delta"]
    y = torch.zeros(N_GENES)
    for gene in range(N_GENES):
        recon = recon + (predicted[gene] - float(expression[gene] - matched[gene])) ** 2 / N_GENES
        if is_deg[gene]:
            y[gene] = float(table.delta[perturbation, gene])
        else:
            r = predicted[gene].abs()
            non = non + (r**2 / 2 if r <= delta else delta * (r - delta / 2))
    t, z = head_of(training).target_head(y), context_of(prediction).z[0]
    align = (z / z.norm() - t / t.norm()).square().sum() if is_deg.any() else None
    return recon, non, align


@pytest.mark.parametrize("alignment", ["frozen", "paper"])
@pytest.mark.parametrize("control", ["mean", "batch_mean"])
def test_gradient_of_mean_rows_equals_a_plain_loop_over_cells(
    new_training: NewTraining, tiny_dataset: PreparedDataset, control: str, alignment: str
) -> None:
    deg_mask = tiny_dataset.splits["train"].table.deg_mask.copy()
    deg_mask[2] = False  # One perturbation without a DEG: L_align skips it.
    dataset = change_train(tiny_dataset, deg_mask=deg_mask)
    changes = NO_NOISE | STRONG | {"data.control": control, "loss.alignment": alignment, "model.n_heads": 1}
    training = new_training(changes, dataset)
    training.generator = None  # type: ignore[assignment]  # no noise
    torch.nn.init.normal_(
        adapert_of(training).context_to_latent.weight, generator=torch.Generator().manual_seed(0)
    )
    losses, _ = minibatch_losses(training, full_minibatch(training))
    cells = dataset.splits["train"].cells
    recon = non = align = torch.zeros(())
    n_aligned = 0
    for cell, perturbation in enumerate(cells.perturbation_index):
        own_control = dataset.shared.batch_control_mean[cells.batch_index[cell]]
        control_input = dataset.shared.control_mean if control == "mean" else own_control
        terms = cell_losses(training, dataset, perturbation, cell, control_input)
        recon, non = recon + terms[0] / len(cells), non + terms[1] / len(cells)
        if terms[2] is not None:
            align, n_aligned = align + terms[2], n_aligned + 1
    total = recon + 0.05 * non + 0.3 * align / n_aligned
    assert losses["loss_non"].item() == pytest.approx(non.item(), rel=1e-4)
    assert losses["loss_align"].item() == pytest.approx((align / n_aligned).item(), rel=1e-4)
    assert losses["loss_recon"] < recon  # by the cells' spread around their means, which has no gradient
    for mean_rows, over_cells in zip(
        gradients(training, losses["loss_total"]), gradients(training, total), strict=True
    ):
        torch.testing.assert_close(mean_rows, over_cells, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("control", ["mean", "batch_mean", "cell"])
def test_total_loss_is_the_weighted_sum_of_equation_21(new_training: NewTraining, control: str) -> None:
    training = new_training(STRONG | {"data.control": control})
    losses, _ = minibatch_losses(training, full_minibatch(training))
    expected = losses["loss_recon"] + 0.05 * losses["loss_non"] + 0.3 * losses["loss_align"]
    torch.testing.assert_close(losses["loss_total"], expected)
    assert losses["loss_non"] > 0
    assert losses["loss_align"] > 0


def test_minibatches_together_weigh_like_the_whole(new_training: NewTraining) -> None:
    training = new_training(NO_NOISE)
    training.generator = None  # type: ignore[assignment]  # no noise
    whole, _ = minibatch_losses(training, full_minibatch(training))
    rows = training.objective.rows
    halves = [
        minibatch_losses(training, rows.minibatch(np.array(index), training.order_generator))[0]
        for index in ([0, 3, 5, 6], [1, 2, 4, 7])
    ]
    for name in whole:
        torch.testing.assert_close(whole[name], (halves[0][name] + halves[1][name]) / 2)


def test_alignment_weighs_perturbations_by_their_rows_and_skips_those_without_degs() -> None:
    has_deg = torch.tensor([1.0, 0.0, 1.0])
    weight = align_weight(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0, 2, 1, 0]), has_deg)
    # Sums 5, 3, 2 over rows; times 3 perturbations over 4 rows.
    assert weight.tolist() == [3.75, 0.0, 1.5]
