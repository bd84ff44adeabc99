import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import SmallModel
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset, with_second_embeddings, without_node
from fixtures.narrowed import of_kind, present

from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.models.adapert.model import NODE_FEATURE_SD, AdaPert, AdaPertPrediction, Context
from adapert.models.targets import Targets, build_targets
from adapert.training.prediction import predict

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
SINGLES = ["G00", "G05", "G12", "G14"]
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]


def targets_of(perturbations: list[str], dataset: PreparedDataset = DATASET) -> Targets:
    return build_targets(dataset, perturbations, CPU)


def delta_of(model: AdaPert, perturbations: list[str], dataset: PreparedDataset = DATASET) -> np.ndarray:
    return predict(model, dataset, perturbations, CPU)


def contexts_of(
    model: AdaPert, perturbations: list[str], generator: torch.Generator | None = None
) -> Context:
    with torch.no_grad():
        return model.contexts(targets_of(perturbations), generator)


def control_profile() -> torch.Tensor:
    return torch.from_numpy(DATASET.shared.control_mean)[None]


def loop_embeddings(model: AdaPert) -> list[torch.Tensor]:
    """Eq. 5 and 6: h(0) is the one-hot vector times a table."""
    h = [row.clone() for row in model.node_table]
    for layer in model.message_passing.weights:
        following = []
        for v in range(N_NODES):
            neighbours = DATASET.shared.edge_source[DATASET.shared.edge_target == v].tolist() or [v]
            following.append(sum(layer.weight @ h[u] for u in neighbours) / len(neighbours))
        h = following
    return h


def loop_selection(model: AdaPert, h: list[torch.Tensor], perturbation: str, noise: list[float]) -> set[int]:
    """Eq. 7 to 12: the nodes that a perturbation selects."""
    scorer, config = model.scorer, model.config
    genes = DATASET.perturbed_nodes(perturbation)
    text = [
        torch.from_numpy(DATASET.shared.text_embedding[g])
        if DATASET.shared.has_text[g]
        else model.text.absent
        for g in genes
    ]
    s = model.text_projection.weight @ sum(text)
    weight = torch.cat([scorer.node.weight, scorer.text.weight], dim=1)
    a = [float(scorer.weight.weight[0] @ torch.tanh(weight @ torch.cat([h[v], s]))) for v in range(N_NODES)]
    log_alpha = [score - math.log(sum(math.exp(other) for other in a)) for score in a]
    terms = [math.exp((log_alpha[v] + noise[v]) / config.tau) for v in range(N_NODES)]
    threshold = config.threshold / N_NODES
    return {v for v in range(N_NODES) if terms[v] / sum(terms) > threshold} | set(genes)


@pytest.mark.parametrize("has_noise", [True, False])
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_contexts_equal_a_plain_loop_over_equations_5_to_13(
    small_model: SmallModel, has_noise: bool, tau: float
) -> None:
    model = small_model({"model.tau": tau, "model.node_features": "one_hot"})
    noise = torch.zeros(len(MIXED), N_NODES)
    if has_noise:
        noise = -(-torch.rand(noise.shape, generator=torch.Generator().manual_seed(3)).log()).log()
    context = contexts_of(model, MIXED, torch.Generator().manual_seed(3) if has_noise else None)
    with torch.no_grad():
        h = loop_embeddings(model)
        for p, perturbation in enumerate(MIXED):
            selected = loop_selection(model, h, perturbation, noise[p].tolist())
            assert set(torch.nonzero(present(context.weights)[p]).flatten().tolist()) == selected
            assert context.n_selected[p] == len(selected)
            z = torch.stack([h[v] for v in selected]).sum(dim=0)
            normalised = (z - z.mean()) / (z.var(correction=0) + model.context_norm.eps).sqrt()
            torch.testing.assert_close(context.z[p], normalised, rtol=1e-4, atol=1e-5)
            own = sum(h[g] for g in DATASET.perturbed_nodes(perturbation))
            torch.testing.assert_close(present(context.h)[p], own)


