"""Gene sets: read from GMT files, such as MSigDB's."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from adapert.data.formats.tables import open_binary
from adapert.errors import InputError, first_line, format_count, name_some

GeneSets: TypeAlias = Mapping[str, list[str]]
"""Set to its genes."""


def read_gene_sets(path: Path) -> dict[str, list[str]]:
    """Read gene sets from a GMT file, such as MSigDB's Hallmark sets.

    Blank lines and sets without genes are left out; a gene counts once in a set.

    Args:
        path: A set a line: name, description and genes, with tabs between; perhaps gzipped.

    Raises:
        InputError: No such file, one that is no GMT, or one that names different sets alike.
    """
    if not path.is_file():
        raise InputError(
            f"Gene sets must be a GMT file, but '{path}' does not exist. "
            "MSigDB has such files; download the Hallmark sets as gene symbols."
        )
    lines = [line.split("\t") for line in _read_lines(path) if line.strip()]
    if not lines:
        raise InputError(f"A GMT file must not be empty, but '{path}' is. Copy it again, or name another.")
    n_short = sum(len(fields) < 2 for fields in lines)
    if n_short or not any(len(fields) > 2 for fields in lines):
        raise InputError(
            "A GMT file has a name, a description and genes in each line, with tabs between, but "
            f"{n_short} of {format_count(len(lines), 'line')} of '{path}' have not. Name a GMT file."
        )
    sets: dict[str, list[str]] = {}
    unlike = set()
    for name, _, *genes in lines:
        own = list(dict.fromkeys(gene.strip() for gene in genes if gene.strip()))
        if own and sets.setdefault(name.strip(), own) != own:
            unlike.add(name.strip())
    if unlike:
        raise InputError(
            f"Gene sets must have names of their own, but {len(unlike)} in '{path}' name several sets: "
            f"{name_some(sorted(unlike))}. Rename all but one."
        )
    return sets


def _read_lines(path: Path) -> list[str]:
    try:
        with open_binary(path) as file:
            return file.read().decode("utf-8-sig").splitlines()
    except InputError:
        raise
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"Gene sets must be a GMT file, but '{path}' cannot be read as text: {first_line(error)} Save it "
            "again as UTF-8."
        ) from error
