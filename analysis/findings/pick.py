"""Which config was picked, and how far it is ahead of the next."""

import math
from dataclasses import dataclass
from pathlib import Path

from adapert.errors import InputError, format_count
from adapert.evaluation.catalogue import find_metric
from adapert.results.study import StudyResults
from adapert.selection.decide import pick_reevaluated
from adapert.selection.rank import Pick, describe_objective
from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from adapert.statistics.power import smallest_p
from adapert.statistics.questions import LEVEL
from analysis.findings.finding import Estimate, Finding, state


@dataclass(frozen=True)
class ReadPick:
    """What was picked from a study.

    Attributes:
        study: Its name.
        pick: None where nothing can be picked.
        reason: Why nothing can, in a sentence.
    """

    study: str
    pick: Pick | None
    reason: str = ""


def read_pick(workspace: Path, study: StudyResults) -> ReadPick:
    """Read what `adapert pick` last named, or would name without training anything."""
    try:
        return ReadPick(study.name, pick_reevaluated(workspace, study))
    except InputError as error:
        return ReadPick(study.name, None, str(error))


def find_pick(read: ReadPick) -> Finding:
    """Say which config was picked from a search, and whether its lead is more than chance."""
    study, pick = read.study, read.pick
    if pick is None:
        return state("pick", f"Pick ('{study}'): undecided. {read.reason}", ())
    label = find_metric(pick.metric).label
    if pick.reevaluated is None:
        best = float(pick.candidates[pick.metric].iloc[0])
        of = f"best validation {label} of the search"
        sentence = (
            f"Pick ('{study}', by {describe_objective(pick.objective)}): the best of "
            f"{format_count(len(pick.candidates), 'config')} has a validation {label} of {best:.4f}; it was "
            "not trained again on fresh seeds and splits, so its lead is undecided."
        )
        return state("pick", sentence, [Estimate(of, best)])
    value = float(pick.reevaluated[pick.metric].iloc[0])
    lead_in = (
        f"Pick ('{study}', by {describe_objective(pick.objective)}): rank {pick.rank} of the search, with a "
        f"validation {label} of {value:.4f}, mean over its own and redrawn splits"
    )
    of_pick = Estimate(f"validation {label} of the pick", value)
    if pick.lead is None:
        return state(
            "pick", f"{lead_in}; no other config was trained again, so its lead is undecided.", [of_pick]
        )
    lead = pick.lead
    is_ahead = lead.n_ahead == lead.n_paired
    # That of signed ranks, if the pick is ahead in all: five pairs cannot decide anything.
    p = smallest_p(lead.n_paired) if is_ahead else math.nan
    verdict = SUPPORTED if p < LEVEL else UNDECIDED
    words = "" if verdict == SUPPORTED else ", too few to decide" if is_ahead else ", which decides nothing"
    sentence = (
        f"{lead_in}; that is {lead.difference:.4f} more than the next, and it is ahead in {lead.n_ahead} of "
        f"{format_count(lead.n_paired, 'paired trial')}{words}."
    )
    return state(
        "pick", sentence, [of_pick, Estimate("its lead over the next", lead.difference, verdict=verdict)]
    )