@pytest.mark.parametrize("form", ["delta", "expression"])
def test_prediction_decodes_the_control_shifted_by_gene_and_context(
    small_model: SmallModel, form: str
) -> None:
    model = small_model({"model.predict": form, "model.offset": "none", "model.n_heads": 3})
    context, control = contexts_of(model, SINGLES), control_profile()
    with torch.no_grad():
        decoded = [
            loop_decoder(model, head, model.encoder(control, None), [present(context.h)], context.z)
            for head in range(3)
        ]
    expected = sum(decoded) / 3 if form == "delta" else sum(decoded) / 3 - control
    np.testing.assert_allclose(delta_of(model, SINGLES), expected, rtol=1e-5, atol=1e-6)


def loop_decoder(
    model: AdaPert, head: int, z_c: torch.Tensor, own: list[torch.Tensor], z: torch.Tensor
) -> torch.Tensor:
    """Eq. 3 with one head: DEC(z_c + W_p x_p + W_x z_context), a layer after the other."""
    x = z_c
    for part, to_latent in [*zip(own, model.gene_to_latent, strict=True), (z, model.context_to_latent)]:
        x = x + part @ of_kind(torch.Tensor, to_latent.weight)[head]
        x = x + of_kind(torch.Tensor, to_latent.bias)[head]
    for layer in model.decoder.hidden:
        x = torch.relu(
            x @ of_kind(torch.Tensor, layer.weight)[head] + of_kind(torch.Tensor, layer.bias)[head]
        )
    return x @ model.decoder.last.weight[head] + model.decoder.last.bias[head]


@pytest.mark.parametrize(
    ("features", "n_parts"), [("text", 1), ("one_hot+text", 2), ("text+spectral+diffused", 4)]
)
def test_own_features_enter_past_the_messages(small_model: SmallModel, features: str, n_parts: int) -> None:
    model = small_model(
        {
            "model.own_embedding": "features",
            "model.node_features": features,
            "model.spectral_size": 3,
            "model.n_heads": 2,
            "model.decoder_layers": 2,
        }
    )
    context = contexts_of(model, MIXED)
    tables = {"one_hot": [model.node_table], "text": [model.text()]}
    tables |= {"spectral": [table() for table in model.network_features]}
    rows = [table for name, parts in tables.items() for table in parts if name in features]
    own = [torch.stack([table[DATASET.perturbed_nodes(name)].sum(dim=0) for name in MIXED]) for table in rows]
    assert len(own) == n_parts
    with torch.no_grad():
        z_c = model.encoder(control_profile(), None)
        expected = sum(loop_decoder(model, head, z_c, own, context.z) for head in range(2)) / 2
    offset = model.output.offset.numpy()
    np.testing.assert_allclose(delta_of(model, MIXED), expected + offset, rtol=1e-4, atol=1e-6)


def test_context_alone_predicts_where_the_own_gene_adds_nothing(small_model: SmallModel) -> None:
    alone = {"model.own_embedding": "none"}
    model = small_model(alone)
    context = contexts_of(model, SINGLES)
    with torch.no_grad():
        expected = loop_decoder(model, 0, model.encoder(control_profile(), None), [], context.z)
    np.testing.assert_allclose(
        delta_of(model, SINGLES), expected + model.output.offset.numpy(), rtol=1e-4, atol=1e-6
    )
    nothing = delta_of(small_model(alone | {"model.context": "constant"}), SINGLES)
    np.testing.assert_allclose(nothing, np.tile(nothing[0], (4, 1)), rtol=1e-5)


def test_heads_are_predictors_of_their_own(small_model: SmallModel) -> None:
    model = small_model({"model.n_heads": 3})
    rows = torch.arange(len(SINGLES))
    heads = model(targets_of(SINGLES), rows, control_profile(), 0 * rows).delta
    assert not torch.allclose(heads[0], heads[1])
    heads[1].square().sum().backward()
    gradient = present(model.decoder.last.weight.grad)
    assert not gradient[[0, 2]].any()
    assert gradient[1].any()
    torch.testing.assert_close(torch.from_numpy(delta_of(model, SINGLES)), heads.mean(dim=0).detach())


def test_a_trained_spectrum_comes_with_the_weights(small_model: SmallModel) -> None:
    changes = {
        "model.node_features": "text+spectral",
        "model.own_embedding": "features",
        "model.output_basis": 4,
        "model.spectral_size": 4,
    }
    model = small_model(changes)
    unsplit = small_model(changes, dataset=replace(DATASET, splits={}))
    assert not np.allclose(delta_of(unsplit, SINGLES), delta_of(model, SINGLES))
    unsplit.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(delta_of(unsplit, SINGLES), delta_of(model, SINGLES))


