"""The meaning of a data file's labels: names, counts and examples, to print and to record."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from adapert.data.labels.rule import LEFT_OUT, LabelRule, Reading, Reason, guide_target
from adapert.data.labels.spellings import Spellings
from adapert.data.labels.words import SYMBOL_FORM, is_date, strip_blanks
from adapert.data.schema import CONTROL, GENE_SEPARATOR, StringArray, genes_of, is_combination
from adapert.errors import InputError, format_count, name_some, nearest

_LOGGER = logging.getLogger(__name__)

N_RECORDED = 20
"""Examples of each kind that a manifest keeps."""

N_SHOWN = 3
"""Examples of each kind that a line shows."""

DATE_CURE = (
    "a spreadsheet has made dates of them; pair each with its symbol in a table for --aliases ('1-Mar' may "
    "have been MARCHF1 or MTARC1)"
)


@dataclass(frozen=True, kw_only=True)
class Understood:
    """The meaning of each label.

    Attributes:
        readings: Reading of each label as it is written, sorted by label.
        names: Canonical name of each: genes joined by ``+``, `CONTROL` or `LEFT_OUT`.
        n_rows: Rows (cells, or rows of a response table) under each label.
        missing: What rows without a label are.
        n_missing: Rows without a label.
    """

    readings: Mapping[str, Reading]
    names: Mapping[str, str]
    n_rows: Mapping[str, int]
    missing: Reading
    n_missing: int

    def names_of(self, labels: "pd.Series[str]") -> StringArray:
        """Give each row's canonical name, (n_rows,)."""
        return labels.map(self.names).where(labels.notna(), self.missing.name).to_numpy(dtype=str)

    @cached_property
    def labels_of(self) -> dict[str, list[str]]:
        """The different labels of each perturbation; blanks make no difference."""
        found: dict[str, set[str]] = {}
        for label, name in self.names.items():
            if name not in (CONTROL, LEFT_OUT):
                found.setdefault(name, set()).add(strip_blanks(label))
        return {name: sorted(labels) for name, labels in sorted(found.items())}

    @cached_property
    def guides(self) -> dict[str, list[str]]:
        """Labels of the perturbations that have several, guides among them."""
        of_guides = {self.names[label] for label, reading in self.readings.items() if reading.is_guide}
        several = {name: labels for name, labels in self.labels_of.items() if len(labels) > 1}
        return {name: labels for name, labels in several.items() if name in of_guides}

    @cached_property
    def reinterpreted(self) -> dict[str, str]:
        """Name of each label that is not what it stands for by itself: what a fingerprint has to cover."""
        return {
            label: name
            for label, name in self.names.items()
            if sorted(label.split(GENE_SEPARATOR)) != list(genes_of(name))
        }

    @cached_property
    def changed(self) -> dict[str, str]:
        """As `reinterpreted`, of perturbations alone."""
        return {label: name for label, name in self.reinterpreted.items() if name not in (CONTROL, LEFT_OUT)}

    @property
    def n_left_out(self) -> dict[Reason, int]:
        """Rows that are left out, by reason."""
        counts: dict[Reason, int] = {}
        for reading, n_rows in self._all_rows():
            if reading.left_out is not None and n_rows:
                counts[reading.left_out] = counts.get(reading.left_out, 0) + n_rows
        return counts

    @property
    def n_controls(self) -> int:
        """Rows of controls."""
        return sum(n_rows for reading, n_rows in self._all_rows() if reading.is_control)

    def _all_rows(self) -> Iterator[tuple[Reading, int]]:
        for label, reading in self.readings.items():
            yield reading, self.n_rows[label]
        yield self.missing, self.n_missing

    def record(self) -> dict[str, Any]:
        """Give counts and examples as a manifest keeps them."""
        return {
            "perturbations": len(self.labels_of),
            "combinations": sum(map(is_combination, self.labels_of)),
            "controls": self.n_controls,
            "control_labels": self._labels("controls")[:N_RECORDED],
            "left_out": dict(self.n_left_out),
            "left_out_labels": [
                label for label, reading in self.readings.items() if reading.left_out is not None
            ][:N_RECORDED],
            "grouped_guides": sum(map(len, self.guides.values())),
            "read_otherwise": len(self.changed),
            "examples": dict(list(self.changed.items())[:N_RECORDED]),
        }

    def notes(self, row: str) -> Iterator[str]:
        """Describe what was understood, one line each; `row` is the word for a row, such as ``"cell"``."""
        if self.n_controls:
            labels = name_some(self._labels("controls"), N_SHOWN)
            yield f"controls: {format_count(self.n_controls, row)} ({labels or 'without a label'})"
        for reason, n_rows in self.n_left_out.items():
            labels = name_some(self._labels(reason), N_SHOWN)
            yield f"left out: {format_count(n_rows, row)} {reason}{f' ({labels})' if labels else ''}"
        if self.changed:
            yield f"labels read as genes: {len(self.changed):,} ({_show(self.changed)})"
        if self.guides:
            n_guides = sum(map(len, self.guides.values()))
            name, guides = next(iter(self.guides.items()))
            yield (
                f"guides grouped: {n_guides:,} into {format_count(len(self.guides), 'perturbation')} "
                f"({name_some(guides, N_SHOWN)} into '{name}')"
            )
        other_case = {label: self.names[label] for label, r in self.readings.items() if r.is_other_case}
        if other_case:
            yield f"labels known in another case only: {len(other_case):,} ({_show(other_case)})"
        joined = {
            label: self.names[label] for label, r in self.readings.items() if self.names[label] != r.name
        }
        if joined:
            yield f"labels of one gene in another spelling: {len(joined):,} ({_show(joined)})"
        dates = [
            label for label, r in self.readings.items() if is_date(strip_blanks(label)) and not r.is_known
        ]
        if dates:
            yield f"labels that are dates: {len(dates)} ({name_some(dates, N_SHOWN)}); {DATE_CURE}"

    def _labels(self, kind: Reason | Literal["controls"]) -> list[str]:
        return [
            label
            for label, reading in self.readings.items()
            if ("controls" if reading.is_control else reading.left_out) == kind
        ]


