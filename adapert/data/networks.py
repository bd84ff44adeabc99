"""Networks of every form: a table of pairs, gene sets with genes in common, or embeddings that are alike."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data import row_chunks
from adapert.data.array_tables import Edges
from adapert.data.embeddings import (
    FILE_FORMS,
    Embeddings,
    align_embeddings,
    is_embedding_table,
    read_embeddings,
)
from adapert.data.formats.gene_sets import GeneSets, read_gene_sets
from adapert.data.formats.tables import read_table
from adapert.data.graph import STRING_LINKS, build_edges, find_network_info, name_network, rank_edges
from adapert.data.labels.aliases import Aliases, match_names
from adapert.data.schema import FloatArray, IntArray, StringArray
from adapert.errors import InputError, name_some

GENE_SETS_FORM = ".gmt"

LEAST_JACCARD = 0.1
"""Genes are joined where the Jaccard index of their sets is above; GEARS's own limit for GO."""

KEPT_PAIRS = 0.01
"""Share of the pairs of genes, of largest absolute cosine, that embeddings join; TxPert's of screens."""


class Network(Protocol):
    """A network as read from its file."""

    @property
    def genes(self) -> Collection[str]:
        """Symbols that it knows."""

    def connect(self, node_names: StringArray, aliases: Aliases) -> Edges:
        """Make the edges among the graph's nodes, (n_nodes,).

        Raises:
            InputError: There are none.
        """


@dataclass(frozen=True)
class PairTable:
    """Scored pairs of genes, as `adapert.data.graph.read_network` gives them."""

    table: pd.DataFrame

    @property
    def genes(self) -> Collection[str]:
        """Genes of any pair."""
        return {*self.table["gene_a"].unique(), *self.table["gene_b"].unique()}

    def connect(self, node_names: StringArray, aliases: Aliases) -> Edges:
        """Take the pairs of two nodes; see `adapert.data.graph.build_edges`."""
        return build_edges(self.table, node_names, aliases)


@dataclass(frozen=True)
class SharedSets:
    """Gene sets: two genes are as near as the sets that have them, |A n B| / |A u B|."""

    path: Path
    sets: GeneSets

    @property
    def genes(self) -> Collection[str]:
        """Genes of any set."""
        return {gene for genes in self.sets.values() for gene in genes}

    def connect(self, node_names: StringArray, aliases: Aliases) -> Edges:
        """Join nodes whose Jaccard index is above `LEAST_JACCARD`, which is the edge's score."""
        nodes = node_names.tolist()
        genes = self.genes
        matches = match_names(sorted(genes), nodes, aliases)
        if not matches:
            raise InputError(
                f"Gene sets must share genes with the data, but of the {len(genes)} in '{self.path}' "
                f"({name_some(sorted(genes), 3)}) none is among the data's {len(nodes)} "
                f"({name_some(nodes, 3)}). Use sets of gene symbols, or give --aliases."
            )
        names = sorted(set(matches.values()))
        pairs = jaccard_pairs(_memberships(self.sets, matches, names))
        if pairs.empty:
            raise InputError(
                f"Gene sets must join genes of the data, but in '{self.path}' no two of {len(names)} have a "
                f"Jaccard index above {LEAST_JACCARD:g}. Name a file of more and smaller sets, such as GO's."
            )
        return rank_edges(_named(pairs, names), nodes)


@dataclass(frozen=True)
class SimilarEmbeddings:
    """Embeddings: two genes are as near as the absolute cosine of their vectors."""

    path: Path
    embeddings: Embeddings

    @property
    def genes(self) -> Collection[str]:
        """Genes with a vector."""
        return set(self.embeddings.symbols.tolist())

    def connect(self, node_names: StringArray, aliases: Aliases) -> Edges:
        """Join the `KEPT_PAIRS` of nodes with a vector of largest absolute cosine, the edge's score."""
        # In the order of names: products of rows may differ in their last digit by where the rows stand.
        names = np.sort(node_names)
        aligned = align_embeddings(self.embeddings, names, aliases)
        has_vector = aligned.has_embedding
        pairs = similar_pairs(aligned.embedding[has_vector].astype(np.float64))
        if pairs.empty:
            raise InputError(
                f"A network must join genes of the data, but the embeddings in '{self.path}' have "
                f"{int(has_vector.sum())} of them and no two of these alike. Name a file with more genes."
            )
        return rank_edges(_named(pairs, names[has_vector].tolist()), node_names.tolist())


def read_networks(paths: Mapping[str, Path], infos: Mapping[str, Path]) -> dict[str, Network]:
    """Read networks by their names, each by the form of its file.

    Args:
        paths: ``.gmt`` of gene sets; embeddings (see `adapert.data.embeddings.read_embeddings`), which in a
            table are a symbol and numbers; or any other table (see `adapert.data.graph.read_network`).
        infos: STRING's protein info of those that need it, from `find_infos`.

    Raises:
        FileNotFoundError: No such file.
        InputError: A file that is none of these.
    """
    return {name: _read(path, infos.get(name)) for name, path in paths.items()}