@pytest.mark.parametrize("form", ["delta", "expression"])
@pytest.mark.parametrize("size", [0, 3])
def test_silent_decoder_predicts_the_training_mean_delta(
    small_model: SmallModel, form: str, size: int
) -> None:
    model = small_model({"model.predict": form, "model.output_basis": size})
    torch.nn.init.zeros_(model.decoder.last.weight)
    mean = DATASET.splits["train"].table.delta.mean(axis=0)
    np.testing.assert_allclose(delta_of(model, SINGLES), np.tile(mean, (4, 1)), rtol=1e-5, atol=1e-6)


def test_offset_reads_the_training_split_only(small_model: SmallModel) -> None:
    only_train = replace(DATASET, splits={"train": DATASET.splits["train"]})
    one, other = (made.output.offset for made in (small_model(dataset=only_train), small_model()))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("changes", "is_taught"),
    [
        ({}, True),
        ({"model.selection": "soft"}, True),
        ({"model.selection": "top_k"}, True),
        ({"model.selection": "literal"}, False),
        ({"model.context": "constant"}, False),
        ({"model.context": "all_nodes"}, False),
        ({"model.context": "neighbourhood"}, False),
        ({"model.context": "random"}, False),
    ],
)
def test_gradient_reaches_the_scorer_only_where_selection_is_learned(
    small_model: SmallModel, changes: dict[str, str], is_taught: bool
) -> None:
    model = small_model(changes)
    rows = torch.arange(len(SINGLES))
    generator = torch.Generator().manual_seed(0)
    prediction = model(targets_of(SINGLES), rows, control_profile(), 0 * rows, generator)
    prediction.delta.square().sum().backward()
    for parameter in [*model.scorer.parameters(), model.text_projection.weight]:
        assert (parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)) == is_taught
    assert present(model.node_table.grad).abs().sum() > 0


def test_soft_selection_weighs_all_nodes_by_alpha(small_model: SmallModel) -> None:
    model = small_model({"model.selection": "soft"})
    context = contexts_of(model, SINGLES)
    torch.testing.assert_close(present(context.weights).sum(dim=1), torch.ones(len(SINGLES)))
    assert (present(context.weights) > 0).all()
    with torch.no_grad():
        z = torch.nn.functional.layer_norm(present(context.weights) @ model.node_embeddings(), (8,))
    torch.testing.assert_close(context.z, z)


def test_top_k_selection_keeps_context_size_nodes_and_the_perturbed_gene(small_model: SmallModel) -> None:
    context = contexts_of(small_model({"model.selection": "top_k"}), SINGLES)
    own = targets_of(SINGLES).mark(N_NODES).bool()
    assert present(present(context.weights))[own].tolist() == [1.0] * len(SINGLES)
    assert set(present(context.weights).sum(dim=1).tolist()) <= {4.0, 5.0}
    assert context.n_selected.tolist() == present(present(context.weights)).sum(dim=1).tolist()


def test_threshold_no_node_can_reach_leaves_the_perturbed_genes(small_model: SmallModel) -> None:
    context = contexts_of(small_model({"model.threshold": 100.0}), MIXED)
    assert torch.equal(present(context.weights), targets_of(MIXED).mark(N_NODES))
    assert context.n_selected.tolist() == [2, 1, 1, 3]


def test_constant_context_is_one_learned_vector_for_all(small_model: SmallModel) -> None:
    model = small_model({"model.context": "constant"})
    context = contexts_of(model, MIXED)
    assert context.weights is None
    assert context.n_selected.tolist() == [0, 0, 0, 0]
    expected = torch.nn.functional.layer_norm(model.constant_context, (8,))
    torch.testing.assert_close(context.z, expected.expand(len(MIXED), -1))
    # The perturbed gene itself still tells perturbations apart.
    assert not np.allclose(delta_of(model, ["G00"]), delta_of(model, ["G05"]))


