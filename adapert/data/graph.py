"""The gene network: read from a table or from STRING's files, restricted to the graph's nodes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from adapert.data.aliases import Aliases, match_names
from adapert.data.schema import FloatArray, IntArray, StringArray
from adapert.data.tables import read_table, require_file
from adapert.errors import InputError, name_some

FIRST_GENE_COLUMNS = ("gene_a", "gene_1", "gene1", "source", "protein1", "node1", "from")
SECOND_GENE_COLUMNS = ("gene_b", "gene_2", "gene2", "target", "protein2", "node2", "to")
SCORE_COLUMNS = ("score", "combined_score", "confidence", "weight", "importance")


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Edges of the graph by node number, sorted by target, then rank; as in `SharedTable`.

    Attributes:
        edge_source: Node an edge comes from, (n_edges,).
        edge_target: Node an edge goes into, (n_edges,); both directions of each pair are present.
        edge_score: The network's confidence, (n_edges,).
        edge_rank: 0 for the best edge into its target, then 1, ..., (n_edges,).
    """

    edge_source: IntArray
    edge_target: IntArray
    edge_score: FloatArray
    edge_rank: IntArray


def find_network_info(path: Path, network_info: Path | None) -> Path | None:
    """Find the file that gives STRING's proteins their gene symbols.

    Args:
        path: The network; only STRING's ``*.protein.links.*`` needs the other file.
        network_info: ``*.protein.info.*`` as the user names it; ``None`` to look beside the links.

    Raises:
        FileNotFoundError: No such file.
        InputError: STRING's links with no info file beside them.
    """
    if network_info is not None:
        require_file(network_info, "STRING's protein info")
        return network_info
    require_file(path, "The network")
    prefix, links, _ = path.name.partition(".protein.links.")
    if not links:
        return None
    found = sorted(path.parent.glob(f"{prefix}.protein.info.*"))
    if not found:
        raise InputError(
            f"STRING's links name proteins, but no '{prefix}.protein.info.*' lies beside '{path}'. "
            "Download it too, or name it with --network-info."
        )
    return found[-1]


def read_network(path: Path, network_info: Path | None = None) -> pd.DataFrame:
    """Read a network as pairs of gene symbols with a score.

    Args:
        path: Table with a header of usual names (such as ``gene_a gene_b score``), or whose first
            three columns are these; or STRING's ``*.protein.links.*``.
        network_info: STRING's ``*.protein.info.*``, from `find_network_info`; ``None`` for a table
            of gene symbols.

    Returns:
        Columns ``gene_a``, ``gene_b``, ``score``; a row for each line of the file.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not such a table, or scores that are no numbers from 0 up.
    """
    table = read_table(path, "The network")
    if table.shape[1] < 3:
        raise InputError(
            f"The network must have two genes and a score in each line, but '{path}' has only "
            f"{table.shape[1]} of these three columns. Add a column of scores."
        )
    network = _choose_columns(table)
    if network_info is not None:
        symbols = _read_string_symbols(network_info)
        network["gene_a"] = network["gene_a"].map(symbols)
        network["gene_b"] = network["gene_b"].map(symbols)
        network = network.dropna(subset=["gene_a", "gene_b"])
    n_bad = int((~np.isfinite(network["score"]) | (network["score"] < 0)).sum())
    if n_bad:
        raise InputError(
            f"A network's scores must be numbers from 0 up, but {n_bad} of {len(network)} in '{path}' are "
            "not. Correct or remove them."
        )
    return network


def build_edges(network: pd.DataFrame, node_names: StringArray, aliases: Aliases) -> Edges:
    """Restrict a network to the graph's nodes, in both directions, and rank each node's edges.

    Of repeated pairs the highest score counts; self-loops are dropped. Ties of score are ranked by
    the source gene's name, so neither the order of nodes nor that of edges makes a difference.

    Args:
        network: From `read_network`.
        node_names: Genes of the graph, (n_nodes,).
        aliases: Other names of a symbol.

    Raises:
        InputError: The network connects none of the nodes.
    """
    nodes = node_names.tolist()
    genes = pd.unique(pd.concat([network["gene_a"], network["gene_b"]])).tolist()
    names = match_names(genes, nodes, aliases)
    pairs = pd.DataFrame(
        {"a": network["gene_a"].map(names), "b": network["gene_b"].map(names), "score": network["score"]}
    ).dropna()
    pairs = pairs.loc[pairs["a"] != pairs["b"]]
    if pairs.empty:
        raise InputError(
            f"The network must connect genes of the data, but of its {len(genes)} genes "
            f"({name_some(genes, 3)}) {len(names)} are among the data's {len(nodes)} "
            f"({name_some(nodes, 3)}), and no edge joins two of these. "
            "Use a network of gene symbols, or give --aliases."
        )
    reversed_pairs = pairs.rename(columns={"a": "b", "b": "a"})
    both = pd.concat([pairs, reversed_pairs]).groupby(["a", "b"])["score"].max().reset_index()
    return _rank_edges(both, {name: index for index, name in enumerate(nodes)})


def _rank_edges(pairs: pd.DataFrame, node_index: dict[str, int]) -> Edges:
    pairs["source"] = pairs["a"].map(node_index)
    pairs["target"] = pairs["b"].map(node_index)
    pairs = pairs.sort_values(["target", "score", "a"], ascending=[True, False, True])
    return Edges(
        edge_source=pairs["source"].to_numpy(np.int32),
        edge_target=pairs["target"].to_numpy(np.int32),
        edge_score=pairs["score"].to_numpy(np.float32),
        edge_rank=pairs.groupby("target").cumcount().to_numpy(np.int32),
    )


def _choose_columns(table: pd.DataFrame) -> pd.DataFrame:
    by_lower = {str(column).casefold().lstrip("#"): column for column in table.columns}
    usual = (FIRST_GENE_COLUMNS, SECOND_GENE_COLUMNS, SCORE_COLUMNS)
    named = [next((by_lower[name] for name in names if name in by_lower), None) for names in usual]
    columns = list(table.columns[:3]) if None in named else named
    network = table[columns].set_axis(["gene_a", "gene_b", "score"], axis=1)
    scores = pd.to_numeric(network["score"], errors="coerce")
    return network.astype({"gene_a": str, "gene_b": str}).assign(score=scores)


def _read_string_symbols(path: Path) -> dict[str, str]:
    table = read_table(path, "STRING's protein info")
    by_lower = {str(column).lstrip("#"): column for column in table.columns}
    if "string_protein_id" not in by_lower or "preferred_name" not in by_lower:
        raise InputError(
            "STRING's protein info must have the columns 'string_protein_id' and 'preferred_name', "
            f"but '{path}' has {name_some(map(str, table.columns))}."
        )
    proteins = table[by_lower["string_protein_id"]].astype(str)
    return dict(zip(proteins, table[by_lower["preferred_name"]].astype(str), strict=True))
