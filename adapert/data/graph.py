"""The gene network: read from a table, STRING's files or BioGRID's, restricted to the graph's nodes."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from adapert.data.array_tables import Edges
from adapert.data.formats.tables import read_table, require_file
from adapert.data.labels.aliases import Aliases, match_names
from adapert.data.schema import StringArray
from adapert.errors import InputError, format_count, name_some

_LOGGER = logging.getLogger(__name__)

FIRST_GENE_COLUMNS = ("gene_a", "gene_1", "gene1", "source", "protein1", "node1", "from")
SECOND_GENE_COLUMNS = ("gene_b", "gene_2", "gene2", "target", "protein2", "node2", "to")
SCORE_COLUMNS = ("score", "combined_score", "confidence", "weight", "importance")
BIOGRID_COLUMNS = ("official symbol interactor a", "official symbol interactor b")

STRING_LINKS = re.compile(r"(.+)\.protein\.(?:physical\.)?links\.(?:detailed\.|full\.)?(v\d+(?:\.\d+)*)?")
"""Name of a file of STRING's links: species and version."""

PROTEIN = re.compile(r"\d{3,}\.\S+|ENS[A-Z]*P\d+(\.\d+)?")
SPECIES = re.compile(r"(\d+)\.")
PROTEIN_ID_COLUMNS = ("string_protein_id", "protein_external_id")
"""STRING's proteins, the species before one, and the column of its info files: now, and up to 11.0."""


def find_network_info(path: Path, network_info: Path | None) -> Path | None:
    """Find the ``*.protein.info.*`` that gives STRING's proteins their symbols, named or beside the links.

    Only STRING's ``*.protein.links.*`` and ``*.protein.physical.links.*`` need it; else ``None``.

    Raises:
        FileNotFoundError: No such file.
        InputError: STRING's links without an info file in their folder.
    """
    if network_info is not None:
        require_file(network_info, "STRING's protein info")
        return network_info
    require_file(path, "The network")
    links = STRING_LINKS.match(path.name)
    if not links:
        return None
    prefix, version = links.groups()
    found = sorted(path.parent.glob(f"{prefix}.protein.info.*"))
    if not found:
        raise InputError(
            f"STRING's links name proteins, but no '{prefix}.protein.info.*' is in the folder of '{path}'. "
            "Download it too, or name it with --network-info."
        )
    return next((info for info in found if f".{version}." in info.name), found[-1])


def read_network(path: Path, network_info: Path | None = None) -> pd.DataFrame:
    """Read a network as pairs of gene symbols with a score.

    Args:
        path: Table with a header of usual names (such as ``gene_a gene_b score``), or whose first
            three columns are these; STRING's ``*.protein.links.*``; or BioGRID's ``tab2`` or ``tab3``,
            of which a pair's score is the number of its lines.
        network_info: STRING's ``*.protein.info.*``, from `find_network_info`; ``None`` for a table
            of gene symbols.

    Returns:
        Columns ``gene_a``, ``gene_b``, ``score``; a row for each line of the file.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not such a table, scores that are no numbers from 0 up or of two scales, or
            proteins without their symbols.
    """
    return name_network(read_table(path, "The network"), path, network_info)


def name_network(table: pd.DataFrame, path: Path, network_info: Path | None) -> pd.DataFrame:
    """Find genes and scores in a network's table, and name STRING's proteins; see `read_network`."""
    if table.shape[1] < 3:
        raise InputError(
            f"The network must have two genes and a score in each line, but '{path}' has only "
            f"{table.shape[1]} of these three columns. Add a column of scores."
        )
    network = _choose_columns(table)
    if network_info is not None:
        network = _name_genes(network, path, network_info)
    elif network["gene_a"].iloc[:100].str.fullmatch(PROTEIN).all():
        raise InputError(
            f"The network must name genes by symbol, but '{path}' has proteins such as "
            f"'{network['gene_a'].iloc[0]}'. Name STRING's '*.protein.info.*' with --network-info."
        )
    _check_scores(network["score"], path)
    return network


