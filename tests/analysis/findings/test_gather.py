import json
from pathlib import Path

import pandas as pd
from fixtures.store import Store

from adapert.results.find import open_study
from analysis.findings.gather import Evidence, gather_findings
from analysis.findings.pick import read_pick
from analysis.report.content import build_report
from analysis.sources import summarize_study_claims


def test_a_search_alone_has_three_sentences(store: Store) -> None:
    study = store.study("search_wide")
    picks = {study.name: read_pick(store.directory, study)}
    findings = gather_findings(Evidence(studies=[study], split="validation", picks=picks))
    assert [finding.topic for finding in findings.findings] == ["pick", "certainty", "undecided"]
    assert "not asked was which part of the model matters" in findings.sentences[-1]
    assert findings.warnings == ()


def test_each_study_adds_its_sentence_and_weak_ones_their_warnings(store: Store) -> None:
    names = ["search_wide", "ablate_parts", "vary_lambda"]
    found = build_report(store.directory, names).findings
    topics = [finding.topic for finding in found.findings]
    assert topics == ["pick", "parts", "lambda_non", "certainty", "undecided"]
    # Two seeds, one seed; five perturbations, of which no p can pass.
    assert [line for line in found.warnings if "With 2 seeds hardly any p can pass" in line]
    assert [line for line in found.warnings if "One seed says nothing about other seeds" in line]
    assert [line for line in found.warnings if line.startswith("'ablate_parts'") and "No p can pass" in line]
    assert found.sentences[-len(found.warnings) :] == [f"Warning: {line}" for line in found.warnings]


def test_undecided_claims_are_those_of_the_claims_table(store: Store) -> None:
    studies = store.studies(["ablate_parts"])
    claims = summarize_study_claims(studies)
    assert claims is not None
    of_metric = claims[claims["metric"] == "pearson_delta"]
    n_undecided = int((of_metric["verdict"] == "undecided").sum())
    found = build_report(store.directory, ["ablate_parts"]).findings
    assert f"Undecided: {n_undecided} of {len(of_metric)} claims" in found.findings[-1].sentence


def test_a_comparison_of_systems_says_how_kernel_ridge_does(peers_workspace: Path) -> None:
    study = open_study(peers_workspace, "peers")
    findings = gather_findings(Evidence(studies=[study], split="validation"))
    assert [finding.topic for finding in findings.findings] == ["kernel ridge", "certainty", "undecided"]
    assert "'peers' stands on" in findings.findings[1].sentence


def test_comparisons_of_several_data_sets_have_a_sentence_each(
    peers_workspace: Path, named_peers_workspace: Path
) -> None:
    studies = [open_study(peers_workspace, "peers"), open_study(named_peers_workspace, "peers_k562")]
    findings = gather_findings(Evidence(studies=studies, split="validation"))
    told = [finding.sentence for finding in findings.findings if finding.topic == "kernel ridge"]
    assert len(told) == 2
    assert "'peers'" in told[0]
    assert "'peers_k562'" in told[1]
    assert "'peers' and 'peers_k562' stand on" in findings.findings[2].sentence
    table = pd.DataFrame([vars(each) for each in findings.findings[0].estimates])
    assert table["of"].tolist() == ["adapert minus kernel_ridge"]


def write_evaluation(folder: Path, opened: dict[str, str], difference: float) -> Path:
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps({"opened": opened | {"split": "test"}}))
    row = {"variant": "adapert", "reference": "kernel_ridge", "effect_size": "all", "metric": "pearson_delta"}
    ends = {"difference": difference, "low": difference - 0.01, "high": difference + 0.01}
    pd.DataFrame([row | ends | {"p_holm": 0.001, "n_seeds": 5}]).to_csv(folder / "paired.csv", index=False)
    return folder


def test_the_last_evaluation_of_models_of_the_same_data_compares_them(store: Store, tmp_path: Path) -> None:
    study = store.study("search_wide")
    own = {"data_fingerprint": study.fingerprint}
    folders = [
        write_evaluation(tmp_path / "test_002", own | {"at": "2026-01-02"}, 0.20),
        write_evaluation(tmp_path / "test_001", own | {"at": "2026-01-01"}, 0.10),
        write_evaluation(tmp_path / "test_003", own | {"trained_on": "other"}, 0.30),
        write_evaluation(tmp_path / "test_004", {"data_fingerprint": "other"}, 0.40),
    ]
    findings = gather_findings(Evidence(studies=[study], split="validation", evaluations=folders))
    told = [finding.sentence for finding in findings.findings if finding.topic == "kernel ridge"]
    assert len(told) == 1
    assert "'test_002'" in told[0]
    assert "0.200" in told[0]


def test_a_study_of_another_design_says_what_it_reached(store: Store) -> None:
    findings = gather_findings(Evidence(studies=store.studies(["start_only"]), split="validation"))
    assert findings.findings[0].sentence == (
        "'start_only': undecided, since no trial has a final Pearson-delta."
    )
