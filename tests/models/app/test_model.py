import math
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import SmallApp
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset

from adapert.config import Config
from adapert.errors import InputError
from adapert.models.app.aggregation import AGGREGATIONS
from adapert.models.app.model import App, LinearDecoder
from adapert.models.network import Batch
from adapert.models.objectives import squared_loss
from adapert.models.targets import Targets, build_targets
from adapert.training.prediction import predict

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]
FORMS: list[dict[str, Any]] = [
    {},
    {"app.aggregation": "sum"},
    {"app.aggregation": "max"},
    {"app.own_gene": True},
    {"app.attention": "none"},
    {"app.attention": "none", "app.own_gene": True},
    {"app.n_layers": 0},
    {"app.n_layers": 3, "app.node_features": "one_hot"},
    {"app.decoder": "mlp"},
]


def targets_of(perturbations: list[str]) -> Targets:
    return build_targets(DATASET, perturbations, CPU)


def delta_of(app: App, perturbations: list[str]) -> np.ndarray:
    return predict(app, DATASET, perturbations, CPU)


def in_float64(app: App, perturbations: list[str]) -> torch.Tensor:
    rows = torch.arange(len(perturbations))
    control = torch.zeros(1, N_GENES, dtype=torch.float64)
    targets = targets_of(perturbations)
    wide = Targets(targets.nodes, targets.is_gene.double())
    with torch.no_grad():
        return app.double()(wide, rows, control, 0 * rows).delta  # type: ignore[no-any-return]


def loop_embeddings(app: App, aggregation: str) -> list[torch.Tensor]:
    """Eq. 1 and 2."""
    h = list(app.features())
    for layer in app.layers:
        following = []
        for i in range(N_NODES):
            neighbours = DATASET.shared.edge_source[DATASET.shared.edge_target == i].tolist()
            a = torch.zeros_like(h[i])
            if neighbours:
                messages = torch.stack([h[j] for j in neighbours])
                sums = {"sum": messages.sum(0), "mean": messages.mean(0), "max": messages.max(0).values}
                a = sums[aggregation]
            following.append(torch.clamp(layer.weight @ (h[i] + a) + layer.bias, min=0))
        h = following
    return h


def loop_delta(app: App, h: list[torch.Tensor], perturbation: str) -> torch.Tensor:
    """Eq. 3 to 7."""
    genes = DATASET.perturbed_nodes(perturbation)
    c = sum((h[p] for p in genes), torch.zeros_like(h[0])) / len(genes)
    s = c
    if (attention := app.attention) is not None:
        e = [
            float(
                attention.weight.weight[0]
                @ torch.tanh(
                    attention.context.weight @ c + attention.gene.weight @ h_i + attention.context.bias
                )
            )
            for h_i in h
        ]
        total = sum(math.exp(score) for score in e)
        s = torch.stack([math.exp(score) / total * h_i for score, h_i in zip(e, h, strict=True)]).sum(dim=0)
    if app.own is not None:
        s = s + app.own.weight @ c
    if isinstance(app.decoder, LinearDecoder):
        return app.decoder.weight @ s + app.decoder.bias
    hidden = torch.clamp(app.decoder.first.weight @ s + app.decoder.first.bias, min=0)
    return app.decoder.second.weight @ hidden + app.decoder.second.bias


@pytest.mark.parametrize("changes", FORMS)
def test_network_equals_a_plain_loop_over_equations_1_to_7(
    small_app: SmallApp, changes: dict[str, Any]
) -> None:
    app = small_app(changes).double()
    found = in_float64(app, MIXED)
    with torch.no_grad():
        h = loop_embeddings(app, str(changes.get("app.aggregation", "mean")))
        expected = torch.stack([loop_delta(app, h, perturbation) for perturbation in MIXED])
    # The weights of the mean, 1 over the number of neighbours, are kept in float32.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("changes", FORMS)
def test_fused_float32_equals_float64(small_app: SmallApp, changes: dict[str, Any]) -> None:
    expected = in_float64(small_app(changes), MIXED)
    np.testing.assert_allclose(delta_of(small_app(changes), MIXED), expected, rtol=1e-4, atol=1e-5)


def test_with_uniform_attention_the_best_fit_is_the_training_mean(small_app: SmallApp) -> None:
    """The cell state is then the same for all, so that a decoder can fit one delta: the weighted mean."""
    app = small_app()
    assert app.attention is not None
    torch.nn.init.zeros_(app.attention.weight.weight)
    config = Config().with_changes({"model.name": "app"})
    objective = squared_loss(DATASET, config, config.app)
    table = DATASET.splits["train"].table
    minibatch = objective.rows.minibatch(np.arange(len(table.perturbations)), np.random.default_rng(0))
    rows = torch.arange(len(table.perturbations))
    batch = Batch(
        rows,
        rows,
        torch.from_numpy(np.asarray(minibatch.target_delta)),
        torch.from_numpy(minibatch.weight),
    )
    targets, control = targets_of(list(table.perturbations)), torch.from_numpy(minibatch.control)
    optimizer = torch.optim.LBFGS(app.decoder.parameters(), max_iter=100, tolerance_change=0)

    def close() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = objective(app(targets, rows, control, 0 * rows), batch)["loss_total"]
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(close)  # type: ignore[no-untyped-call]
    mean = np.average(table.delta, axis=0, weights=table.n_cells)
    np.testing.assert_allclose(delta_of(app, MIXED), np.tile(mean, (4, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"app.own_gene": True}, {"app.attention": "none"}])