def test_constant_context_has_as_many_parameters_as_the_full_model(small_model: SmallModel) -> None:
    shapes = {name: p.shape for name, p in small_model().named_parameters()}
    assert {
        name: p.shape for name, p in small_model({"model.context": "constant"}).named_parameters()
    } == shapes


def test_static_context_is_all_nodes(small_model: SmallModel) -> None:
    model = small_model({"model.context": "all_nodes"})
    context = contexts_of(model, MIXED)
    assert torch.equal(present(context.weights), torch.ones(len(MIXED), N_NODES))
    with torch.no_grad():
        total = torch.nn.functional.layer_norm(model.node_embeddings().sum(dim=0), (8,))
    torch.testing.assert_close(context.z, total.expand(len(MIXED), -1), rtol=1e-4, atol=1e-5)


def test_neighbourhood_context_is_the_perturbed_genes_and_their_neighbours(small_model: SmallModel) -> None:
    context = contexts_of(small_model({"model.context": "neighbourhood"}), MIXED)
    shared = DATASET.shared
    for p, perturbation in enumerate(MIXED):
        genes = set(DATASET.perturbed_nodes(perturbation))
        neighbours = {
            int(s) for s, t in zip(shared.edge_source, shared.edge_target, strict=True) if t in genes
        }
        assert set(torch.nonzero(present(context.weights)[p]).flatten().tolist()) == genes | neighbours


def test_random_context_is_drawn_once(small_model: SmallModel) -> None:
    model = small_model({"model.context": "random"})
    first = present(contexts_of(model, SINGLES, torch.Generator().manual_seed(0)).weights)
    assert torch.equal(present(contexts_of(model, SINGLES, torch.Generator().manual_seed(1)).weights), first)
    assert torch.equal(present(contexts_of(model, SINGLES[::-1]).weights).flip(0), first)
    rebuilt, other = (
        small_model({"model.context": "random"}),
        small_model({"model.context": "random"}, seed=1),
    )
    assert torch.equal(present(contexts_of(rebuilt, SINGLES).weights), first)
    assert not torch.equal(present(contexts_of(other, SINGLES).weights), first)


def test_random_context_has_context_size_nodes_and_the_perturbed_gene(small_model: SmallModel) -> None:
    names = [str(name) for name in DATASET.shared.node_names]
    model = small_model({"model.context": "random"})
    weights = present(contexts_of(model, names).weights)
    fixed = of_kind(torch.Tensor, model.fixed_context)
    assert torch.equal(fixed.sum(dim=1), torch.full((N_NODES,), 4.0))
    assert torch.equal(weights, torch.maximum(fixed, torch.eye(N_NODES)))


@pytest.mark.parametrize("context", ["neighbourhood", "random"])
def test_fixed_context_of_a_combination_unites_those_of_its_genes(
    small_model: SmallModel, context: str
) -> None:
    model = small_model({"model.context": context})
    weights = present(contexts_of(model, ["G00+G03", "G00", "G03"]).weights)
    assert torch.equal(weights[0], torch.maximum(weights[1], weights[2]))


def test_context_of_more_nodes_than_there_are_is_all_nodes(small_model: SmallModel) -> None:
    for changes in ({"model.selection": "top_k"}, {"model.context": "random"}):
        context = contexts_of(small_model(changes | {"model.context_size": 64}), SINGLES)
        assert torch.equal(present(context.weights), torch.ones(len(SINGLES), N_NODES))


def test_node_features_are_a_table_the_projected_text_or_their_sum(small_model: SmallModel) -> None:
    forms = {
        form: small_model({"model.node_features": form, "model.n_graph_layers": 0})
        for form in ("one_hot", "text", "one_hot+text")
    }
    with torch.no_grad():
        table, text, both = (model.node_embeddings() for model in forms.values())
        assert torch.equal(table, forms["one_hot"].node_table)
        projection = forms["text"].node_text
        torch.testing.assert_close(
            text[0], projection.weight @ torch.from_numpy(DATASET.shared.text_embedding[0])
        )
        torch.testing.assert_close(text[3], projection.weight @ forms["text"].text.absent)
        torch.testing.assert_close(both, table + text)


def test_untrained_text_is_heard_beside_the_table(small_model: SmallModel) -> None:
    model = small_model(
        {"model.node_features": "text", "model.n_graph_layers": 0, "model.structural_size": 512}
    )
    with torch.no_grad():
        assert model.node_embeddings()[0].std() == pytest.approx(NODE_FEATURE_SD, rel=0.15)