def understand(labels: "pd.Series[str]", rule: LabelRule) -> Understood:
    """Read a column of labels, some of which may be missing; spellings of the same genes get one name.

    Raises:
        InputError: An alias table that pairs different perturbed genes.
    """
    counts = labels.value_counts()
    readings = {label: rule.read(label) for label in sorted(counts.index)}
    unknown = _find_unknown_genes(readings)
    if unknown:
        rule = rule.with_genes({*rule.measured, *unknown}, rule.gene_ids)
        readings = {label: rule.read(label) for label in readings}
    known, measured = frozenset(rule.known_genes), frozenset(rule.measured)
    spellings = Spellings(
        (gene for reading in readings.values() for gene in reading.genes),
        rule.aliases,
        rank=lambda gene: 0 if gene in measured else 1 if gene in known else 2,
    )
    return Understood(
        readings=readings,
        names={
            label: spellings.name_of(reading.genes) if reading.genes else reading.name
            for label, reading in readings.items()
        },
        n_rows={str(label): int(number) for label, number in counts.items()},
        missing=rule.read(None),
        n_missing=int(labels.isna().sum()),
    )


def understand_column(
    labels: "pd.Series[str]", rule: LabelRule, where: str, row: str, apart_cure: str | None
) -> Understood:
    """Read a file's labels with `understand`, refuse what cannot be right, and tell what was understood.

    Args:
        labels: A row each.
        rule: To read them by, with the file's genes.
        where: Name of their column in messages.
        row: Word for a row, such as ``"cell"``.
        apart_cure: Cure where guides of one gene are apart; ``None`` where they are to be grouped.

    Raises:
        InputError: A control that no label matches, guides apart, or no gene that network or text know.
    """
    require_controls({strip_blanks(label) for label in set(labels.dropna())}, rule, where)
    understood = understand(labels, rule)
    if apart_cure is not None:
        refuse_apart(understood.guides, apart_cure)
    for line in understood.notes(row):
        _LOGGER.info(line)
    # Already here, before any value is read; again once it is known which genes the graph has.
    check_covered(understood.names, rule.known_genes, is_warned=False)
    return understood


