"""Agreement with the published package, cell-gears 0.1.2, by its weights."""

from typing import Any

import pytest
import torch
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset
from torch import Tensor

from adapert.config import Config
from adapert.models.gears.model import Gears, build_gears
from adapert.models.targets import build_targets

# To import the package compiles kernels of its dependencies, which takes 13 s.
pytestmark = pytest.mark.slow

DATASET = build_tiny_dataset()
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]
LAYERS = {"0": "first", "1": "first_norm", "3": "second", "4": "second_norm"}
PARTS = {
    "gene_emb": "genes",
    "pert_emb": "perturbations",
    "emb_pos": "positions",
    "bn_emb": "gene_norm",
    "bn_pert_base": "grid.norm",
    "emb_trans_v2.network": "base",
    "pert_fuse.network": "fuse",
    "recovery_w.network": "grid.layers",
    "cross_gene_state.network": "cross",
    "layers_emb_pos": "position_layers.layers",
    "sim_layers": "network_layers.layers",
}
"""Theirs to ours."""

UNUSED = ("pert_w", "bn_pert_base_trans")
"""Parts of theirs that no prediction reads."""


def translate(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = {
        "gene_weight": theirs["indv_w1"].squeeze(-1),
        "gene_bias": theirs["indv_b1"].squeeze(-1),
        "own_weight": theirs["indv_w2"][0, :, 0],
        "cross_weight": theirs["indv_w2"][0, :, 1:],
        "delta_bias": theirs["indv_b2"][0],
    }
    for name, value in theirs.items():
        part = next((part for part in PARTS if name.startswith(f"{part}.")), None)
        if part is None:
            assert name in ours or name.startswith(("indv", *UNUSED)), name
            continue
        rest = name.removeprefix(f"{part}.").replace("lin.", "")
        if part.endswith("network"):
            number, _, field = rest.partition(".")
            rest = f"{LAYERS[number]}.{field}"
        ours[f"{PARTS[part]}.{rest}"] = value
    return ours


def build_both(n_layers: int) -> tuple[Any, Gears]:
    """Their module with drawn weights and statistics, and ours with the same."""
    changes = {
        "model.name": "gears",
        "gears.size": 6,
        "gears.n_network_layers": n_layers,
        "gears.n_coexpression_layers": n_layers,
        "gears.coexpression_threshold": 0.2,
        "graph.edge_weight": "confidence",
        "graph.top_k": 3,
    }
    model = pytest.importorskip("gears.model", reason="the extra 'parity' is not installed")
    own = build_gears(DATASET, Config().with_changes(changes), 0)
    shared, partners = DATASET.shared, own.coexpression
    is_kept = torch.from_numpy(shared.edge_rank < 3)
    links = torch.stack(
        [torch.from_numpy(end)[is_kept].long() for end in (shared.edge_source, shared.edge_target)]
    )
    scores = torch.from_numpy(shared.edge_score)[is_kept]
    target, place = torch.nonzero(partners.weight, as_tuple=True)
    theirs = model.GEARS_Model(
        {
            "num_genes": N_GENES,
            "num_perts": N_NODES,
            "hidden_size": 6,
            "uncertainty": False,
            "num_go_gnn_layers": n_layers,
            "num_gene_gnn_layers": n_layers,
            "decoder_hidden_size": 16,
            "no_perturb": False,
            "G_coexpress": torch.stack([partners.source[target, place].long(), target]),
            "G_coexpress_weight": partners.weight[target, place],
            "G_go": links,
            "G_go_weight": scores / scores.max(),
            "device": "cpu",
        }
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator) / 2
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    weights = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    graph = {f"coexpression.{name}": value for name, value in partners.state_dict().items()}
    own.load_state_dict(translate(weights) | graph)
    return theirs.eval(), own.eval()


@pytest.mark.parametrize("n_layers", [1, 2])
def test_predictions_are_those_of_the_published_module(n_layers: int) -> None:
    theirs, own = build_both(n_layers)
    from torch_geometric.data import Batch, Data

    targets = build_targets(DATASET, MIXED, torch.device("cpu"))
    rows = torch.arange(len(MIXED))
    control = torch.rand(1, N_GENES, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        predicted = own(targets, rows, control, torch.zeros_like(rows)).delta
        for row, perturbation in enumerate(MIXED):
            # One cell at a time: of several, only the first hears of the genes it is expressed with.
            cell = Data(x=control.T, pert_idx=DATASET.perturbed_nodes(perturbation))
            expected = theirs(Batch.from_data_list([cell]))
            torch.testing.assert_close(predicted[row] + control[0], expected[0], rtol=1e-5, atol=1e-5)


def test_of_several_cells_the_published_module_gives_its_graph_to_the_first_alone() -> None:
    """Why the comparison goes cell by cell."""
    theirs, _ = build_both(1)
    from torch_geometric.data import Batch, Data

    cells = [Data(x=torch.zeros(N_GENES, 1), pert_idx=[4]) for _ in range(2)]
    with torch.no_grad():
        first, second = theirs(Batch.from_data_list(cells))
        (alone,) = theirs(Batch.from_data_list(cells[:1]))
    torch.testing.assert_close(first, alone)
    assert (second - alone).abs().max() > 1e-4