def test_shuffled_text_is_a_permutation_of_genes(small_model: SmallModel) -> None:
    original, shuffled = small_model().text, small_model({"data.text_embedding": "shuffled"}).text
    assert not torch.equal(original.embedding, shuffled.embedding)
    rows = [sorted(map(tuple, table.embedding.tolist())) for table in (original, shuffled)]
    assert rows[0] == rows[1]
    # A gene's vector and its mask travel together.
    assert torch.equal(shuffled.has_text.squeeze(1) == 0, (shuffled.embedding == 0).all(dim=1))


def test_prediction_is_deterministic_whatever_the_generators_are(small_model: SmallModel) -> None:
    model = small_model({"model.dropout": 0.5})
    torch.manual_seed(0)
    first = delta_of(model, MIXED)
    assert np.array_equal(delta_of(model, MIXED), first)
    torch.manual_seed(1)
    assert np.array_equal(delta_of(model, MIXED), first)


def test_noise_in_training_follows_its_generator(small_model: SmallModel) -> None:
    model = small_model({"model.dropout": 0.5})
    rows = torch.arange(len(MIXED))

    def forward(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return of_kind(
                AdaPertPrediction, model(targets_of(MIXED), rows, control_profile(), 0 * rows, generator)
            ).delta

    assert torch.equal(forward(0), forward(0))
    assert not torch.equal(forward(0), forward(1))


@pytest.mark.parametrize("changes", [{}, {"model.selection": "top_k"}, {"model.context": "random"}])
def test_prediction_is_independent_of_company_and_order(
    small_model: SmallModel, changes: dict[str, str]
) -> None:
    model = small_model(changes)
    together = delta_of(model, MIXED)
    np.testing.assert_allclose(delta_of(model, MIXED[::-1])[::-1], together, rtol=1e-5, atol=1e-6)
    for row, perturbation in enumerate(MIXED):
        np.testing.assert_allclose(delta_of(model, [perturbation])[0], together[row], rtol=1e-5, atol=1e-6)


def test_prediction_of_more_perturbations_than_a_chunk_is_the_same(small_model: SmallModel) -> None:
    model = small_model()
    names = [str(DATASET.shared.node_names[number % N_NODES]) for number in range(150)]
    many = delta_of(model, names)
    assert many.shape == (150, N_GENES)
    np.testing.assert_allclose(many[:N_NODES], delta_of(model, names[:N_NODES]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(many[135:], many[:N_NODES], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("perturbation", ["G14", "G12"])
def test_isolated_or_unmeasured_gene_is_predicted_as_itself(
    small_model: SmallModel, perturbation: str
) -> None:
    model = small_model()
    delta = delta_of(model, [perturbation, "G00"])
    assert np.isfinite(delta).all()
    assert not np.allclose(delta[0], delta[1])
    assert delta.shape[1] == N_GENES


def test_combination_sums_its_genes_and_is_symmetrical(small_model: SmallModel) -> None:
    model = small_model()
    np.testing.assert_allclose(
        delta_of(model, ["G00+G03"]), delta_of(model, ["G03+G00"]), rtol=1e-5, atol=1e-6
    )
    context = contexts_of(model, ["G00+G03", "G00", "G03"])
    torch.testing.assert_close(present(context.h)[0], present(context.h)[1:].sum(dim=0))
    with torch.no_grad():
        text = targets_of(["G00+G03", "G00", "G03"]).sum_rows(model.text())
    torch.testing.assert_close(text[0], text[1] + text[2])
    torch.testing.assert_close(text[2], model.text.absent)


def test_targets_pad_to_the_largest_combination() -> None:
    targets = targets_of(["G02", "G05+G00", "G01+G03+G04"])
    assert targets.nodes.tolist() == [[2, 0, 0], [5, 0, 0], [1, 3, 4]]
    assert targets.is_gene.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    # Padding points at node 0 and must mark it only where it is a gene.
    assert targets.mark(6).tolist() == [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 1, 0]]
    table = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    assert targets.sum_rows(table).flatten().tolist() == [4.0, 33.0, 26.0]


def test_gene_that_is_no_node_is_refused(small_model: SmallModel) -> None:
    with pytest.raises(InputError, match="must be a node of the prepared graph, but 'KLF1' is not"):
        delta_of(small_model(), ["G00+KLF1"])


def reordered(
    model: AdaPert, dataset: PreparedDataset, seed: int
) -> tuple[PreparedDataset, dict[str, torch.Tensor], np.ndarray]:
    """Permute genes, nodes, edges and perturbations of a data set, and a model's weights with them."""
    generator = np.random.default_rng(seed)
    genes = generator.permutation(N_GENES)
    nodes = np.concatenate([genes, N_GENES + generator.permutation(N_NODES - N_GENES)])
    place = np.argsort(nodes)
    shared = dataset.shared
    edges = generator.permutation(len(shared.edge_source))
    table = dataset.splits["train"].table
    rows = generator.permutation(len(table.perturbations))
    permuted_table = replace(
        table,
        perturbations=table.perturbations[rows],
        delta=table.delta[rows][:, genes],
        deg_mask=table.deg_mask[rows][:, genes],
        n_cells=table.n_cells[rows],
        effect_size=table.effect_size[rows],
    )
    permuted = replace(
        dataset,
        shared=replace(
            shared,
            node_names=shared.node_names[nodes],
            control_mean=shared.control_mean[genes],
            batch_control_mean=shared.batch_control_mean[:, genes],
            edge_source=place[shared.edge_source][edges],
            edge_target=place[shared.edge_target][edges],
            edge_score=shared.edge_score[edges],
            edge_rank=shared.edge_rank[edges],
            text_embedding=shared.text_embedding[nodes],
            has_text=shared.has_text[nodes],
        ),
        splits={"train": replace(dataset.splits["train"], table=permuted_table)},
    )
    weights = dict(model.state_dict())
    weights["node_table"] = weights["node_table"][nodes]
    weights["encoder.first.weight"] = weights["encoder.first.weight"][:, genes]
    for name in ("decoder.last.weight", "decoder.last.bias"):
        weights[name] = weights[name][..., genes]
    del weights["output.offset"]  # The permuted model makes its own from the permuted data.
    return permuted, weights, genes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"graph.top_k": 2, "graph.edge_weight": "confidence", "model.node_features": "one_hot+text"},
        {"model.context": "neighbourhood", "model.predict": "expression"},
    ],
)
def test_order_of_genes_nodes_edges_and_perturbations_makes_no_difference(
    small_model: SmallModel, changes: dict[str, Any], seed: int
) -> None:
    model = small_model(changes)
    dataset, weights, genes = reordered(model, DATASET, seed)
    other = small_model(changes, seed=9, dataset=dataset)
    missing = other.load_state_dict(weights, strict=False)
    assert missing.missing_keys == ["output.offset"]
    np.testing.assert_allclose(
        delta_of(other, MIXED, dataset), delta_of(model, MIXED)[:, genes], rtol=1e-4, atol=1e-6
    )


