"""Pages of the site that are made from other files, and links that lead out of it."""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click
from typer.main import get_command

from adapert.cli.entry import app
from adapert.config import Config

ROOT = Path(__file__).parents[1]

FROM_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the project's root that are pages of the site too."""

PAGE_OF = FROM_ROOT | {"adapert/config/sections.py": "config.md"}
"""Pages in whose place other pages link to a file, so that links work outside the site too."""

CONFIG_HEAD = """# Config

Every setting of a trial, from `adapert/config/sections.py`: `--set SECTION.FIELD=VALUE` changes one, a YAML
file of sections gives many, and a search space names them likewise. A model reads the sections that
[Systems](systems.md) lists for it; a study refuses a field of another section.
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
    for name, section in Config.model_fields.items():
        kind = section.annotation
        assert kind is not None
        head = (kind.__doc__ or "").strip()
        rows = [_describe_field(name, field, info) for field, info in kind.model_fields.items()]
        table = ["| field | default | values | meaning |", "|---|---|---|---|", *rows]
        sections.append(f"## {name}\n\n{head}\n\n" + "\n".join(table))
    return "\n\n".join(sections) + "\n"


def _describe_field(section: str, name: str, field: FieldInfo) -> str:
    cells = (f"`{section}.{name}`", f"`{field.default}`", _describe_values(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _describe_values(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    signs = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
    bounds = [
        f"{word} {getattr(bound, sign):,}"
        for sign, word in signs.items()
        for bound in field.metadata
        if hasattr(bound, sign)
    ]
    return " ".join(bounds) or "text"
