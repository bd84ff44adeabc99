"""Pages of the site that are made from the commands and the config."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from adapert.cli.entry import app
from adapert.config import Config, ModelName, TxPertConfig
from adapert.config.names import read_sections

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOT_MADE = "The site is built with the extra 'docs' (pip install '.[docs]')."


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    pytest.importorskip("mkdocs", reason=NOT_MADE)
    spec = importlib.util.spec_from_file_location("pages", DOCS / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_config_page_has_each_field_with_its_default(pages: ModuleType) -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", pages._describe_config(), re.MULTILINE)
    assert dict(rows) == {name: str(value) for name, value in Config().flat().items()}
    assert len(rows) == len(Config().flat())


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("training.plateau_factor", "above 0 below 1"),
        ("model.n_heads", "from 1 to 64"),
        ("loss.weighting", "`cells`, `perturbations`"),
        ("model.residual", "`true`, `false`"),
        ("graph.networks", "text"),
    ],
)
def test_the_config_page_says_what_a_field_takes(pages: ModuleType, field: str, values: str) -> None:
    assert re.search(rf"\| `{field}` \| `[^`]*` \| {values} \|", pages._describe_config())


def test_the_page_of_commands_has_each_of_them(pages: ModuleType) -> None:
    headings = re.findall(r"^## `adapert (\w+)`$", pages._describe_commands(), re.MULTILINE)
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert headings == list(group.commands)


def test_every_page_is_in_the_navigation() -> None:
    navigation = yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    made = {"index.md", "commands.md", "config.md", "contributing.md", "changelog.md"}
    assert sorted(re.findall(r"\w+\.md", navigation)) == sorted(
        {page.name for page in DOCS.glob("*.md")} | made
    )


def test_every_system_and_layer_has_its_row_and_its_section_with_the_fields_that_it_reads() -> None:
    page = (DOCS / "systems.md").read_text()
    rows = re.findall(r"^\| \[([^\]]+)\]\(#([\w-]+)\) \|", page, re.MULTILINE)
    anchor_of = {name: anchor for names, anchor in rows for name in re.findall(r"`(\w+)`", names)}
    assert anchor_of.keys() == set(get_args(ModelName))
    sections = {
        re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")): text
        for title, text in re.findall(r"^## (.+)$\n((?:(?!^## ).*\n)*)", page, re.MULTILINE)
    }
    for name, anchor in anchor_of.items():
        text = sections[anchor]
        labels = re.findall(r"^- \*\*([^*]+)\*\*", text, re.MULTILINE)
        assert [label for label in labels if label != "Ours"] == [
            *["Is", "Reads", "Source", "Take it", "Rather not", "Fields"]
        ], name
        fields = text.partition("- **Fields**")[2].partition("\n\n")[0].partition(". ")[0]
        own = read_sections(name)
        assert re.findall(r"`(\w+)`", fields) == list(own), name
    layers = re.findall(r"^\| `(\w+)` \| (?:one|several) \|", sections["txpert"], re.MULTILINE)
    assert layers == list(get_args(TxPertConfig.model_fields["layer"].annotation))


def test_the_messages_to_look_up_are_those_of_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `(?:Warning: )?([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 15
    said = {text for path in (ROOT / "adapert").rglob("*.py") for text in _strings(path)}
    missing = [
        message
        for message in messages
        if not any(all(part in text for part in message.split("...")) for text in said)
    ]
    assert missing == []


def _strings(path: Path) -> Iterator[str]:
    """Texts of a module, whole, with nothing where values are put in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
