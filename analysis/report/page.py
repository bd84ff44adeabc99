"""Render a report as one HTML page that needs nothing else: no network, no script or font of others."""

import base64
import hashlib
from pathlib import Path

from adapert.files import write_whole
from analysis.report.content import Report


def render_page(report: Report) -> str:
    """Render a report as HTML; whatever users wrote is text on the page, never markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("analysis.report")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script, style = (loader.get_source(templates, name)[0] for name in ("page.js", "page.css"))
    # The browser loads nothing, and runs no script but the page's own.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    page = templates.get_template("page.html")
    return page.render(report=report, style=style, script=script, policy=policy)


def write_page(report: Report, path: Path) -> str:
    """Write a report as an HTML file, whole or not at all.

    Raises:
        InputError: `path` cannot be written.
    """
    page = render_page(report)
    write_whole(path, page)
    return page
