"""Models trained on one data set and scored on another: which genes and perturbations allow it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from adapert.comparison.fit import Fitted
from adapert.comparison.plan import ComparisonPlan
from adapert.comparison.summary import LABELS, SCORED_MEAN
from adapert.config import Config, read_sections
from adapert.data.array_tables import SharedTable
from adapert.data.gene_view import keep_genes
from adapert.data.manifest import Manifest, read_manifest
from adapert.data.prepared import PreparedDataset, check_values, read_prepared
from adapert.data.regroup import take_perturbations, without_cells
from adapert.data.schema import BoolArray, SplitName, StringArray, genes_of
from adapert.data.trial_graph import graph_nodes
from adapert.data.units import counts_per_cell, describe_units
from adapert.errors import InputError, format_count, name_some
from adapert.evaluation.predicted_files import SAME_SCALE
from adapert.models.reference.mean import MeanModel

FEWEST_GENES = 2
"""Genes without which no delta correlates with another."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What the models of one data set are asked about another, in numbers.

    Attributes:
        on: Directory of the data set that is scored.
        trained_on: Fingerprint of the data set that models are trained on.
        scored_on: Fingerprint of the data set that is scored.
        split: Its split that is scored.
        n_genes: Genes that both measure, which are scored.
        n_trained_genes: Genes that the data of the models measure.
        n_scored_genes: Genes that the scored data measure.
        n_perturbations: Perturbations of the split.
        learned_splits: Splits of the models' data whose perturbations are not scored.
        n_learned: Perturbations of the split that are left out since they are in these.
        n_unknown: Others that are left out since a gene of theirs is not in the models' graph.
        n_blank: Of the scored ones, those with a gene without edges and embeddings in the data of the models.
    """

    on: str
    trained_on: str
    scored_on: str
    split: SplitName
    n_genes: int
    n_trained_genes: int
    n_scored_genes: int
    n_perturbations: int
    learned_splits: tuple[SplitName, ...]
    n_learned: int
    n_unknown: int
    n_blank: int

    @property
    def learned(self) -> str:
        """Name the splits that are not scored: ``"training or validation split of the models' data"``."""
        words = ["training" if split == "train" else split for split in self.learned_splits]
        return f"{' or '.join(words)} split of the models' data"

    @property
    def caption(self) -> str:
        """Say under a table what it is of."""
        return (
            f"Models were trained on data {self.trained_on} and scored on data {self.scored_on}; "
            f"'{LABELS[SCORED_MEAN]}' is that of the latter's own training perturbations."
        )

    def describe(self) -> str:
        """Say in sentences what is scored, and what is left out."""
        reasons = {
            f"{self.n_learned:,} in the {self.learned}": self.n_learned,
            f"{self.n_unknown:,} of genes that the models' graph lacks": self.n_unknown,
        }
        left_out = " and ".join(reason for reason, n in reasons.items() if n)
        said = (
            f"Trained on data {self.trained_on}, scored on data {self.scored_on}: "
            f"{format_count(self.n_genes, 'gene')} measured in both, of {self.n_trained_genes:,} and "
            f"{self.n_scored_genes:,}."
        )
        if left_out:
            n = format_count(self.n_perturbations, f"{self.split} perturbation")
            said += f" Left out of {n}: {left_out}."
        if self.n_blank:
            said += (
                f" {format_count(self.n_blank, 'perturbation')} of genes without edges and embeddings in the "
                "former data: nothing tells these genes apart."
            )
        return said


@dataclass(frozen=True, kw_only=True)
class ScoredData:
    """What models are scored on.

    Attributes:
        dataset: With the split that is scored; where models are trained on other data, its genes are those
            that both measure, and its perturbations those that the models can be asked for.
        references: Predictions that the scored data alone allow.
        transfer: None where models are trained and scored on one data set.
    """

    dataset: PreparedDataset
    references: Sequence[Fitted] = ()
    transfer: Transfer | None = None


def read_scored_data(plan: ComparisonPlan, configs: Iterable[Config], dataset: PreparedDataset) -> ScoredData:
    """Read what a plan scores: a split of the data that models are trained on, or of ``plan.on``.

    Of the other data set the scored split, controls and training deltas are copied into memory, restricted to
    the genes that both measure, in the order of `dataset`. Left out are perturbations that models learn from
    in `dataset`, of a test split also those by which epochs and settings are chosen there, and perturbations
    of genes that a model's graph lacks.

    Args:
        plan: Says which.
        configs: Of all variants: their graphs must have a perturbation's genes.
        dataset: What models are trained on, with training and validation split.

    Raises:
        InputError: No other data set, the same one, one in other units, without common genes, or without a
            perturbation to score.
    """
    if plan.on is None:
        return ScoredData(dataset=dataset)
    _check_manifest(read_manifest(plan.on), dataset.manifest, plan.on)
    other = read_prepared(plan.on, {"train", plan.split})
    check_values(other)
    genes = _find_shared_genes(dataset, other, plan.on)
    names = other.splits[plan.split].table.perturbations.tolist()
    learned_splits = _learned_splits(plan)
    learned = {str(name) for split in learned_splits for name in dataset.splits[split].table.perturbations}
    known = _known_genes(dataset.shared, configs)
    new = [name for name in names if name not in learned]
    kept = [name for name in new if known.issuperset(genes_of(name))]
    blank = set(dataset.shared.node_names[_is_blank(dataset.shared)].tolist())
    transfer = Transfer(
        on=str(plan.on.resolve()),
        trained_on=dataset.fingerprint,
        scored_on=other.fingerprint,
        split=plan.split,
        n_genes=len(genes),
        n_trained_genes=dataset.n_genes,
        n_scored_genes=other.n_genes,
        n_perturbations=len(names),
        learned_splits=learned_splits,
        n_learned=len(names) - len(new),
        n_unknown=len(new) - len(kept),
        n_blank=sum(not blank.isdisjoint(genes_of(name)) for name in kept),
    )
    if not kept:
        raise _nothing_to_score(transfer)
    view = _restrict(other, plan.split, genes, kept)
    return ScoredData(dataset=view, references=[_mean_of_scored(view, kept)], transfer=transfer)


def _learned_splits(plan: ComparisonPlan) -> tuple[SplitName, ...]:
    """Name the splits of the models' data whose perturbations are not scored.

    As within one data set, validation perturbations may choose a model that is then scored on them.
    """
    is_chosen_by = plan.split == "validation" and plan.refit == "train"
    return ("train",) if is_chosen_by else ("train", "validation")


def _restrict(
    other: PreparedDataset, split: SplitName, genes: StringArray, kept: Sequence[str]
) -> PreparedDataset:
    part = other.splits[split]
    rows = np.flatnonzero(np.isin(part.table.perturbations, kept))
    # Of the training split the deltas alone are read.
    splits = {"train": without_cells(other.splits["train"]), split: take_perturbations(part, rows)}
    return keep_genes(replace(other, splits=splits), genes)


def _mean_of_scored(view: PreparedDataset, perturbations: Sequence[str]) -> Fitted:
    """Predict as the model `mean` does, of the scored data's own training split."""
    model = MeanModel()
    model.fit(view)
    return Fitted(
        variant=SCORED_MEAN,
        seed=0,
        config_digest="",
        model=model,
        predicted_delta=model.predict(perturbations),
    )


