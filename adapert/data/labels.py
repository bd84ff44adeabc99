"""Perturbation labels as the field writes them, made canonical."""

from collections.abc import Collection, Iterable

from adapert.data.schema import CONTROL, GENE_SEPARATOR

CONTROL_WORDS = frozenset(
    {
        "control",
        "controls",
        "ctrl",
        "negativecontrol",
        "negcontrol",
        "negctrl",
        "nontargeting",
        "nontargetingcontrol",
        "nt",
        "ntc",
        "unperturbed",
    }
)
"""Names of unperturbed cells, in lower case, without blanks, hyphens and underscores."""

LEFT_OUT = ""
"""Canonical label of cells under a control word other than the control that was asked for."""


def canonical_labels(
    labels: Iterable[str], known_genes: Collection[str], control: str | None = None
) -> dict[str, str]:
    """Give each label its canonical form.

    ``+`` always separates genes; ``_`` does only where the whole label is no known gene and every
    part is one, or a control word. A control word beside a gene is dropped (GEARS: ``KLF1+ctrl``).

    Args:
        labels: Labels as they stand in the data.
        known_genes: Symbols measured, in the network or in the text.
        control: Label of the unperturbed cells; ``None`` for any control word.

    Returns:
        For each label: `CONTROL`; a combination's sorted genes joined by ``+``; or `LEFT_OUT` for
        a control word that is not `control`.
    """
    known = frozenset(known_genes)
    return {label: _canonical(label, known, control) for label in labels}


def is_control_word(label: str, known_genes: Collection[str] = ()) -> bool:
    """Tell whether a label names unperturbed cells, perhaps with a guide's number (``NT12``).

    A word outranks the gene of the same name: CTRL is also a chymotrypsin-like protease.
    """
    word = "".join(letter for letter in label.casefold() if letter not in " -_")
    return word in CONTROL_WORDS or (label not in known_genes and word.rstrip("0123456789") in CONTROL_WORDS)


def _canonical(label: str, known: frozenset[str], control: str | None) -> str:
    if label == control:
        return CONTROL
    genes = {part for part in _parts(label, known) if part != control and not is_control_word(part, known)}
    if genes:
        return GENE_SEPARATOR.join(sorted(genes))
    return CONTROL if control is None else LEFT_OUT


def _parts(label: str, known: frozenset[str]) -> list[str]:
    if GENE_SEPARATOR in label:
        return [part.strip() for part in label.split(GENE_SEPARATOR) if part.strip()]
    parts = label.split("_")
    is_whole = label in known or is_control_word(label, known)
    if is_whole or not all(part in known or is_control_word(part, known) for part in parts):
        return [label]
    return parts
