"""What a notebook shows: read by a parser of HTML, as a browser does."""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from fixtures.ledger import MakeLedger
from fixtures.narrowed import present

from adapert.config import Config
from adapert.data.prepared import read_prepared
from adapert.html import build_card, build_details, build_sentences, build_table, build_values
from adapert.prediction.predictions import CONTEXT_COLUMNS, EDGE_COLUMNS, Predictions
from adapert.prediction.rerun import RerunResult
from adapert.records import TrialStatus
from adapert.selection.rank import Pick
from adapert.study.engine.runner import Closing
from adapert.workspace.session import StudyResult


class Page(HTMLParser):
    """The texts of a page, and whether each tag that it opens is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.styles: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.styles += [value or "" for name, value in attrs if name == "style"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def texts_of(shown: object) -> list[str]:
    page = Page(present(getattr(shown, "_repr_html_", None))())
    assert not any("color" in style or "background" in style for style in page.styles)
    return page.texts


def test_whatever_is_in_a_result_is_text() -> None:
    evil = "<script>alert('&')</script>"
    card = build_card(
        evil,
        build_sentences([evil, ""]),
        build_values({evil: evil, "none": None}),
        build_table([evil], [[evil]]),
        build_details(evil, build_sentences([evil])),
    )
    assert Page(card).texts == [evil] * 8


def test_numbers_are_short_and_what_is_not_known_is_left_out() -> None:
    assert Page(build_table(["a", "b"], [[0.123456, float("nan")], [7, None]])).texts == [
        "a",
        "b",
        "0.1235",
        "7",
    ]


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    rows = [[str(number)] for number in range(12)]
    assert Page(build_table(["n"], rows)).texts[-2:] == ["9", "... and 2 more"]


def test_a_config_shows_what_is_not_at_its_default() -> None:
    texts = texts_of(Config().with_changes({"model.name": "kernel_ridge", "kernel_ridge.size": 7}))
    assert texts[1] == "2 of 25 fields that it reads are not at their defaults."
    assert texts[texts.index("kernel_ridge.size") :][:3] == ["kernel_ridge.size", "7", "64"]
    assert texts.index("Fields at their defaults") < texts.index("kernel_ridge.penalty")


def test_a_study_shows_its_best_trials_first(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    for trial, variant, value in (("001", "full", 0.25), ("002", "<b>", 0.75), ("003", "sharp", None)):
        made.asked(trial, variant)
        made.reported(trial, 1, value)
    made.ended("002")
    records = list(made.state.records.values())
    closing = Closing(TrialStatus.INTERRUPTED, message="It was interrupted.")
    texts = texts_of(StudyResult(made.study, records, 4, closing, 1.0, 0.0))
    assert texts[:4] == [
        "try: Which one?",
        "1 finished, 2 interrupted of 4 trials in 1 s.",
        "It was interrupted.",
        "Run the cell again, and it continues where it was.",
    ]
    assert [text for text in texts if text in ("001", "002", "003")] == ["002", "001", "003"]
    assert "<b>" in texts


def test_a_pick_marks_the_picked_config() -> None:
    configs = tuple(Config().with_changes({"model.tau": tau}) for tau in (0.5, 0.7))
    candidates = pd.DataFrame(
        {"config_digest": ["a", "b"], "pearson_delta": [0.6, 0.5], "model.tau": [0.5, 0.7]}
    )
    pick = Pick(
        config=configs[1],
        candidates=candidates,
        n_left_out=0,
        configs=configs,
        reason="Because.",
        reevaluated=pd.DataFrame({"rank": [2], "config_digest": ["b"], "fresh": [0.55]}),
    )
    assert " ".join(texts_of(pick)) == (
        "Picked by Pearson-delta Because. rank pearson_delta model.tau picked 1 0.6 0.5 2 0.5 0.7 * "
        "Retrained: rank fresh 2 0.55"
    )


@pytest.fixture
def predictions() -> Predictions:
    deltas = pd.DataFrame(
        [[0.5, -1.0, 0.0], [0.0, 0.25, 2.0]], index=["KLF1", "KLF1+MAP2K6"], columns=["A", "B", "C"]
    )
    return Predictions(
        deltas=deltas,
        contexts=pd.DataFrame(columns=list(CONTEXT_COLUMNS)),
        edges=pd.DataFrame(columns=list(EDGE_COLUMNS)),
        source="a test",
    )


def test_predictions_show_the_strongest_genes(predictions: Predictions) -> None:
    texts = texts_of(predictions)
    assert texts[1] == "2 perturbations x 3 genes, deltas in log1p units, by a test."
    # Nothing of the combination goes down, and nothing that stays is listed.
    assert texts[-4:] == ["A +0.500", "B -1.000", "KLF1+MAP2K6", "C +2.000, B +0.250"]


def test_predictions_become_anndata_that_scanpy_groups(predictions: Predictions) -> None:
    import scanpy

    data = predictions.to_anndata()
    assert data.var_names.tolist() == ["A", "B", "C"]
    assert data.obs["n_perturbed_genes"].tolist() == [1, 2]
    means = scanpy.get.aggregate(data, by="perturbation", func="mean")
    assert means["KLF1", "B"].layers["mean"].item() == -1.0
    assert data.uns["values"] == "predicted delta, log1p units"


def test_a_rerun_shows_the_metrics_that_differ() -> None:
    metrics = pd.DataFrame(
        [("mse", 0.5, 0.5, 0.0), ("pds", 0.5, 0.25, 0.25)],
        columns=["metric", "tracked", "again", "difference"],
    )
    texts = texts_of(RerunResult("search/007", "r", metrics, ["the code of 'x'"]))
    assert texts[1].startswith(
        "1 of 2 metrics differ from those of search/007, by 0.25 at most. Changed since"
    )
    assert texts[-4:] == ["pds", "0.5", "0.25", "0.25"]
    assert "mse" not in texts


def test_a_data_set_shows_what_it_holds(launchable: Path) -> None:
    texts = iter(texts_of(read_prepared(launchable)))
    assert next(texts).startswith("Prepared data set ")
    rows = dict(zip(texts, texts, strict=True))
    assert (rows["perturbations"], rows["splits"]) == ("24", "train 12, validation 6, test 6")
    assert rows["splits read"] == "train, validation"
