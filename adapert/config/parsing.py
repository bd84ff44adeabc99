"""YAML that may be anybody's, parsed as plain data."""

import re
from collections import Counter
from functools import cache
from typing import Any

MOST_ALIASES = 16
"""Aliases in YAML, since lists of lists of aliases would multiply."""
MOST_LEVELS = 20
"""Levels of nested YAML; a config has two."""

MOST_SHOWN = 300
"""Characters of a user's text in a message."""

_YAML_WORDS = {
    "mapping values are not allowed here": "there is a ':' where none is expected",
    "expected <block end>": "the indentation differs from that of the lines before",
    "could not determine a constructor": "there is a tag, which a config does not take",
}
"""Beginnings of PyYAML's commonest complaints, in plain words."""


def parse_yaml(text: str | bytes) -> Any:
    """Parse YAML that may be anybody's: plain data, each key a text and there once, no deeper than needed.

    Args:
        text: As bytes also with a byte order mark, of UTF-8 or UTF-16.

    Raises:
        ValueError: Not such YAML.
    """
    import yaml

    try:
        n_aliases, n_levels = 0, 0
        for event in yaml.parse(text, yaml.SafeLoader):  # none of these events is nested in another
            n_aliases += isinstance(event, yaml.AliasEvent)
            n_levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(
                event, yaml.CollectionEndEvent
            )
            if n_aliases > MOST_ALIASES or n_levels > MOST_LEVELS:
                raise ValueError(f"it has more than {MOST_LEVELS} levels, or {MOST_ALIASES} aliases")
        return _build_loader()(text).get_single_data()
    # PyYAML lets through what Python says of its words: a date that is none, a number of nothing.
    except Exception as error:
        raise ValueError(shorten(_describe_yaml_error(error))) from error


def _describe_yaml_error(error: Exception) -> str:
    """Say a line and what is wrong there, without PyYAML's names and drawings."""
    import yaml

    if isinstance(error, yaml.reader.ReaderError):
        return "it has characters that are no text"
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error) or type(error).__name__
    problem = error.problem or error.context or "it cannot be parsed"
    if problem.startswith("but ") and error.context:
        problem = f"{error.context}, {problem}"
    plain = next((words for start, words in _YAML_WORDS.items() if problem.startswith(start)), "")
    problem = plain or re.sub(r"'?<([^>]*)>'?", r"the \1", problem)
    mark = error.problem_mark or error.context_mark
    return f"in line {mark.line + 1}, {problem}" if mark else problem


@cache
def _build_loader() -> type[Any]:
    """Make a safe loader that refuses keys which are there twice, or are no text."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            if any(key.tag != "tag:yaml.org,2002:str" for key in keys):
                raise ValueError("a key is not text")
            twice = [name for name, count in Counter(key.value for key in keys).items() if count > 1]
            if twice:
                raise ValueError(f"'{shorten(twice[0])}' is there twice")
            return super().construct_mapping(node, deep)

    return Loader


def shorten(text: str) -> str:
    """Cut a user's text for a message."""
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
