"""Words and forms of perturbation labels in public screens: controls, unassigned cells, guides, dates."""

import re
from collections.abc import Collection

_CONTROL = """
control controls ctrl negativecontrol negcontrol negctrl negativectrl 3xnegctrl nontargeting nontarget
nontargetingcontrol nontargetingcontrols nontargetingcontrolguideforhuman
nontargetingcontrolguideformouse nontargetinghuman nontargetingmouse notarget nt ntc unperturbed
scramble scrambled intergenic oneintergenicsite nosite onenongenesite safeharbor safetargeting
"""
CONTROL_WORDS = frozenset(_CONTROL.split())
"""Labels of unperturbed cells, in lower case, without blanks, hyphens and underscores."""

MISSING_WORDS = frozenset({"-", "none", "nan", "na", "n/a", "<na>", "null"})
"""Words that files hold in place of no value, in lower case."""

_UNASSIGNED = """
* ambiguous doublet doublets multi multiple multiplet multiplets negative noassignment nogrna noguide
nosgrna notassigned unassigned undetermined unknown unmapped
"""
UNASSIGNED_WORDS = frozenset(_UNASSIGNED.split())
"""Names of cells without a known perturbation; written as `CONTROL_WORDS`."""

SEPARATORS = ("+", ";", ",", "|", "&", "/", "__", "_")
"""Between the parts of a label, in the order in which they are tried."""

GUIDE_FORMS = tuple(
    re.compile(form)
    for form in (
        r"p_(?P<of>.+)",  # Dixit 2016: p_sgELK1_2
        r"[A-Za-z]+lib_(?P<of>.+)",  # Datlinger 2017: Tcrlib_ZAP70_1
        r"(?:sgRNA|gRNA|sg)[-_]?(?P<of>.+)",
        r"(?P<of>.+)_p[A-Z]{2}\d+(?:-\d+)?",  # Adamson 2016, a plasmid: SPI1_pDS255
        r"(?P<of>.+)_only",  # Adamson 2016: ATF6_only_pMJ145
        r"(?P<of>.+)_[-+]_\d+(?:\.\d+)?(?:-[\w-]+)?",  # Horlbeck 2016, a cut site: KLF1_+_12997774.23-P1P2
        r"(?P<of>.+)_P\d(?:P\d)?",  # Horlbeck 2016, a promoter: KLF1_P1P2
        r"(?P<of>.+)[-_][ACGT]{17,24}",  # a protospacer
        r"(?P<of>.+?)[-_.]?(?:g|sg|gRNA|sgRNA|guide)[-_.]?\d+",  # Papalexi 2021: IFNGR1g2
        r"(?P<of>.+)_\d{1,5}",  # A2M_1
    )
)
"""Forms of a guide's name, each around the name ``of`` what it targets."""

NUMBERED_FORM = re.compile(r"(?P<of>.+)[-.]\d{1,5}")
"""A guide's name, or a gene's: A2M-1, NKX2-1."""

ROW_FORM = re.compile(r"\d+_(?P<of>.+)_[^_]+_(?P<id>ENS[A-Z]*G\d+|non-targeting|nan)")
"""Rows of Replogle 2022 in bulk: ``0_KLF1_P1P2_ENSG00000105610``."""

ENSEMBL_ID = re.compile(r"(?P<id>ENS[A-Z]*G\d+)(?:\.\d+)?")
"""A gene's number in Ensembl, perhaps with its version."""

SYMBOL_FORM = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]*")
"""What may be a gene symbol, known or not: one word of letters and digits."""

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)"
DATE_FORM = re.compile(
    rf"\d{{1,2}}-{_MONTH}|{_MONTH}-\d{{1,2}}|\d{{4}}-\d\d-\d\d(?: 00:00:00)?|\d{{1,2}}/\d{{1,2}}/\d{{4}}",
    re.IGNORECASE,
)
"""Dates into which spreadsheets turn MARCH1, SEPT2 or DEC1."""


def is_control_word(label: str, known_genes: Collection[str] = ()) -> bool:
    """Check whether a label names unperturbed cells, perhaps with a guide's number (``NT12``).

    A word outranks the gene of the same name: CTRL is also a chymotrypsin-like protease.
    """
    word = _letters(label)
    if word in CONTROL_WORDS:
        return True
    is_numbered = word.rstrip("0123456789") in CONTROL_WORDS
    # Adamson 2016: 62(mod), 63(mod), Gal4-4(mod).
    return label not in known_genes and (is_numbered or re.fullmatch(r"(gal4)?\d+\(mod\)", word) is not None)


def is_missing_word(label: str) -> bool:
    """Check whether a label stands for no value."""
    return label.casefold() in MISSING_WORDS


def is_unassigned_word(label: str, known_genes: Collection[str] = ()) -> bool:
    """Check whether a label says that a cell's perturbation is not known, perhaps with a number."""
    word = _letters(label)
    if word in UNASSIGNED_WORDS:
        return True
    return label not in known_genes and word.rstrip("0123456789") in UNASSIGNED_WORDS


def is_date(name: str) -> bool:
    """Check whether a name is a date: a gene symbol that went through a spreadsheet."""
    return DATE_FORM.fullmatch(name) is not None


def strip_blanks(text: str) -> str:
    """Drop blanks around a text and repeated ones in it, also those that are invisible."""
    return " ".join(text.replace("\u200b", "").replace("\ufeff", "").split())


def _letters(label: str) -> str:
    return "".join(letter for letter in label.casefold() if letter not in " -_")
