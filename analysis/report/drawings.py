"""Figures of studies and evaluations as SVG that may stand beside others inside one HTML page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from adapert.errors import InputError
from adapert.results.study import StudyResults
from analysis.figures.recipes import FIGURE_1, FIGURES, Evaluation, cached_load
from analysis.figures.writing import Drawing as DrawnFigure
from analysis.figures.writing import draw_figure, fix_layout
from analysis.predictions import read_predictions
from analysis.report.elements import Drawing, Drawings, Paragraph, Part, build_page_table

MAX_ROWS = 200
"""Rows of a figure's numbers that the page repeats; more are a plot's points, not a table to read."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a study or an evaluation.

    Attributes:
        drawings: Its figures.
        reasons: Why figures are left out, a sentence each.
        summaries: Name of each figure to the frame that it draws.
    """

    drawings: tuple[Drawing, ...] = ()
    reasons: tuple[str, ...] = ()
    summaries: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def draw_study(study: StudyResults, split: str) -> Drawn:
    """Draw the figures of a study's design; one that cannot be drawn is left out, with the reason."""
    recipes = FIGURES.get(study.design, ())
    if not recipes:
        return Drawn(reasons=(f"Studies of the design '{study.design}', as {study.name}, have no figure.",))
    drawings: list[Drawing] = []
    summaries: dict[str, pd.DataFrame] = {}
    reasons: dict[str, str] = {}  # by their own words: what keeps one figure off the page keeps others off
    load = cached_load(study, split)
    for recipe in recipes:
        try:
            caption = f"{title_of(recipe.stem)}, study {study.name}"
            frame = load(recipe)
            caption += f", {split} perturbations" if "split" in frame else ""
            drawn = draw_figure(recipe, frame)
            summaries[recipe.stem] = drawn.summary
            drawings.append(_embed(drawn, caption, study.name, study.name))
        except InputError as error:
            reason = f"Left out of study {study.name}, {title_of(recipe.stem)}: {error}"
            reasons.setdefault(str(error), reason)
    return Drawn(tuple(drawings), tuple(reasons.values()), summaries)


def draw_evaluation(folder: Path, shown: str) -> Drawn:
    """Draw Figure 1 of an evaluation's predictions, or say why it cannot be drawn.

    Args:
        folder: Folder that `adapert evaluate` wrote.
        shown: The folder as its reader would type it.
    """
    title = f"{title_of(FIGURE_1.stem)}, evaluation {folder.name}"
    try:
        source = Evaluation(read_predictions(folder))
        drawn = draw_figure(FIGURE_1, source)
        return Drawn((_embed(drawn, title, folder.name, f"--evaluation {shown}"),))
    except InputError as error:
        return Drawn(reasons=(f"Left out, {title}: {error}",))


def _embed(drawn: DrawnFigure, caption: str, name: str, words: str) -> Drawing:
    """Embed a figure of a source with a name, which `adapert figures` takes as these words."""
    file = StringIO()
    fix_layout(drawn.figure)
    with drawn.figure.style.applied():
        drawn.figure.savefig(file, format="svg", metadata={"Date": None})
    # To be read aloud: as drawn they are no text, but shapes.
    spoken = " ".join(f"{drawn.figure.title} {drawn.figure.caption}".split())
    identifier = re.sub(r"[^a-z0-9]+", "-", f"{drawn.stem}-{name}".lower()).strip("-")
    svg = embed_svg(file.getvalue(), identifier, spoken)
    if len(drawn.summary) > MAX_ROWS:
        note = f"It draws {len(drawn.summary):,} rows: 'adapert figures {words}' writes {drawn.stem}.csv."
        return Drawing(caption, svg, note=note)
    return Drawing(caption, svg, build_page_table(drawn.summary, f"Numbers of {caption}"))


def gather_figures(drawn: Sequence[Drawn]) -> list[Part]:
    """Put figures below each other, since each says whose it is, and last why others are left out."""
    drawings = tuple(drawing for one in drawn for drawing in one.drawings)
    reasons: list[Part] = [Paragraph(reason) for one in drawn for reason in one.reasons]
    return [Drawings(drawings), *reasons] if drawings else reasons


def title_of(stem: str) -> str:
    """Read a title off a figure's name: ``figure_4_ablation`` is ``Figure 4: ablation``."""
    numbered = re.fullmatch(r"figure_([0-9]+)_(.*)", stem)
    words = (numbered[2] if numbered else stem).replace("_", " ")
    return f"Figure {numbered[1]}: {words}" if numbered else words.capitalize()


def embed_svg(text: str, prefix: str, title: str) -> str:
    """Make an SVG file an element that may stand beside others on a page.

    Clip paths and glyphs are referred to by ids, and those of a page are shared: two figures of the same
    ids would be drawn with each other's. Style sheets reach over the whole page, too.

    Args:
        text: The file's.
        prefix: Prefix of its ids, different for each figure of a page.
        title: Read aloud in place of the drawing.

    Returns:
        Markup of one ``<svg>`` element without metadata; its own width is the style's ``--width``.
    """
    # Else every tag would be written as ns0:path, which a browser does not draw inside HTML.
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(text)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{prefix}-{value}")
            elif name in ("href", _HREF) and value.startswith("#"):
                element.set(name, f"#{prefix}-{value[1:]}")
            elif "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{prefix}-"))
        if element.tag == f"{{{_SVG}}}style":
            element.text = re.sub(
                r"([^{}]+)\{",
                lambda found: ", ".join(f"#{prefix} {part.strip()}" for part in found[1].split(",")) + " {",
                element.text or "",
            )
    root.set("id", prefix)
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("style", f"--width: {root.get('width', '504pt')}")
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    return ElementTree.tostring(root, encoding="unicode")
