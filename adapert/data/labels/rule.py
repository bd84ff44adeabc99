"""Perturbation labels as the field writes them, read by one rule."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal, TypeAlias

from adapert.data.labels.aliases import Aliases
from adapert.data.labels.words import (
    ENSEMBL_ID,
    GUIDE_FORMS,
    NUMBERED_FORM,
    ROW_FORM,
    SEPARATORS,
    SYMBOL_FORM,
    is_control_word,
    is_date,
    is_missing_word,
    is_unassigned_word,
    strip_blanks,
)
from adapert.data.schema import CONTROL, GENE_SEPARATOR

LEFT_OUT = ""
"""Canonical label of cells that are neither perturbed nor controls."""

LONGEST_GUIDE = 100
"""Most letters of a guide's or a row's name: matching the forms takes long on long labels."""

Reason: TypeAlias = Literal["without a label", "not assigned to a perturbation", "under another control word"]
"""Why a label is left out."""

NO_LABEL: Reason = "without a label"
UNASSIGNED: Reason = "not assigned to a perturbation"
OTHER_CONTROL: Reason = "under another control word"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The meaning of a label: genes, controls, or nothing that is used.

    Attributes:
        genes: Sorted, each once.
        is_control: Whether it names unperturbed cells.
        left_out: Why it is left out.
        is_known: Whether data, network or text know all its genes.
        is_guide: Whether it names a guide, a plasmid or a promoter as well as the gene.
        is_other_case: Whether a gene was found in another case only.
    """

    genes: tuple[str, ...] = ()
    is_control: bool = False
    left_out: Reason | None = None
    is_known: bool = True
    is_guide: bool = False
    is_other_case: bool = False

    @property
    def name(self) -> str:
        """`CONTROL`, `LEFT_OUT`, or the genes joined by ``+``."""
        return CONTROL if self.is_control else GENE_SEPARATOR.join(self.genes)


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """The one rule by which labels of cells, of responses, of split lists and of predictions are read.

    A label is taken for the first of these that it is: no label; a control; a cell without an
    assignment; a gene (as it stands, by its Ensembl number, in another case); several of all these
    (``KLF1+ctrl``); a guide of such (``A2M_1``); and else the name of something unknown.

    Attributes:
        known_genes: Symbols in the network or in the text.
        measured: Symbols of the data file, which count as known too.
        gene_ids: Symbol by Ensembl number without version.
        aliases: Other names of a symbol; whatever has one is known.
        controls: Labels of the unperturbed cells, or patterns such as ``NegCtrl*``; none for the usual
            words. A pattern never matches what is read as genes.
        is_missing_control: Whether cells without a label are controls.
    """

    known_genes: Collection[str] = ()
    measured: Collection[str] = ()
    gene_ids: Mapping[str, str] = field(default_factory=dict)
    aliases: Aliases = field(default_factory=dict)
    controls: tuple[str, ...] = ()
    is_missing_control: bool = False

    def with_genes(self, measured: Iterable[str], gene_ids: Mapping[str, str]) -> "LabelRule":
        """Add the genes of a data file."""
        return replace(self, measured=frozenset(measured), gene_ids=gene_ids)

    def read(self, label: str | None) -> Reading:
        """Read a label; ``None`` is a missing one. Blanks around it and its parts do not count."""
        text = strip_blanks(label or "")
        if text not in self._read:
            self._read[text] = self._read_text(text)
        return self._read[text]

    @cached_property
    def _read(self) -> dict[str, Reading]:
        return {}

    @cached_property
    def _known(self) -> frozenset[str]:
        genes = (*self.known_genes, *self.measured, *self.aliases)
        return frozenset(gene for gene in genes if GENE_SEPARATOR not in gene)

    @cached_property
    def _by_fold(self) -> dict[str, str]:
        """Known gene of each folded name: of several a measured one, else the first."""
        preferred = (*sorted(self.measured), *sorted(self.known_genes), *sorted(self.aliases))
        return {fold(gene): gene for gene in reversed(preferred) if gene in self._known}

    def _read_text(self, text: str) -> Reading:
        found = (
            self._as_missing(text)
            or self._as_control(text)
            or self._as_unassigned(text)
            or self._as_gene(text)
            or self._as_row(text)
            or self._as_several(text)
            or self._as_guide(text)
        )
        if found is None and self._matches_control(text):
            found = Reading(is_control=True)
        # `+` is kept for genes, so that whatever splits a name there finds genes only.
        return found or Reading(genes=(_without_version(text).replace(GENE_SEPARATOR, "&"),), is_known=False)

    def _as_missing(self, text: str) -> Reading | None:
        if text in self.controls or (text.strip("".join(SEPARATORS) + " ") and not is_missing_word(text)):
            return None
        return Reading(is_control=True) if self.is_missing_control else Reading(left_out=NO_LABEL)

    def _as_control(self, text: str) -> Reading | None:
        if text in self.controls:
            return Reading(is_control=True)
        if not is_control_word(text, self._known):
            return None
        if self.controls and not self._matches_control(text):
            return Reading(left_out=OTHER_CONTROL)
        return Reading(is_control=True)

    def _matches_control(self, text: str) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in self.controls)

    def _as_unassigned(self, text: str) -> Reading | None:
        if is_unassigned_word(text, self._known):
            return Reading(left_out=UNASSIGNED)
        return None

    def _as_gene(self, text: str) -> Reading | None:
        if text in self._known:
            return Reading(genes=(text,))
        by_id = self.gene_ids.get(_without_version(text))
        if by_id is not None:
            return Reading(genes=(by_id,))
        by_fold = self._by_fold.get(fold(text))
        return None if by_fold is None else Reading(genes=(by_fold,), is_other_case=True)

    def _as_row(self, text: str) -> Reading | None:
        row = ROW_FORM.fullmatch(text)
        if row is None or len(text) > LONGEST_GUIDE:
            return None
        reading = self.read(row["of"])
        if not reading.is_known:
            reading = self._as_gene(row["id"]) or reading
        return replace(reading, is_guide=True)

    def _as_several(self, text: str) -> Reading | None:
        halves = [half.strip() for half in text.split("__")]
        if len(halves) == 2 and halves[0] == halves[1]:  # Norman 2019: KLF1_NegCtrl0__KLF1_NegCtrl0
            return self.read(halves[0])
        for separator in SEPARATORS:
            parts = [part.strip() for part in text.split(separator) if part.strip()]
            if separator in text and all(self._is_part(part, separator) for part in parts):
                return _join([self.read(part) for part in parts])
        return None

    def _is_part(self, text: str, separator: str) -> bool:
        """Check whether a part is a gene or a word; where ``+`` joins, what may be a symbol is a gene."""
        if text.isdigit():
            return False
        reading = self.read(text)
        return reading.is_known or (separator == GENE_SEPARATOR and bool(SYMBOL_FORM.fullmatch(text)))

    def _as_guide(self, text: str) -> Reading | None:
        if is_date(text) or len(text) > LONGEST_GUIDE:
            return None
        for form in (*GUIDE_FORMS, NUMBERED_FORM):
            guide = form.fullmatch(text)
            if guide and (reading := self.read(guide["of"])).is_known:
                return replace(reading, is_guide=True)
        return None


