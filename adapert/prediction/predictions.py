"""What a trained model predicts: deltas, the context that it selected, and the network among its genes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from adapert.config import Config
from adapert.data.schema import StringArray, genes_of
from adapert.data.trial_graph import graph_nodes
from adapert.data.units import LOG1P_UNITS
from adapert.errors import InputError, format_count
from adapert.html import MOST_ROWS, build_card, build_sentences, build_table
from adapert.models.adapert.adjacency import build_adjacency
from adapert.models.adapert.model import AdaPert
from adapert.models.targets import build_targets
from adapert.prediction.bundle import Bundle
from adapert.prediction.files import build_anndata
from adapert.prediction.genes import check_perturbations, indistinct_genes
from adapert.training.prediction import PREDICTION_CHUNK, predict

if TYPE_CHECKING:
    from anndata import AnnData

CONTEXT_COLUMNS = (
    "perturbation",
    "gene",
    "is_perturbed",
    "is_selected",
    "selected_fraction",
    "alpha",
    "weight",
)

EDGE_COLUMNS = ("source", "target")

N_STRONGEST = 5
"""Genes that a notebook shows of each perturbation, up and down."""

DEVICE = torch.device("cpu")
"""Predictions of thousands of perturbations take seconds."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions for perturbations.

    Attributes:
        deltas: Predicted expression minus control, in `units`; a row a perturbation, a column a gene.
        contexts: `CONTEXT_COLUMNS`, one row per perturbation and gene that any of the models counts: whether
            most of them select it, the share of them that do, their mean alpha (Eq. 12; NaN where the config
            selects without scores), and the mean of what it counts in the context (Eq. 13). Empty for models
            without a context.
        edges: `EDGE_COLUMNS`: the network among the genes of `contexts`, as the model had it.
        n_models: Number of models that are averaged.
        notes: What a reader must know about some perturbations, in sentences.
        source: What predicted, in words.
        units: Units of deltas: those of the data that the model was trained on.
    """

    deltas: pd.DataFrame
    contexts: pd.DataFrame
    edges: pd.DataFrame
    n_models: int = 1
    notes: Sequence[str] = ()
    source: str = ""
    units: str = LOG1P_UNITS

    def _repr_html_(self) -> str:
        """Show a notebook the genes that change most, of each perturbation."""
        rows = []
        for name, deltas in self.deltas.head(MOST_ROWS).iterrows():
            ascending = deltas.sort_values()
            ends = (
                ascending[ascending > 0][::-1][:N_STRONGEST],
                ascending[ascending < 0][:N_STRONGEST],
            )
            named = [", ".join(f"{gene} {delta:+.3f}" for gene, delta in end.items()) for end in ends]
            rows.append((name, *named))
        n_perturbations, n_genes = self.deltas.shape
        said = (
            f"{format_count(n_perturbations, 'perturbation')} x {format_count(n_genes, 'gene')}, deltas in "
            f"{self.units}, by {self.source or 'a model'}."
        )
        more = f"... and {n_perturbations - len(rows)} more" if n_perturbations > len(rows) else ""
        return build_card(
            "Predictions",
            build_sentences([said, *self.notes]),
            build_table(("perturbation", "most up", "most down"), rows),
            build_sentences([more]),
        )

    def to_anndata(self) -> "AnnData":
        """Lay the deltas out for scanpy: a row of obs a perturbation, a row of var a gene."""
        return build_anndata(self.deltas, self.units)


def predict_bundle(bundle: Bundle, perturbations: Sequence[str]) -> Predictions:
    """Predict perturbations on the mean control profile, by the mean of a bundle's models.

    Raises:
        InputError: Perturbations that the model cannot be asked for, see `check_perturbations`.
    """
    asked = check_perturbations(perturbations, bundle.shared.node_names)
    contexts = build_contexts(bundle, asked)
    blank = indistinct_genes(bundle.shared, bundle.config, asked, bundle.members[0].seed)
    them = "it" if len(blank) == 1 else "them"
    note = f"{', '.join(blank)}: {_reason(bundle.config)}, nothing tells {them} apart."
    return Predictions(
        deltas=predict_deltas(bundle, asked),
        contexts=contexts,
        edges=build_edges(bundle, set(contexts["gene"])),
        n_models=len(bundle.members),
        notes=(note,) if blank else (),
        units=bundle.units,
    )


def _reason(config: Config) -> str:
    """Say why nothing is known of a gene: what the model reads has nothing of it."""
    is_read = {"text": config.reads_embeddings, "network edges": config.reads_edges}
    sources = [source for source, read in is_read.items() if read]
    return f"without {' or '.join(sources)}" if sources else "with a model that reads neither text nor edges"


def predict_deltas(bundle: Bundle, perturbations: Sequence[str]) -> pd.DataFrame:
    """Predict deltas alone, in the bundle's units: a row a perturbation, a column a gene.

    Raises:
        InputError: Predictions that are no finite numbers.
    """
    by_model = [predict(model, bundle.dataset, perturbations, DEVICE) for model in bundle.models]
    if not np.isfinite(by_model).all():
        raise InputError(
            "Predictions must be finite numbers, but this model's are not: its weights or data are damaged. "
            "Run the trial again, or pick again."
        )
    index = pd.Index(perturbations, name="perturbation")
    genes = list(map(str, bundle.dataset.gene_names))
    return pd.DataFrame(np.mean(by_model, axis=0), index=index, columns=genes)


def build_contexts(bundle: Bundle, perturbations: Sequence[str]) -> pd.DataFrame:
    """Lay out what each model counts in its contexts, averaged; see `Predictions.contexts`."""
    models = [model for model in bundle.models if isinstance(model, AdaPert)]
    if not models or bundle.config.model.context == "constant":
        return pd.DataFrame(columns=list(CONTEXT_COLUMNS))
    chunks = [
        _contexts_of(bundle, models, perturbations[start : start + PREDICTION_CHUNK])
        for start in range(0, len(perturbations), PREDICTION_CHUNK)
    ]
    return pd.concat(chunks, ignore_index=True)


def build_edges(bundle: Bundle, genes: set[str]) -> pd.DataFrame:
    """List the edges among genes on which the first model passed messages, each pair once."""
    if not genes:  # only AdaPert has contexts; other models may read several networks
        return pd.DataFrame(columns=list(EDGE_COLUMNS))
    config = bundle.config
    adjacency = build_adjacency(bundle.shared, config.graph, False, bundle.members[0].seed)
    names = _graph_names(bundle)
    is_shown = np.isin(names, sorted(genes))
    target, source = adjacency[is_shown][:, is_shown].nonzero()
    pairs = np.unique(np.sort(np.stack([source, target], axis=1), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return pd.DataFrame(names[is_shown][pairs], columns=list(EDGE_COLUMNS))


def _graph_names(bundle: Bundle) -> StringArray:
    """Genes of the models' graph, (n_graph_nodes,)."""
    names: StringArray = np.asarray(bundle.shared.node_names).astype(str)
    return names[graph_nodes(bundle.shared, bundle.config.graph)]


