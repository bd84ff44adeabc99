"""What each variant of a study of priors reads."""

import pandas as pd

from adapert.data.sources import EMBEDDINGS, NETWORKS, NONE, SEPARATOR
from adapert.results.load import load_per_perturbation
from adapert.results.study import StudyResults

PRIORS = "priors"
"""Kind of the plan."""

SOURCES_COLUMN = "sources"


def load_priors(study: StudyResults) -> pd.DataFrame:
    """Load a study's long table with what each variant reads.

    Returns:
        As `load_per_perturbation`, and ``sources``: names joined by `SEPARATOR`, embeddings before networks;
        empty for none.

    Raises:
        NothingToShowError: No finished trial.
        InputError: As `load_per_perturbation`.
    """
    frame = load_per_perturbation(study)
    of_variant = study.frame.drop_duplicates("variant").set_index("variant")
    picked = {
        str(variant): SEPARATOR.join(
            str(row[kind.field])
            for kind in (EMBEDDINGS, NETWORKS)
            if kind.field in row and row[kind.field] not in ("", NONE) and pd.notna(row[kind.field])
        )
        for variant, row in of_variant.iterrows()
    }
    return frame.assign(**{SOURCES_COLUMN: frame["variant"].map(picked)})


def find_sources(frame: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Read which sources each variant of `load_priors` reads, in the order of its trials."""
    named = frame.drop_duplicates("variant")
    return {
        variant: frozenset(filter(None, sources.split(SEPARATOR)))
        for variant, sources in zip(named["variant"], named[SOURCES_COLUMN], strict=True)
    }
