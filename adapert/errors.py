"""The one error that means: what the user gave is wrong."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class InputError(ValueError):
    """A rule the user's input breaks: rule, what came, cure, in one or two full sentences.

    The command line prints the message without a traceback and exits with status 2.
    """


_NUMBER_KINDS = {
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
}
"""pydantic's names of what is no number, and what should have been there."""


def number_kind(error_type: str) -> str:
    """Say which number a value should have been, by the type of pydantic's error; else ``""``."""
    return _NUMBER_KINDS.get(error_type, "")


FEWEST_LETTERS = 3
"""Of a name's beginning, for which a whole one is suggested."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that a mistyped one is the last part of, comes near to or is the beginning of.

    Returns:
        ``" Did you mean 'model.dropout'?"``, or ``""`` where nothing comes near.
    """
    names = list(known)
    matches = [each for each in names if each.rpartition(".")[2] == name]
    matches = matches or get_close_matches(name, names, n=1, cutoff=0.6)
    if not matches and len(begun := _bare(name)) >= FEWEST_LETTERS:
        matches = [each for each in names if _bare(each).startswith(begun)]
    return f" Did you mean '{matches[0]}'?" if matches else ""


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def name_some(names: Iterable[str], limit: int = 5) -> str:
    """Name at most `limit` of the offenders, then count the rest."""
    listed = list(names)
    shown = ", ".join(f"'{name}'" for name in listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"


def format_count(n: float, noun: str) -> str:
    """Say how many there are of what a noun names that takes an s: ``"1 trial"``, ``"1,200 trials"``."""
    return f"{n:,.0f} {noun}{'' if n == 1 else 's'}"


def first_line(error: Exception) -> str:
    """Put what another package's error says into one sentence."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if line.endswith(".") else f"{line}."


def join_words(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
