import re
from io import StringIO
from xml.etree import ElementTree

import pytest
from fixtures.store import Store
from matplotlib.figure import Figure

from analysis.report.drawings import draw_study, embed_svg, title_of

SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt">
<metadata>who</metadata><defs><style>*{stroke-linecap: butt}</style><path id="p"/></defs>
<use xlink:href="#p" clip-path="url(#c)"/><clipPath id="c"/></svg>"""


def drawn() -> str:
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4], "o-")
    file = StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def ids_and_references(svg: str) -> tuple[set[str], set[str]]:
    values = [value for element in ElementTree.fromstring(svg).iter() for value in element.attrib.values()]
    ids = {element.attrib["id"] for element in ElementTree.fromstring(svg).iter() if "id" in element.attrib}
    return ids, {a or b for value in values for a, b in re.findall(r"url\(#([^)]+)\)|^#(.+)", value)}


def test_the_ids_of_two_figures_never_meet() -> None:
    (first, _), (second, _) = (ids_and_references(embed_svg(drawn(), name, "A line")) for name in "ab")
    assert len(first) > 10
    assert not first & second


def test_every_reference_of_an_embedded_figure_is_answered_inside_it() -> None:
    ids, references = ids_and_references(embed_svg(drawn(), "a", "A line"))
    assert references
    assert references <= ids


def test_an_embedded_figure_keeps_its_styles_to_itself() -> None:
    svg = embed_svg(SVG, "a", 'Of "x" < y')
    root = ElementTree.fromstring(svg)
    assert "#a * {stroke-linecap: butt}" in svg
    assert "who" not in svg
    assert root.get("aria-label") == 'Of "x" < y'
    assert root.get("style") == "--width: 9pt"


@pytest.mark.parametrize(
    ("stem", "title"),
    [("figure_4_ablation", "Figure 4: ablation"), ("search_history", "Search history")],
)
def test_a_title_is_read_off_a_name(stem: str, title: str) -> None:
    assert title_of(stem) == title


def test_a_study_without_a_finished_trial_has_one_reason_and_no_figure(store: Store) -> None:
    found = draw_study(store.study("start_only"), "validation")
    assert found.drawings == ()
    assert len(found.reasons) == 1
    assert "has none" in found.reasons[0]


def test_a_design_without_figures_says_so(store: Store) -> None:
    assert "have no figure" in draw_study(store.study("fresh_seeds"), "validation").reasons[0]