def test_order_of_a_combinations_genes_makes_no_difference(
    small_app: SmallApp, changes: dict[str, Any]
) -> None:
    app = small_app(changes)
    one, other = delta_of(app, ["G02+G05+G13"]), delta_of(app, ["G13+G02+G05"])
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_attention_adds_up_to_one_and_depends_on_the_perturbation(small_app: SmallApp) -> None:
    app = small_app()
    assert app.attention is not None
    with torch.no_grad():
        h = app.gene_embeddings()
        alpha = app.attention(h[:4], h)
    torch.testing.assert_close(alpha.sum(dim=1), torch.ones(4))
    assert not torch.allclose(alpha[0], alpha[1], atol=1e-5)


@pytest.mark.parametrize("node_features", ["one_hot", "random", "text", "expression", "both"])
def test_a_graph_of_perturbed_genes_predicts_them_alone(small_app: SmallApp, node_features: str) -> None:
    dataset = build_tiny_dataset(splits=(6, 2, 1))
    is_perturbed = dataset.shared.is_perturbed
    assert 0 < is_perturbed.sum() < N_NODES
    app = small_app({"graph.nodes": "perturbed", "app.node_features": node_features}, dataset=dataset)
    assert len(app.gene_embeddings()) == is_perturbed.sum()
    inside, outside = (str(dataset.shared.node_names[is_perturbed == side][0]) for side in (True, False))
    assert np.isfinite(predict(app, dataset, [inside], CPU)).all()
    with pytest.raises(InputError, match=rf"but '{outside}' is not\. Train one with graph\.nodes 'all'"):
        predict(app, dataset, [outside], CPU)


def test_without_a_network_every_gene_stands_alone(small_app: SmallApp) -> None:
    app = small_app({"graph.kept_fraction": 0.0})
    with torch.no_grad():
        h = app.features()
        for layer in app.layers:
            h = torch.relu(layer(h))
        torch.testing.assert_close(app.gene_embeddings(), h)


@pytest.mark.parametrize("changes", FORMS)
def test_every_parameter_is_taught(small_app: SmallApp, changes: dict[str, Any]) -> None:
    app = small_app(changes)
    rows = torch.arange(len(MIXED))
    delta = app(targets_of(MIXED), rows, torch.zeros(1, N_GENES), 0 * rows).delta
    (delta * torch.randn(delta.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    untaught = [name for name, p in app.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untaught == []


def test_rows_of_a_perturbation_are_predicted_alike(small_app: SmallApp) -> None:
    app = small_app()
    row = torch.tensor([0, 1, 1, 0])
    with torch.no_grad():
        delta = app(targets_of(["G00", "G05"]), row, torch.zeros(1, N_GENES), 0 * row).delta
    expected = delta_of(app, ["G00", "G05"])[row.numpy()]
    np.testing.assert_allclose(delta.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_untrained_layers_neither_grow_nor_fade(small_app: SmallApp, aggregation: str) -> None:
    app = small_app({"app.aggregation": aggregation, "app.n_layers": 3, "app.size": 64})
    with torch.no_grad():
        h = app.features()
        for layer in app.layers:
            pre = layer(h + app.aggregate(h))
            # Torch's biases, which are small, are not scaled.
            assert pre.std().item() == pytest.approx(1, rel=0.05)
            h = torch.relu(pre)


@pytest.mark.parametrize("decoder", ["linear", "mlp"])
def test_dropout_follows_its_generator_and_leaves_predictions_alone(
    small_app: SmallApp, decoder: str
) -> None:
    app = small_app({"app.dropout": 0.5, "app.decoder": decoder})
    rows, targets = torch.arange(len(MIXED)), targets_of(MIXED)

    def forward(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return app(targets, rows, torch.zeros(1, N_GENES), 0 * rows, generator).delta  # type: ignore[no-any-return]

    assert torch.equal(forward(0), forward(0))
    assert not torch.equal(forward(0), forward(1))
    still = small_app({"app.decoder": decoder})
    assert np.array_equal(delta_of(app, MIXED), delta_of(still, MIXED))


def test_the_non_deg_loss_is_off_by_default_and_adaperts_where_asked() -> None:
    base = Config().with_changes({"model.name": "app"})
    assert squared_loss(DATASET, base, base.app).loss.lambda_non == 0
    changed = base.with_changes({"app.lambda_non": 0.01, "app.huber_delta": 1.5})
    asked = squared_loss(DATASET, changed, changed.app)
    assert (asked.loss.lambda_non, asked.loss.huber_delta) == (0.01, 1.5)
    non_deg = DATASET.splits["train"].table.delta[~DATASET.splits["train"].table.deg_mask]
    assert asked.huber_delta == pytest.approx(1.5 * float(non_deg.std()))