def _find_unknown_genes(readings: Mapping[str, Reading]) -> set[str]:
    """Find genes that only the labels know: other labels may name them too.

    Names of guides count where other labels are guides of known genes; they tell what they target.
    """
    has_guides = any(reading.is_guide and reading.genes for reading in readings.values())
    genes = set()
    for label, reading in readings.items():
        for part in () if reading.is_known else map(strip_blanks, label.split(GENE_SEPARATOR)):
            gene = (guide_target(part) if has_guides else None) or part
            if SYMBOL_FORM.fullmatch(gene) and not is_date(gene):
                genes.add(gene)
    return genes


def note_dates(symbols: StringArray, rule: LabelRule) -> None:
    """Warn of gene symbols that are dates and have no alias."""
    dates = [name for name in np.unique(symbols).tolist() if is_date(name) and name not in rule.known_genes]
    if dates:
        _LOGGER.warning(
            f"gene symbols that are dates: {len(dates)} ({name_some(dates, N_SHOWN)}); {DATE_CURE}"
        )


def note_rare(perturbations: Sequence[str], min_cells: int) -> None:
    """Tell which perturbations are left out since they have too few cells."""
    if perturbations:
        _LOGGER.info(
            f"perturbations with fewer than {format_count(min_cells, 'cell')}, left out: "
            f"{len(perturbations)} ({name_some(perturbations)})"
        )


def check_covered(names: Mapping[str, str], covered: Collection[str], *, is_warned: bool = True) -> None:
    """Refuse data in which network and text distinguish no perturbations; warn where they miss over half.

    `names` has the canonical name of each label, `covered` the genes that network or text know.

    Raises:
        InputError: None of the perturbed genes is known.
    """
    perturbations = {label: name for label, name in names.items() if name not in (CONTROL, LEFT_OUT)}
    perturbed = {gene for name in perturbations.values() for gene in genes_of(name)}
    known = perturbed.intersection(covered)
    n_known = len(known)
    if n_known >= len(perturbed) / 2:
        return
    unknown = {
        label: name for label, name in perturbations.items() if not set(genes_of(name)) <= set(covered)
    }
    cure = (
        "Name the column of gene symbols with --perturbation-column, labels of unperturbed cells with "
        "--control, or pair what stands there with symbols in a table for --aliases."
    )
    if not n_known:
        raise InputError(
            "Network or text must know perturbed genes, since nothing else tells perturbations apart, but "
            f"they know none of {len(perturbed)}: {_show(unknown)}. {cure}"
        )
    if is_warned:
        _LOGGER.warning(
            f"network and text know only {n_known} of {len(perturbed)} perturbed genes, and nothing tells "
            f"the others apart: {_show(unknown)}. {cure}"
        )


def require_controls(labels: Collection[str], rule: LabelRule, where: str) -> None:
    """Refuse a control of the rule that matches none of a column's labels.

    Raises:
        InputError: One that matches none.
    """
    for control in rule.controls:
        if not any(label == control or fnmatchcase(label, control) for label in labels):
            raise InputError(
                f"--control must be a label in {where}, but '{control}' is not."
                f"{nearest(control, labels)} Its labels are {name_some(sorted(labels))}."
            )


def refuse_apart(guides: Mapping[str, Sequence[str]], cure: str) -> None:
    """Refuse `Understood.guides`, which would be perturbations of their own, with the cure.

    Raises:
        InputError: There are some.
    """
    if guides:
        name, labels = next(iter(guides.items()))
        more = f", and {len(guides) - 1:,} more perturbations have several" if len(guides) > 1 else ""
        raise InputError(
            "Guides of one gene must be one perturbation, or a gene is in training and test alike, but "
            f"'{name}' has the labels {name_some(labels)}{more}. {cure}"
        )


def _show(names: Mapping[str, str]) -> str:
    shown = [
        f"'{label}'" if label == name else f"'{label}' as '{name}'"
        for label, name in list(names.items())[:N_SHOWN]
    ]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")