def _known_genes(shared: SharedTable, configs: Iterable[Config]) -> set[str]:
    """Name the genes that every model can be asked for."""
    names = shared.node_names
    restricted = [
        names[graph_nodes(shared, config.graph)]
        for config in configs
        if "graph" in read_sections(config.model.name)
    ]
    return set(names.tolist()).intersection(*(known.tolist() for known in restricted))


def _is_blank(shared: SharedTable) -> BoolArray:
    """Whether no network has an edge, and no source an embedding, of a gene, (n_nodes,)."""
    in_networks = [shared.has_edge(name) for name in shared.network_names.tolist()]
    embedded = [shared.vectors_of(name).has_embedding for name in shared.embedding_names.tolist()]
    is_known: BoolArray = np.any([*in_networks, *embedded], axis=0)
    return ~is_known


def _check_manifest(other: Manifest, own: Manifest, path: Path) -> None:
    if other.fingerprint == own.fingerprint:
        raise InputError(
            f"--on names other data than those that models are trained on, but both have the fingerprint "
            f"{own.fingerprint}. Leave it out, or name another data set."
        )
    units, other_units = describe_units(own), describe_units(other)
    if units != other_units:
        raise InputError(
            f"Data sets are compared in the same units, but models are trained on deltas in {units}, and "
            f"'{path}' has {other_units}. Prepare both from cells, or both from responses with the same "
            "--units."
        )
    counts, other_counts = counts_per_cell(own), counts_per_cell(other)
    if counts and other_counts and not counts / SAME_SCALE <= other_counts <= counts * SAME_SCALE:
        raise InputError(
            f"Data sets are compared on the same scale, but models are trained on cells of {counts:,.0f} "
            f"counts, and those in '{path}' have {other_counts:,.0f}. Prepare both with the same "
            "--target-sum."
        )


def _find_shared_genes(dataset: PreparedDataset, other: PreparedDataset, path: Path) -> StringArray:
    """Find the genes that both measure, in the order of the models' data, (n_shared,)."""
    own, theirs = dataset.gene_names, other.gene_names
    shared: StringArray = own[np.isin(own, theirs)]
    in_any_case = {name.upper() for name in own.tolist()} & {name.upper() for name in theirs.tolist()}
    # Human symbols are written TP53, those of the mouse Trp53: the few that agree are no common genes.
    if len(shared) < max(FEWEST_GENES, len(in_any_case) / 2):
        case = f", {len(in_any_case):,} but for their case, as of two species" if in_any_case else ""
        raise InputError(
            f"Data sets are compared on the genes that both measure, but '{path}' has {len(shared):,} of the "
            f"{len(own):,} that models are trained on{case} ({name_some(theirs.tolist(), 3)}; trained on "
            f"{name_some(own.tolist(), 3)}). Prepare both from one species, under the same symbols."
        )
    return shared


def _nothing_to_score(transfer: Transfer) -> InputError:
    return InputError(
        f"Models are scored on perturbations that they did not learn from, but of the "
        f"{format_count(transfer.n_perturbations, f'{transfer.split} perturbation')} in '{transfer.on}', "
        f"{transfer.n_learned:,} are in the {transfer.learned}, and {transfer.n_unknown:,} of genes that the "
        "models' graph lacks. Prepare the models' data with a --split-file that puts some of them into "
        "another split."
    )
