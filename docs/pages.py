"""Pages of the site that are made from other files, and links that lead out of it."""

import re
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click
from typer.main import get_command

from adapert.cli.entry import app
from adapert.config import Config
from adapert.config.fields import ConfigField, describe_fields, section_classes

ROOT = Path(__file__).parents[1]

FROM_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the project's root that are pages of the site too."""

PAGE_OF = FROM_ROOT | {"adapert/config/sections.py": "config.md"}
"""Pages in whose place other pages link to a file, so that links work outside the site too."""

CONFIG_HEAD = """# Config

Every setting of a trial, from `adapert/config/sections.py`: `--set SECTION.FIELD=VALUE` changes one, a YAML
file of sections gives many, and a search space names them likewise. A model reads the sections that
[Systems](systems.md) lists for it; a study refuses a field of another section. `adapert config`
prints the same in a [terminal](terminal.md).
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the commands, the config and files of the project's root."""
    pages = {"commands.md": _describe_commands(), "config.md": _describe_config()}
    pages |= {page: (ROOT / name).read_text() for name, page in FROM_ROOT.items()}
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to pages of the site, and leave the mere names of files that are not on it."""

    def resolve(link: re.Match[str]) -> str:
        label, path, anchor = link.groups()
        name = path.removeprefix("../").removeprefix("docs/")
        name = PAGE_OF.get(name, name)
        return f"[{label}]({name}{anchor or ''})" if files.get_file_from_path(name) else label

    return re.sub(r"(?<!!)\[([^\]]+)\]\(((?!https?:|#|mailto:)[^)#]+)(#[^)]*)?\)", resolve, markdown).replace(
        "](docs/", "]("
    )


def _describe_commands() -> str:
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="adapert", title="Command line")
    return re.sub(r"^# `(.+)`$", r"# \1", text, flags=re.MULTILINE)


def _describe_config() -> str:
    sections = [CONFIG_HEAD]
    fields = describe_fields()
    for name, kind in section_classes(Config).items():
        rows = [_describe_field(field) for field in fields if field.section == name]
        table = ["| field | default | values | meaning |", "|---|---|---|---|", *rows]
        sections.append(f"## {name}\n\n{(kind.__doc__ or '').strip()}\n\n" + "\n".join(table))
    return "\n\n".join(sections) + "\n"


def _describe_field(field: ConfigField) -> str:
    values = (
        field.values if isinstance(field.values, str) else ", ".join(f"`{word}`" for word in field.values)
    )
    cells = (f"`{field.name}`", f"`{field.default}`", values, field.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
