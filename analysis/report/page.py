"""Render a report as one HTML page that needs nothing else: no network, no script or font of others."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from adapert.files import write_whole
from analysis.report.content import Report

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(report: Report) -> str:
    """Render a report as HTML; whatever users wrote is text on the page, never markup."""
    templates = _environment()
    script, style = (_source(templates, name) for name in ("page.js", "page.css"))
    return templates.get_template("page.html").render(
        report=report,
        style=style,
        script=script,
        policy=_policy(script),
    )


def write_page(report: Report, path: Path) -> str:
    """Write a report as an HTML file, whole or not at all.

    Returns:
        The page.

    Raises:
        InputError: `path` cannot be written.
    """
    page = render_page(report)
    write_whole(path, page)
    return page


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("analysis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(templates: "Environment", name: str) -> str:
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def _policy(script: str) -> str:
    """Let the browser load nothing, and run no script but the page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