def build_edges(network: pd.DataFrame, node_names: StringArray, aliases: Aliases) -> Edges:
    """Restrict a network to the graph's nodes, in both directions, and rank each node's edges.

    Of repeated pairs the highest score counts; self-loops are dropped. Ties of score are ranked by
    the source gene's name, so neither the order of nodes, (n_nodes,), nor that of edges makes a difference.

    Raises:
        InputError: The network connects none of the nodes.
    """
    nodes = node_names.tolist()
    genes = pd.unique(pd.concat([network["gene_a"], network["gene_b"]])).tolist()
    names = match_names(genes, nodes, aliases)
    pairs = pd.DataFrame(
        {"a": network["gene_a"].map(names), "b": network["gene_b"].map(names), "score": network["score"]}
    ).dropna()
    is_loop = pairs["a"] == pairs["b"]
    pairs = pairs.loc[~is_loop]
    if pairs.empty:
        cure = "Use a network of gene symbols, or give --aliases."
        if {gene.casefold() for gene in genes} & {node.casefold() for node in nodes}:
            cure = (
                "They differ in case, as between species (mouse 'Klf1'): use the network of the data's "
                "species."
            )
        raise InputError(
            f"The network must connect genes of the data, but of its {len(genes)} genes "
            f"({name_some(genes, 3)}) {len(names)} are among the data's {len(nodes)} "
            f"({name_some(nodes, 3)}), and no edge joins two of these. {cure}"
        )
    if is_loop.any():
        _LOGGER.info(f"{format_count(is_loop.sum(), 'edge')} of a gene with itself, left out")
    return rank_edges(pairs, nodes)


def rank_edges(pairs: pd.DataFrame, nodes: Sequence[str]) -> Edges:
    """Take pairs of nodes in both directions, and rank each node's edges; see `build_edges`.

    Args:
        pairs: Columns ``a`` and ``b``, two different nodes, and ``score``.
        nodes: The graph's nodes.
    """
    reversed_pairs = pairs.rename(columns={"a": "b", "b": "a"})
    scores = pd.concat([pairs, reversed_pairs]).groupby(["a", "b"])["score"]
    n_unequal = int((scores.max() > scores.min()).sum()) // 2
    if n_unequal:
        _LOGGER.info(f"{format_count(n_unequal, 'pair')} of genes with several scores: the highest counts")
    both = scores.max().reset_index()
    node_index = {name: index for index, name in enumerate(nodes)}
    both["source"], both["target"] = both["a"].map(node_index), both["b"].map(node_index)
    both = both.sort_values(["target", "score", "a"], ascending=[True, False, True])
    return Edges(
        edge_source=both["source"].to_numpy(np.int32),
        edge_target=both["target"].to_numpy(np.int32),
        edge_score=both["score"].to_numpy(np.float32),
        edge_rank=both.groupby("target").cumcount().to_numpy(np.int32),
    )


def _choose_columns(table: pd.DataFrame) -> pd.DataFrame:
    by_lower = {str(column).casefold().lstrip("#").strip(): column for column in table.columns}
    if all(name in by_lower for name in BIOGRID_COLUMNS):
        return _count_lines(table[[by_lower[name] for name in BIOGRID_COLUMNS]])
    usual = (FIRST_GENE_COLUMNS, SECOND_GENE_COLUMNS, SCORE_COLUMNS)
    named = [next((by_lower[name] for name in names if name in by_lower), None) for names in usual]
    columns = list(table.columns[:3]) if None in named else named
    network = table[columns].set_axis(["gene_a", "gene_b", "score"], axis=1)
    scores = pd.to_numeric(network["score"], errors="coerce")
    return network.assign(
        gene_a=_symbols(network["gene_a"]), gene_b=_symbols(network["gene_b"]), score=scores
    )


def _symbols(column: "pd.Series[str]") -> "pd.Series[str]":
    return column.astype(str).str.strip()


