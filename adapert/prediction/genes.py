"""Which perturbations a model can predict, and about which it cannot know much."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from adapert.config import Config
from adapert.data.array_tables import SharedTable
from adapert.data.labels.rule import LabelRule
from adapert.data.labels.words import strip_blanks
from adapert.data.schema import GENE_SEPARATOR, genes_of
from adapert.data.trial_graph import build_trial_graph
from adapert.errors import InputError, name_some

N_SUGGESTED = 5
"""Unknown genes for which similar names are suggested."""


def check_perturbations(perturbations: Iterable[str], node_names: Iterable[str]) -> list[str]:
    """Check the perturbations that a model is to predict.

    Args:
        perturbations: Written as labels of a data file; see `adapert.data.labels.rule.LabelRule`.
        node_names: Genes of the model's graph.

    Returns:
        Each perturbation once, in the given order, its genes sorted.

    Raises:
        InputError: No perturbation, one without a gene or with a gene twice, a word for controls or
            unassigned cells, or unknown genes (one in another case is answered with the known one).
    """
    nodes = list(map(str, node_names))
    rule = LabelRule(known_genes=nodes)
    asked = [_read(name, rule) for name in perturbations]
    if not asked:
        raise InputError("A prediction needs a perturbation, but none was named. Name genes, such as KLF1.")
    _check_known([gene for genes in asked for gene in genes], nodes)
    return list(dict.fromkeys(GENE_SEPARATOR.join(genes) for genes in asked))


def _read(name: str, rule: LabelRule) -> tuple[str, ...]:
    """Read a perturbation by the rule of the data's labels, but refuse what that would have to guess."""
    parts = [strip_blanks(part) for part in name.split(GENE_SEPARATOR)]
    if "" in parts or len(set(parts)) < len(parts):
        what = "has an empty one" if "" in parts else "names one twice"
        raise InputError(f"A perturbation is genes joined by '+', each once, but '{name}' {what}.")
    reading = rule.read(name)
    if not reading.genes:
        what = "names unperturbed cells" if reading.is_control else f"is a word for cells {reading.left_out}"
        raise InputError(f"A perturbation is genes joined by '+', but '{name}' {what}. Name genes.")
    return tuple(parts) if reading.is_other_case else reading.genes


def indistinct_genes(
    shared: SharedTable, config: Config, perturbations: Sequence[str], seed: int
) -> list[str]:
    """List the perturbed genes that have no edges, nor an embedding that is read: nothing tells them apart.

    Config and seed are the model's: they pick the sources and draw the graph's noise.
    """
    has_edge = np.zeros(len(shared.node_names), dtype=bool)
    if config.reads_edges:
        graph = build_trial_graph(shared, config.graph, seed)
        for edges in graph.networks:
            has_edge[graph.nodes[edges.edge_target]] = True
    has_vector = np.zeros_like(has_edge)
    for source in shared.picked_vectors(config.data.embeddings) if config.reads_embeddings else ():
        has_vector |= source.has_embedding
    is_blank = ~has_edge & ~has_vector
    blank = set(map(str, np.asarray(shared.node_names)[is_blank]))
    genes = dict.fromkeys(gene for name in perturbations for gene in genes_of(name))
    return [gene for gene in genes if gene in blank]


def _check_known(genes: Sequence[str], known: Sequence[str]) -> None:
    is_known = set(known)
    unknown = list(dict.fromkeys(gene for gene in genes if gene not in is_known))
    if not unknown:
        return
    by_capitals = {name.upper(): name for name in known}  # the same gene in another case is the nearest
    near = [
        f"'{by_capitals[found]}' for '{gene}'"
        for gene in unknown[:N_SUGGESTED]
        for found in get_close_matches(gene.upper(), by_capitals, n=1, cutoff=0.6)
    ]
    verb = "is" if len(unknown) == 1 else "are"
    hint = f" Did you mean {', '.join(near)}?" if near else " Write symbols as the prepared data do."
    raise InputError(
        f"A perturbed gene must be one of the {len(known):,} genes that the model knows, but "
        f"{name_some(unknown)} {verb} not.{hint}"
    )