def test_same_seed_builds_the_same_model(small_model: SmallModel) -> None:
    one, same, other = small_model(seed=3), small_model(seed=3), small_model(seed=4)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.node_table, other.node_table)


OUTSIDE = 13
"""Node of a gene that is not perturbed in `PARTLY`."""

PARTLY = replace(DATASET, shared=replace(DATASET.shared, is_perturbed=np.arange(N_NODES) != OUTSIDE))


@pytest.mark.parametrize(
    "changes", [{}, {"model.context": "neighbourhood"}, {"model.context": "random"}, {"graph.top_k": 2}]
)
def test_a_graph_of_perturbed_genes_is_that_of_a_data_set_without_the_others(
    small_model: SmallModel, changes: dict[str, Any]
) -> None:
    model = small_model(changes | {"graph.nodes": "perturbed"}, dataset=PARTLY)
    reduced = without_node(PARTLY, OUTSIDE)
    other = small_model(changes, dataset=reduced)
    assert len(model.node_table) == N_NODES - 1
    names = ["G00", "G05+G14", "G12"]
    np.testing.assert_array_equal(delta_of(model, names, PARTLY), delta_of(other, names, reduced))


def test_a_gene_outside_of_the_graph_is_refused(small_model: SmallModel) -> None:
    model = small_model({"graph.nodes": "perturbed"}, dataset=PARTLY)
    with pytest.raises(InputError, match=r"graph\.nodes 'perturbed' .* but 'G13' is not"):
        delta_of(model, ["G00+G13", "G05"], PARTLY)


