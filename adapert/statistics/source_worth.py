"""What each source of prior knowledge is worth, alone and beside the others, in paired differences."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from adapert.statistics.paired import PAIRED_COLUMNS, correct_tests, summarize_paired
from adapert.statistics.questions import Question

ALONE, BESIDE = "alone", "beside the others"
"""With nothing else; with all other sources that the model reads at the same time."""

SOURCES = Question(
    "What is each source of prior knowledge worth?",
    "every source, alone and beside the others, in each effect-size group and in all groups together",
)

WORTH_COLUMNS = ("source", "role", "reference", "effect_size", *PAIRED_COLUMNS)


class Pair(NamedTuple):
    """Two variants that differ in one source.

    Attributes:
        source: Its name.
        role: `ALONE` or `BESIDE`.
        variant: With it.
        reference: Without it.
    """

    source: str
    role: str
    variant: str
    reference: str


def pair_sources(sources_of: Mapping[str, frozenset[str]]) -> list[Pair]:
    """Pair the variants that say what a source is worth.

    Beside the others is the largest set of sources with it that was tried with and without it, of equally
    large ones the first: a model of one network reads a second network beside the embeddings alone. Where
    that set is the source itself, there is nothing beside it.

    Args:
        sources_of: Variant to the names of its sources, in the recipe's order.

    Returns:
        Pairs source by source, in the order in which the variants name them, alone before beside.
    """
    variant_of: dict[frozenset[str], str] = {}
    for variant, sources in sources_of.items():
        variant_of.setdefault(sources, variant)
    single = [next(iter(sources)) for sources in variant_of if len(sources) == 1]
    pairs = []
    for source in dict.fromkeys([*single, *sorted(frozenset().union(*variant_of) - {*single})]):
        own = [each for each in variant_of if source in each and each - {source} in variant_of]
        largest = max(own, key=len, default=frozenset())
        for role, chosen in ((ALONE, frozenset({source})), (BESIDE, largest)):
            if chosen in own and (role == ALONE or len(chosen) > 1):
                pairs.append(Pair(source, role, variant_of[chosen], variant_of[chosen - {source}]))
    return pairs


def compare_sources(frame: pd.DataFrame, sources_of: Mapping[str, frozenset[str]]) -> pd.DataFrame:
    """Answer `SOURCES`: variants with a source minus the same without it.

    Args:
        frame: The long table of one study and one split.
        sources_of: As in `pair_sources`, of the frame's variants.

    Returns:
        `WORTH_COLUMNS`, the pairs in order, all of a metric in one family; without rows where none could be
        paired.
    """
    tables = [
        summarize_paired(frame[frame["variant"].isin([pair.variant, pair.reference])], pair.reference).assign(
            source=pair.source, role=pair.role, reference=pair.reference
        )
        for pair in pair_sources(sources_of)
    ]
    if not tables:
        return pd.DataFrame(columns=list(WORTH_COLUMNS))
    return correct_tests(pd.concat(tables, ignore_index=True))[list(WORTH_COLUMNS)]
