from dataclasses import replace

import pandas as pd
import pytest
from fixtures.store import MakeTable

from adapert.config import Config
from adapert.selection.rank import Pick
from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from analysis.claims import CLAIM_COLUMNS
from analysis.findings.certainty import (
    ASKED,
    Compared,
    describe_compared,
    find_certainty,
    find_undecided,
    warn_of,
)

ENOUGH = Compared("ablation", "validation", tuple("ABCDEFGHIJKLMNOPQRST"), n_seeds=3, n_tests=8)


def build_pick(drop: float) -> Pick:
    again = pd.DataFrame({"rank": [1], "drop": [drop]})
    return Pick(config=Config(), candidates=pd.DataFrame(), n_left_out=0, reevaluated=again)


def build_claims(*verdicts: str) -> pd.DataFrame:
    rows = [
        {"claim": "the context helps", "group": group, "reading": "mean and sum", "metric": "pearson_delta"}
        | {"verdict": verdict}
        for group, verdict in zip(("small", "medium", "large"), verdicts, strict=False)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def test_what_is_compared_is_counted(make_table: MakeTable) -> None:
    rows = [
        {"variant": variant, "perturbation": name, "effect_size": group, "seed": seed, "family": name[0]}
        for variant, seeds in (("full", (0, 1)), ("no_context", (0,)))
        for name, group in (("A1", "small"), ("A2", "small"), ("B1", "large"))
        for seed in seeds
    ]
    compared = describe_compared(make_table(rows), 2)
    groups = {"small": 2, "large": 1}
    assert compared == Compared("s", "validation", ("A", "A", "B"), 1, n_tests=3, n_of_group=groups)


def test_equal_bases_are_said_once() -> None:
    other = Compared("sensitivity", "validation", ENOUGH.families, n_seeds=3, n_tests=9)
    finding = find_certainty([ENOUGH, other], {})
    assert finding.sentence == (
        "How sure: 'ablation' and 'sensitivity' stand on 20 validation perturbations of 20 families and 3 "
        "seeds; intervals are of 95% over families and seeds, p are after Holm's correction."
    )
    assert finding.certainty == SUPPORTED


@pytest.mark.parametrize(
    ("n_perturbations", "n_seeds", "warning"),
    [
        (3, 3, "'ablation': No p can pass: the smallest of 3 perturbations is 0.25"),
        (20, 2, "'ablation': With 2 seeds hardly any p can pass"),
        (20, 1, "'ablation': One seed says nothing about other seeds"),
    ],
)
def test_few_perturbations_and_seeds_are_warned_of(n_perturbations: int, n_seeds: int, warning: str) -> None:
    weak = Compared("ablation", "validation", ENOUGH.families[:n_perturbations], n_seeds, 8)
    assert warn_of([weak])[0].startswith(warning)
    assert find_certainty([weak], {}).certainty == UNDECIDED


def test_a_warning_of_several_studies_is_said_once() -> None:
    weak = [Compared(name, "validation", ENOUGH.families, 2, 8) for name in ("a", "b")]
    (sentence,) = warn_of(weak)
    assert sentence.startswith("'a' and 'b': With 2 seeds")
    assert warn_of([ENOUGH]) == []


def test_small_groups_are_said_to_have_rough_intervals() -> None:
    groups = {"large": 3, "medium": 10, "small": 9}
    (sentence,) = warn_of([replace(ENOUGH, n_of_group=groups)])
    assert sentence == (
        "'ablation': Intervals are rough for small and large effects (9 perturbations and 3 perturbations)."
    )


def test_without_a_comparison_nothing_has_an_interval() -> None:
    assert find_certainty([], {}).sentence == "How sure: none of these studies compares variants."


def test_undecided_claims_and_questions_that_were_not_asked_are_named() -> None:
    finding = find_undecided(build_claims("supported", "undecided", "undecided"), {"parts"})
    assert finding.sentence == (
        "Undecided: 2 of 3 claims of the paper in Pearson-delta, that the context helps (medium, large); not "
        "asked was which lambda_non is best (sensitivity) and whether AdaPert is better than tuned kernel "
        "ridge (peers, evaluate)."
    )
    assert finding.certainty == UNDECIDED


def test_where_all_is_decided_it_says_so() -> None:
    finding = find_undecided(build_claims("supported"), set(ASKED))
    assert finding.sentence == "Undecided: none of 1 claim of the paper in Pearson-delta."
    assert finding.certainty == SUPPORTED
    assert find_undecided(None, set(ASKED)).sentence == "Undecided: nothing that was asked."


def test_of_several_picks_each_drop_names_its_search() -> None:
    picks = {name: build_pick(drop) for name, drop in (("peers_a", 0.02), ("peers_b", -0.08))}
    said = find_certainty([], picks).sentence
    assert "the Pearson-delta of the pick from 'peers_a' was 0.020 below its search's" in said
    assert "the Pearson-delta of the pick from 'peers_b' was 0.080 above its search's" in said
    alone = find_certainty([], {"search": build_pick(0.02)}).sentence
    assert alone == "How sure: on fresh seeds, the pick's Pearson-delta was 0.020 below its search's."
