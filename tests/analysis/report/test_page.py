import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from fixtures.narrowed import present

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}

MEASURE = """
<iframe id="narrow" src="page.html" style="width: 400px; height: 800px"></iframe>
<iframe id="wide" src="page.html" style="width: 1600px; height: 800px"></iframe>
<script>
addEventListener("load", () => {
  const told = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument;
    told[frame.id] = page.documentElement.scrollWidth - page.documentElement.clientWidth;
    const figures = [...page.querySelectorAll(".drawing > .scroll")];
    told[`${frame.id} figures`] = figures.filter((box) => box.scrollWidth > box.clientWidth).length;
  }
  const page = document.getElementById("wide").contentDocument;
  const named = (table) => table.ariaLabel.startsWith("Configs of ablate_parts");
  const table = [...page.querySelectorAll("table.sortable")].find(named);
  const button = table.tHead.rows[0].cells[0].querySelector("button");
  const ranks = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join("");
  button.click(); told.up = ranks();
  button.click(); told.down = ranks();
  told.sort = button.closest("th").getAttribute("aria-sort");
  document.body.textContent = JSON.stringify(told);
});
</script>
"""


class Elements(HTMLParser):
    """Every element of a page, with its attributes and the text right inside it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]][-1] += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="session")
def elements(page: str) -> Elements:
    return Elements(page)


def test_every_element_is_closed(elements: Elements) -> None:
    assert not elements.open


def test_no_id_is_used_twice(elements: Elements) -> None:
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert len(elements.of("svg")) > 2
    assert [name for name, n in ids.items() if n > 1] == []


def test_every_reference_within_the_page_is_answered(elements: Elements) -> None:
    ids = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    values = [value for _, attributes in elements.found for value in attributes.values()]
    referred = {found for value in values for found in re.findall(r"^#(.+)|url\(#([^)]+)\)", value)}
    assert {first or second for first, second in referred} <= ids


def test_nothing_is_loaded_from_anywhere(elements: Elements, page: str) -> None:
    loaded = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action")
    ]
    assert {value for value in loaded if not value.startswith(("#", "data:"))} == set()
    assert "@import" not in page


def test_the_policy_names_the_only_script(elements: Elements) -> None:
    policy = next(meta for meta in elements.of("meta") if "http-equiv" in meta)["content"]
    digest = base64.b64encode(hashlib.sha256(elements.text["script"][0].encode()).digest()).decode()
    assert len(elements.of("script")) == 1
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_what_users_wrote_is_text_and_never_markup(page: str) -> None:
    assert "<script>alert" not in page
    assert "Is &lt;script&gt;alert(1)&lt;/script&gt; &amp; co." in page


def test_the_page_begins_with_the_findings_then_figure_4_then_claims(page: str) -> None:
    places = [
        page.index('<ul class="findings"'),
        page.index("Parts of the model (&#39;ablate_parts&#39;, Pearson-delta)"),
        page.index("Undecided: "),
        page.index('<p class="warning">'),
        page.index("Figure 4: ablation"),
        page.index("The paper&#39;s claims</h2>"),
        page.index("Picked config and runners-up</h2>"),
        page.index("Versions</h2>"),
    ]
    assert places == sorted(places)


def test_claims_take_the_pages_width_and_are_never_scrolled_up_and_down(page: str) -> None:
    assert page.count('<figure class="table wrapped">') == 1
    assert ".wrapped .scroll { max-height: none; width: 100%; }" in page


def test_every_table_is_sortable_by_keyboard(elements: Elements) -> None:
    tables = elements.of("table")
    heads = [attributes for attributes in elements.of("th") if attributes["scope"] == "col"]
    assert len(tables) >= 5
    assert all(table["class"] == "sortable" and table["aria-label"] for table in tables)
    assert all(head["aria-sort"] == "none" for head in heads)
    in_heads = [text for text in elements.text["button"] if text.strip()]
    assert len(in_heads) >= len(heads)


def test_headings_never_skip_a_level(elements: Elements) -> None:
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_figure_has_a_caption_and_words_in_place_of_the_drawing(elements: Elements) -> None:
    assert len(elements.of("figure")) == len(elements.of("figcaption"))
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 20 for svg in elements.of("svg"))


def test_what_can_be_scrolled_has_a_role_for_its_name(elements: Elements) -> None:
    scrolled = [attributes for _, attributes in elements.found if attributes.get("tabindex") == "0"]
    assert {"pre", "div"} <= {tag for tag, attributes in elements.found if attributes in scrolled}
    assert all(each["role"] == "region" and each["aria-label"] for each in scrolled)


def luminance(colour: str) -> float:
    """Relative luminance of a colour (WCAG 2.2)."""
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_known_pairs() -> None:
    # Black on white, and the greys next to the limit of 4.5 on white, as WCAG's own tools say.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_text_stands_out_from_its_ground_in_both_themes(elements: Elements) -> None:
    themes = [
        dict(re.findall(r"--(\w+): (#\w{6});", block))
        for block in re.findall(r"\{([^{}]*--ground:[^{}]*)\}", elements.text["style"][0])
    ]
    light, *dark = themes
    assert len(dark) == 2  # by the system's setting, and by the page's button
    assert dark[0] == dark[1]
    for theme in (light, dark[0]):
        ratios = {
            f"{text} on {ground}": contrast(theme[text], theme[ground])
            for text in ("ink", "quiet", "accent")
            for ground in ("ground", "raised")
        }
        assert min(ratios.values()) >= 4.5, ratios
    assert "opacity" not in elements.text["style"][0]


def test_the_dark_theme_has_no_white_cards(elements: Elements) -> None:
    cards = re.findall(r"--card: (#\w{6});", elements.text["style"][0])
    assert [luminance(card) < 0.05 for card in cards] == [False, True, True]


def test_the_contents_name_every_section(elements: Elements) -> None:
    linked = {link["href"][1:] for link in elements.of("a")} - {"content"}
    assert linked == {section["aria-labelledby"] for section in elements.of("section")}


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("Chromium is not installed.")
    return found


@pytest.mark.slow
def test_in_a_browser_the_page_fits_sorts_and_has_no_error(chromium: str, page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "measure.html").write_text(MEASURE)
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    ended = subprocess.run(
        [chromium, *options, f"file://{tmp_path / 'measure.html'}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = json.loads(present(re.search(r"\{.*\}", ended.stdout))[0])
    fits = {"narrow": 0, "narrow figures": 0, "wide": 0, "wide figures": 0}
    assert told == fits | {"up": "12-", "down": "21-", "sort": "descending"}
    assert "CONSOLE" not in ended.stderr