def _contexts_of(bundle: Bundle, models: Sequence[AdaPert], perturbations: Sequence[str]) -> pd.DataFrame:
    by_model = [_weights_of(model, bundle, perturbations) for model in models]
    weight, alpha, is_selected = (np.mean(values, axis=0) for values in zip(*by_model, strict=True))
    row, node = np.nonzero((weight > 0) | (is_selected > 0))
    names = _graph_names(bundle)
    frame = pd.DataFrame(
        {
            "perturbation": np.asarray(perturbations, dtype=object)[row],
            "gene": names[node].astype(object),
            "is_selected": is_selected[row, node] >= 0.5,
            "selected_fraction": is_selected[row, node],
            "alpha": alpha[row, node],
            "weight": weight[row, node],
            "order": row,
        }
    )
    targets = {(name, gene) for name in perturbations for gene in genes_of(name)}
    pairs = zip(frame["perturbation"], frame["gene"], strict=True)
    frame["is_perturbed"] = [pair in targets for pair in pairs]
    frame = frame.sort_values(["order", "weight", "alpha"], ascending=[True, False, False], kind="stable")
    return frame[list(CONTEXT_COLUMNS)]


@torch.no_grad()
def _weights_of(
    model: AdaPert, bundle: Bundle, perturbations: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each node's weight, its alpha and whether it is selected, (n_perturbations, n_nodes) each."""
    targets = build_targets(bundle.dataset, perturbations, DEVICE)
    h = model.node_embeddings()
    weights = model.node_weights(targets, h, None)
    has_scores = model.config.context == "adaptive"
    alpha = model.node_relevance(targets, h, None) if has_scores else torch.full_like(weights, torch.nan)
    return weights.numpy(), alpha.numpy(), model.is_counted(weights).float().numpy()