def find_infos(paths: Mapping[str, Path], network_info: Path | None) -> dict[str, Path]:
    """Find STRING's protein info for each network that needs it.

    A file that is named is that of the only table, or of each that is called as STRING's links are.

    Raises:
        FileNotFoundError: No such file.
        InputError: STRING's links without an info file in their folder, or a file for no network.
    """
    tables = [name for name, path in paths.items() if _form(path) not in (GENE_SETS_FORM, *FILE_FORMS)]
    strings = [name for name in tables if STRING_LINKS.match(paths[name].name)]
    named = tables if len(tables) == 1 else strings
    if network_info is not None and not named:
        raise InputError(
            f"--network-info names the proteins of STRING's links, but none of the networks is such a file: "
            f"{name_some(str(path) for path in paths.values())}. Leave it out."
        )
    found = {name: find_network_info(paths[name], network_info if name in named else None) for name in tables}
    return {name: info for name, info in found.items() if info is not None}


def jaccard_pairs(memberships: scipy.sparse.csr_array) -> pd.DataFrame:
    """Find the pairs of genes that share more than `LEAST_JACCARD` of their sets.

    Args:
        memberships: 1 where a gene is in a set, (n_genes, n_sets).

    Returns:
        Columns ``first`` and ``second``, rows of `memberships`, of which the first is lower, and ``score``.
    """
    n_sets = np.asarray(memberships.sum(axis=1))
    transposed = scipy.sparse.csr_array(memberships.T)
    parts = []
    for start, stop in _chunks(memberships.shape[0]):
        shared = scipy.sparse.coo_array(memberships[start:stop] @ transposed)
        first, second = shared.row + start, shared.col
        jaccard = shared.data / (n_sets[first] + n_sets[second] - shared.data)
        is_kept = (second > first) & (jaccard > LEAST_JACCARD)
        parts.append(_frame(first[is_kept], second[is_kept], jaccard[is_kept]))
    return pd.concat(parts, ignore_index=True)


def similar_pairs(rows: FloatArray) -> pd.DataFrame:
    """Find the `KEPT_PAIRS` of all pairs of unit rows of largest absolute cosine, and all like the last.

    Args:
        rows: (n_genes, size).

    Returns:
        As `jaccard_pairs`; no pair of cosine 0.
    """
    n_wanted = max(1, round(KEPT_PAIRS * len(rows) * (len(rows) - 1) / 2))
    pairs, scores = np.empty((2, 0), dtype=np.int64), np.empty(0, dtype=np.float32)
    for start, stop in _chunks(len(rows)):
        # float32, so that equal pairs stay equal whatever the order of a product's sums.
        cosine = np.abs(rows[start:stop] @ rows.T).astype(np.float32)
        is_pair = np.arange(len(rows)) > np.arange(start, stop)[:, None]
        first, second = np.nonzero(is_pair & (cosine > 0) & (cosine >= _least(scores, n_wanted)))
        pairs = np.concatenate([pairs, [first + start, second]], axis=1)
        scores = np.concatenate([scores, cosine[first, second]])
        is_kept = scores >= _least(scores, n_wanted)
        pairs, scores = pairs[:, is_kept], scores[is_kept]
    return _frame(pairs[0], pairs[1], scores)


def _least(scores: FloatArray, n_wanted: int) -> float:
    """Score that a pair must reach to be among the best."""
    if len(scores) < n_wanted:
        return 0.0
    return float(np.partition(scores, len(scores) - n_wanted)[len(scores) - n_wanted])


def _read(path: Path, info: Path | None) -> Network:
    form = _form(path)
    if form == GENE_SETS_FORM:
        return SharedSets(path, read_gene_sets(path))
    if form in FILE_FORMS:
        return SimilarEmbeddings(path, read_embeddings(path))
    table = read_table(path, "The network")
    if is_embedding_table(table):
        return SimilarEmbeddings(path, read_embeddings(path))
    return PairTable(name_network(table, path, info))


def _form(path: Path) -> str:
    return PurePath(path.name.casefold().removesuffix(".gz")).suffix


def _memberships(sets: GeneSets, matches: Mapping[str, str], names: list[str]) -> scipy.sparse.csr_array:
    row_of = {name: row for row, name in enumerate(names)}
    places = {
        (row_of[matches[gene]], column)
        for column, genes in enumerate(sets.values())
        for gene in genes
        if gene in matches
    }
    rows, columns = np.array(sorted(places)).T
    ones = np.ones(len(places), dtype=np.int32)
    return scipy.sparse.csr_array((ones, (rows, columns)), shape=(len(names), len(sets)))


def _chunks(n_rows: int) -> Iterator[tuple[int, int]]:
    """Rows whose products with all rows are in memory at once."""
    step = max(1, row_chunks.VALUES_AT_ONCE // max(n_rows, 1))
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


def _frame(first: IntArray, second: IntArray, score: FloatArray) -> pd.DataFrame:
    return pd.DataFrame({"first": first, "second": second, "score": score})


def _named(pairs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    symbols = np.array(names, dtype=object)
    return pd.DataFrame(
        {"a": symbols[pairs["first"]], "b": symbols[pairs["second"]], "score": pairs["score"].to_numpy()}
    )