def _count_lines(pairs: pd.DataFrame) -> pd.DataFrame:
    """Give BioGRID's pairs the number of their lines: its scores are of many kinds, and mostly missing."""
    network = pairs.set_axis(["gene_a", "gene_b"], axis=1).apply(_symbols)
    first, second = network.min(axis=1), network.max(axis=1)
    _LOGGER.info("the network is BioGRID's: a pair's score is the number of its lines")
    return network.assign(score=network.groupby([first, second])["gene_a"].transform("size").astype(float))


def _check_scores(scores: "pd.Series[float]", path: Path) -> None:
    n_bad = int((~np.isfinite(scores) | (scores < 0)).sum())
    if n_bad:
        raise InputError(
            f"A network's scores must be numbers from 0 up, but {n_bad} of {len(scores)} in '{path}' are "
            "not. Correct or remove them."
        )
    # STRING has 0.7 on its pages and 700 in its files, so that a table put together by hand may mix them.
    is_fraction = (scores > 0) & (scores < 1)
    is_thousandth = (scores >= 100) & (scores <= 1000) & (scores % 1 == 0)
    if is_fraction.any() and is_thousandth.any() and (is_fraction | is_thousandth | (scores <= 1)).all():
        raise InputError(
            f"A network's scores must be on one scale, but of those in '{path}' {int(is_fraction.sum()):,} "
            f"lie between 0 and 1 and {int(is_thousandth.sum()):,} between 100 and 1000. Multiply the former "
            "by 1000."
        )


def _name_genes(network: pd.DataFrame, path: Path, network_info: Path) -> pd.DataFrame:
    """Give STRING's proteins their symbols; drop edges of proteins that have none."""
    symbols = _read_string_symbols(network_info)
    links = pd.concat([network["gene_a"], network["gene_b"]]).unique().tolist()
    species, known_species = _species(links), _species(symbols)
    if not species or not known_species:  # files without '9606.' before the protein
        symbols = {SPECIES.sub("", protein, 1): symbol for protein, symbol in symbols.items()}
        proteins = {name: symbols.get(SPECIES.sub("", name, 1)) for name in links}
    else:
        proteins = {name: symbols.get(name) for name in links}
    named = network.assign(gene_a=network["gene_a"].map(proteins), gene_b=network["gene_b"].map(proteins))
    named = named.dropna(subset=["gene_a", "gene_b"])
    if named.empty:
        of_species = f" (species {name_some(species)})" if species else ""
        of_info = f" (species {name_some(known_species)})" if known_species else ""
        raise InputError(
            f"STRING's protein info must name the network's proteins, but '{network_info}'{of_info} has "
            f"none of the pairs in '{path}'{of_species}, such as {name_some(links[:2])}. Use the two "
            "files of one species and version, or leave out --network-info for a network of symbols."
        )
    if len(named) < len(network):
        _LOGGER.info(
            f"{len(network) - len(named):,} of {format_count(len(network), 'edge')} of proteins without a "
            f"symbol in '{network_info.name}', left out"
        )
    return named


def _species(proteins: Iterable[str]) -> list[str]:
    """Species of STRING's proteins, such as 9606; none where they come without."""
    return sorted({found[1] for protein in proteins if (found := SPECIES.match(protein))})


def _read_string_symbols(path: Path) -> dict[str, str]:
    table = read_table(path, "STRING's protein info")
    by_lower = {str(column).lstrip("#"): column for column in table.columns}
    identity = next((name for name in PROTEIN_ID_COLUMNS if name in by_lower), None)
    if identity is None or "preferred_name" not in by_lower:
        raise InputError(
            f"STRING's protein info must have the columns '{PROTEIN_ID_COLUMNS[0]}' and 'preferred_name', "
            f"but '{path}' has {name_some(map(str, table.columns))}. Name its '*.protein.info.*' with "
            "--network-info."
        )
    proteins = table[by_lower[identity]].astype(str)
    return dict(zip(proteins, _symbols(table[by_lower["preferred_name"]]), strict=True))
