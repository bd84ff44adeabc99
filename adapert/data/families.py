"""Families of perturbations: those that respond alike, as genes of one complex or pathway do.

A model that errs on one member tends to err on the others: differences between models are correlated within
families (`adapert.statistics.families`). They only say how certain a mean over perturbations is; no model
reads them. Every perturbation is in one of them, if only in one of its own.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse

from adapert.data.array_tables import Edges
from adapert.data.formats.gene_sets import GeneSets
from adapert.data.labels.aliases import Aliases, match_names
from adapert.data.schema import FamilySource, FloatArray, StringArray, genes_of
from adapert.errors import InputError, name_some, nearest
from adapert.seeding import derive_seed

NETWORK, RESPONSES = "network", "responses"
"""What families may be found by, besides gene sets of a file."""

LEAST_CORRELATION = 0.3
"""Mean correlation of the responses of a family that responses form."""


def name_source(families: str | Path) -> FamilySource:
    """Say what families are found by."""
    return "network" if families == NETWORK else "responses" if families == RESPONSES else "gene sets"


def check_families(families: str | Path) -> Path:
    """Take what is neither the network nor responses for the path of gene sets.

    Raises:
        InputError: No such file.
    """
    path = Path(families)
    if not path.is_file():
        raise InputError(
            f"Families of perturbations are found by '{NETWORK}', '{RESPONSES}' or a file of gene sets "
            f"(.gmt), but there is no file '{path}'.{nearest(str(path), (NETWORK, RESPONSES))} Name one."
        )
    return path


def find_network_families(
    perturbations: Iterable[str], edges: Edges, node_names: StringArray
) -> dict[str, str]:
    """Find communities of the network among the perturbed genes: Louvain's, at resolution 1 (Blondel, 2008).

    Two perturbations are as near as the mean score of the pairs of a gene of each; between a gene and itself
    the score is the network's largest. So combinations that share a gene are near each other.

    Args:
        perturbations: Names.
        edges: The network, in both directions.
        node_names: Genes of the nodes, (n_nodes,).

    Returns:
        Perturbation to family, which is called by the first of its members' names.
    """
    import networkx  # takes a quarter of a second, and only this needs it

    names = sorted(perturbations)  # so that their order in the data changes nothing
    nearness = _measure_nearness(names, edges, node_names)
    graph = networkx.from_scipy_sparse_array(nearness)
    found = networkx.community.louvain_communities(graph, seed=derive_seed(0, "families"))
    return _name_families([names[place] for place in sorted(members)] for members in found)


def find_set_families(
    perturbations: Iterable[str], sets: GeneSets, path: Path, aliases: Aliases
) -> dict[str, str]:
    """Put each perturbation into the smallest gene set that has any of its genes; the first of equal ones.

    Args:
        perturbations: Names.
        sets: Gene sets.
        path: File of them, for messages.
        aliases: Pairs of symbols of one gene.

    Returns:
        As `find_network_families`.

    Raises:
        InputError: The sets have none of the perturbed genes.
    """
    names = sorted(perturbations)
    perturbed = sorted({gene for name in names for gene in genes_of(name)})
    symbols = sorted({gene for genes in sets.values() for gene in genes})
    matches = match_names(symbols, perturbed, aliases)
    if not matches:
        raise InputError(
            f"Families must share genes with the data, but of the {len(symbols)} in '{path}' "
            f"({name_some(symbols, 3)}) none is perturbed ({name_some(perturbed, 3)}). Use sets of gene "
            "symbols, or give --aliases."
        )
    set_of: dict[str, int] = {}
    smallest_first = sorted(sets.values(), key=len)
    for place, genes in enumerate(smallest_first):
        for gene in genes:
            if gene in matches:
                set_of.setdefault(matches[gene], place)
    members: dict[str, list[str]] = {}
    for name in names:
        places = [set_of[gene] for gene in genes_of(name) if gene in set_of]
        members.setdefault(str(min(places)) if places else f"{name} alone", []).append(name)
    return _name_families(members.values())


def find_response_families(perturbations: Sequence[str], delta: FloatArray) -> dict[str, str]:
    """Join perturbations whose responses correlate by `LEAST_CORRELATION` on average (average linkage).

    Responses are taken as deviations from their mean: what all perturbations have in common relates none.

    Args:
        perturbations: Names, which must be of splits that are looked at together: families of test
            perturbations are known to whoever opened the test split only.
        delta: Their responses, (n_perturbations, n_genes).

    Returns:
        As `find_network_families`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(perturbations) < 2:
        return {name: name for name in perturbations}
    order = np.argsort(perturbations)
    deviation = delta[order].astype(np.float64) - delta.mean(axis=0, dtype=np.float64)
    deviation -= deviation.mean(axis=1, keepdims=True)
    length = np.linalg.norm(deviation, axis=1, keepdims=True)
    unit = np.divide(deviation, length, out=np.zeros_like(deviation), where=length > 0)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    joined = linkage(squareform(distance, checks=False), "average")
    number = fcluster(joined, 1 - LEAST_CORRELATION, "distance")
    members: dict[int, list[str]] = {}
    for place, family in zip(order.tolist(), number.tolist(), strict=True):
        members.setdefault(family, []).append(perturbations[place])
    return _name_families(members.values())


def describe_families(families: Sequence[str]) -> str:
    """Describe the families of some perturbations: how many there are, and how large."""
    sizes = sorted(np.unique(families, return_counts=True)[1].tolist(), reverse=True)
    n_alone = sizes.count(1)
    largest = f", largest {', '.join(map(str, sizes[:3]))}" if sizes[0] > 1 else ""
    return f"{len(sizes)} ({n_alone} of one perturbation{largest})"


def _measure_nearness(names: Sequence[str], edges: Edges, node_names: StringArray) -> scipy.sparse.csr_array:
    """Average the scores between the genes of two perturbations, (n_perturbations, n_perturbations)."""
    node_of = {gene: node for node, gene in enumerate(node_names.tolist())}
    n_nodes, score = len(node_names), np.asarray(edges.edge_score, dtype=np.float64)
    largest = float(score.max(initial=0)) or 1.0
    ends = (np.asarray(edges.edge_source), np.asarray(edges.edge_target))
    scores = scipy.sparse.csr_array((score / largest, ends), shape=(n_nodes, n_nodes))
    scores = scores + scipy.sparse.eye_array(n_nodes, format="csr")
    targets = [[node_of[gene] for gene in genes_of(name)] for name in names]
    rows = np.repeat(np.arange(len(names)), [len(nodes) for nodes in targets])
    share = np.concatenate([np.full(len(nodes), 1 / len(nodes)) for nodes in targets])
    average = scipy.sparse.csr_array((share, (rows, np.concatenate(targets))), shape=(len(names), n_nodes))
    nearness = scipy.sparse.triu(average @ scores @ average.T, k=1)  # each pair once, none with itself
    return scipy.sparse.csr_array(nearness)


def _name_families(families: Iterable[Collection[str]]) -> dict[str, str]:
    """Call each family by the first of its members' names."""
    return {name: min(members) for members in families for name in members}
