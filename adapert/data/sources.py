"""Networks and embeddings by name: as a data set is given them, and as a config picks them."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from adapert.config import OF_CELLS, Config
from adapert.errors import InputError, name_some, nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
"""Of a network or of embeddings: it names a folder, and is part of config values joined by '+'."""

NONE = "none"
"""Picks no source; no source may be called so."""

SEPARATOR = "+"
"""Joins the names of sources that are picked together."""


class Kind(NamedTuple):
    """A kind of source.

    Attributes:
        option: Option of `adapert prepare`.
        default: Name of a source that is given without one.
        noun: What one is called in a sentence.
        field: Field of the config that picks some.
    """

    option: str
    default: str
    noun: str
    field: str


NETWORKS = Kind("--network", "network", "network", "graph.networks")
EMBEDDINGS = Kind("--embeddings", "text", "source of embeddings", "data.embeddings")


def parse_sources(given: Sequence[str], kind: Kind) -> dict[str, str]:
    """Read ``NAME=FILE`` or ``FILE`` each, see `parse_named`; one without a name has its kind's default.

    Raises:
        InputError: None, a name that is none, or one that is given twice.
    """
    if not given:
        raise InputError(f"A data set needs a {kind.noun}, but none was named. Give {kind.option} FILE.")

    def check(name: str, text: str) -> None:
        is_file = "=" in text and Path(text).exists()
        _check_name(name, kind, f" For a file whose name has '=', write './{text}'." if is_file else "")

    return parse_named(given, kind.noun, f"{kind.option} NAME=FILE", lambda _: kind.default, check)


def parse_named(
    given: Sequence[str],
    noun: str,
    form: str,
    usual: Callable[[Path], str],
    check: Callable[[str, str], None],
) -> dict[str, str]:
    """Read ``NAME=PATH`` or ``PATH`` each, in their order; what stands before an '=' may not be a path.

    Args:
        given: What a user gave.
        noun: What each of them is, in a sentence.
        form: How one is named, ``"--evaluation NAME=FOLDER"``.
        usual: Name of a path that is given without one.
        check: Refuses a name; also given the whole text.

    Returns:
        Name to path.

    Raises:
        InputError: A name that is given twice, or what `check` raises.
    """
    paths: dict[str, str] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or "/" in name:
            name, path = usual(Path(text)), text
        check(name, text)
        if name in paths:
            raise InputError(
                f"Each {noun} needs a name of its own, but '{name}' is given twice: '{paths[name]}' and "
                f"'{path}'. Name them: {form}."
            )
        paths[name] = path
    return paths


def check_names(networks: Mapping[str, Path], embeddings: Mapping[str, Path]) -> None:
    """Refuse names that are none, no source at all, and a name that is a network's and an embedding's.

    Raises:
        InputError: As said.
    """
    for sources, kind in ((networks, NETWORKS), (embeddings, EMBEDDINGS)):
        if not sources:
            raise InputError(f"A data set needs a {kind.noun}, but none was named. Give {kind.option} FILE.")
        for name in sources:
            _check_name(name, kind)
    if both := [name for name in networks if name in embeddings]:
        raise InputError(
            f"Networks and embeddings need different names, but {name_some(both)} is in both. Rename one: "
            f"{NETWORKS.option} NAME=FILE."
        )


def choose_sources(picked: str, known: Sequence[str], kind: Kind) -> list[str]:
    """Read which sources a config picks: ``""`` is the first, ``"none"`` none, ``"a+b"`` two.

    Args:
        picked: Value of the config's field.
        known: Names of the data set's sources, the first first.
        kind: Of the sources.

    Returns:
        Their names, in the order in which they are picked.

    Raises:
        InputError: A name that the data set does not have, or one that is picked twice.
    """
    if not picked:
        return [str(known[0])]
    if picked == NONE:
        return []
    names = picked.split(SEPARATOR)
    for name in names:
        if name not in known:
            raise InputError(
                f"'{kind.field}' must name sources of the data set, joined by '{SEPARATOR}', but it is "
                f"'{picked}', and there is no '{name}'.{nearest(name, known)} The data set has "
                f"{name_some(known, len(known))}; prepare it with {kind.option} NAME=FILE for more."
            )
    if len(set(names)) < len(names):
        raise InputError(
            f"'{kind.field}' must name each source once, but it is '{picked}'. Remove what is there twice."
        )
    return names


def check_picked(config: Config, networks: Sequence[str], embeddings: Sequence[str]) -> None:
    """Refuse a config whose model would read what a data set of these sources does not have.

    Raises:
        InputError: An unknown name, or several networks for a model that reads one.
    """
    choose_sources(config.data.embeddings, embeddings, EMBEDDINGS)
    if NETWORKS.field in config.settings():
        picked = choose_sources(config.graph.networks, networks, NETWORKS)
        if not config.reads_several_networks:
            check_single(picked, f"Model '{config.model.name}'")


def check_cells(config: Config, kind: str) -> None:
    """Refuse a config that asks for single cells of a data set without, or for others than its model reads.

    Args:
        config: Of a trial.
        kind: What the data set was prepared from, ``"cells"`` or ``"responses"``.

    Raises:
        InputError: As said.
    """
    model, is_of_cells = config.model.name, config.data.control == "cell"
    if model == "gears" and is_of_cells:
        raise InputError(
            "GEARS is trained on moments of cells around their matched mean control, but data.control is "
            "'cell'. Use 'mean'."
        )
    asked = {
        f"model.name '{model}'": (model in OF_CELLS, "Use a model of mean responses, such as txpert."),
        "data.control 'cell'": (is_of_cells, "Use 'mean'."),
        f"{model}.rows 'cells'": (config.rows == "cells", "Use 'means' or 'auto'."),
    }
    for setting, (is_asked, cure) in asked.items():
        if is_asked and kind != "cells":
            raise InputError(
                f"{setting} needs single cells, but the data set was prepared from responses. {cure}"
            )


def check_single(picked: Sequence[str], model: str = "This model") -> None:
    """Refuse several networks for a model of one; `model` begins the sentence.

    Raises:
        InputError: There are.
    """
    if len(picked) > 1:
        raise InputError(
            f"{model} reads one network, but 'graph.networks' is '{SEPARATOR.join(picked)}'. Pick one of "
            f"them, such as graph.networks={picked[0]}."
        )


def _check_name(name: str, kind: Kind, more: str = "") -> None:
    if not NAME.fullmatch(name) or name == NONE:
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        what = "stands for no source" if name == NONE else "is no such name"
        raise InputError(
            f"The name of a {kind.noun} must be of 1 to 40 letters, digits, '_', '.' and '-' and begin with "
            f"a letter or digit, but {shown!r} {what}. Give {kind.option} NAME=FILE.{more}"
        )