def guide_target(label: str) -> str | None:
    """Find what a guide of an unknown gene targets: ``NOBODY`` of ``sgNOBODY_2``; ``None`` for no guide."""
    for form in GUIDE_FORMS:
        guide = form.fullmatch(label) if len(label) <= LONGEST_GUIDE else None
        if guide:
            target = guide_target(guide["of"]) or guide["of"]
            if SYMBOL_FORM.fullmatch(target):
                return target
    return None


def fold(gene: str) -> str:
    """Reduce a symbol to what its spellings share: no case, no version of an Ensembl number."""
    return _without_version(gene).casefold()


def _without_version(text: str) -> str:
    number = ENSEMBL_ID.fullmatch(text)
    return number["id"] if number else text


def _join(readings: Iterable[Reading]) -> Reading:
    parts = list(readings)
    left_out = [part.left_out for part in parts if part.left_out and part.left_out != OTHER_CONTROL]
    genes = tuple(sorted({gene for part in parts for gene in part.genes}))
    if left_out:
        return Reading(left_out=UNASSIGNED)
    if not genes:
        is_control = all(part.is_control for part in parts)
        return Reading(is_control=True) if is_control else Reading(left_out=OTHER_CONTROL)
    return Reading(
        genes=genes,
        is_known=all(part.is_known for part in parts),
        is_guide=any(part.is_guide for part in parts),
        is_other_case=any(part.is_other_case for part in parts),
    )