def test_noise_of_the_graph_is_drawn_from_the_seed(small_model: SmallModel) -> None:
    def adjacency(seed: int) -> torch.Tensor:
        changes = {"graph.kept_fraction": 0.5, "graph.added_fraction": 0.2}
        return of_kind(
            torch.Tensor, small_model(changes, seed=seed).message_passing.aggregate.matrix
        ).to_dense()

    assert torch.equal(adjacency(0), adjacency(0))
    assert not torch.equal(adjacency(0), adjacency(1))


TWO_TEXTS = with_second_embeddings(DATASET)


def test_each_source_of_embeddings_has_a_projection_and_a_missing_vector(small_model: SmallModel) -> None:
    both = {"data.embeddings": "text+rpe1", "model.n_graph_layers": 0}
    model = small_model(both, dataset=TWO_TEXTS)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    other = TWO_TEXTS.shared.embeddings["rpe1"]
    with torch.no_grad():
        h = model.node_embeddings()
        for gene in range(N_NODES):
            own_text = loop_text(model, gene)
            own_other = (
                torch.from_numpy(other.embedding[gene])
                if other.has_embedding[gene]
                else weights["other_texts.0.absent"]
            )
            expected = weights["node_table"][gene] + weights["node_text.weight"] @ own_text
            expected = expected + weights["other_node_texts.0.weight"] @ own_other
            torch.testing.assert_close(h[gene], expected, rtol=1e-4, atol=1e-5)


def loop_text(model: AdaPert, gene: int) -> torch.Tensor:
    has_text = DATASET.shared.has_text[gene]
    return torch.from_numpy(DATASET.shared.text_embedding[gene]) if has_text else model.text.absent


def test_relevance_sums_the_projected_text_of_every_source(small_model: SmallModel) -> None:
    model = small_model({"data.embeddings": "text+rpe1"}, dataset=TWO_TEXTS)
    targets = targets_of(MIXED)
    with torch.no_grad():
        h = model.node_embeddings()
        before = model.node_relevance(targets, h, None)
        model.other_projections[0].weight.zero_()  # type: ignore[operator]
        without = model.node_relevance(targets, h, None)
        first = small_model(dataset=TWO_TEXTS)
        first.load_state_dict(model.state_dict(), strict=False)
        torch.testing.assert_close(without, first.node_relevance(targets, h, None))
    assert not torch.allclose(before, without)


def test_a_second_source_adds_parts_and_an_unpicked_one_changes_nothing(
    small_model: SmallModel,
) -> None:
    one, both = small_model(), small_model({"data.embeddings": "text+rpe1"}, dataset=TWO_TEXTS)
    assert set(both.state_dict()) - set(one.state_dict()) == {
        "other_texts.0.absent",
        "other_node_texts.0.weight",
        "other_projections.0.weight",
    }
    ignored = small_model({"data.embeddings": "text"}, dataset=TWO_TEXTS)
    for name, value in one.state_dict().items():
        assert torch.equal(value, ignored.state_dict()[name])


def test_without_embeddings_genes_differ_by_table_and_network_alone(small_model: SmallModel) -> None:
    model = small_model({"data.embeddings": "none"}, dataset=TWO_TEXTS)
    assert not model.node_text(model.text()).any()
    other = small_model({"data.embeddings": "none"}, dataset=DATASET)
    np.testing.assert_array_equal(delta_of(model, MIXED), delta_of(other, MIXED))


def test_shuffling_permutes_every_source_alike(small_model: SmallModel) -> None:
    changes = {"data.embeddings": "rpe1", "data.text_embedding": "shuffled"}
    shuffled, original = (
        small_model(each, dataset=TWO_TEXTS).text for each in (changes, {"data.embeddings": "rpe1"})
    )
    assert not torch.equal(shuffled.embedding, original.embedding)
    rows = [sorted(map(tuple, table.embedding.tolist())) for table in (shuffled, original)]
    assert rows[0] == rows[1]
