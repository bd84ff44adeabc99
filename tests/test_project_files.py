"""Files about the project, which no command of it reads: what they name must exist."""

import pkgutil
import re
from pathlib import Path

import pytest
import yaml

from adapert import __version__

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
NAMING_IMAGES = (
    "deploy/compose.yaml",
    "deploy/Dockerfile",
    "deploy/kuberay/rayjob.yaml",
    "deploy/kuberay/tracking.yaml",
    "docs/clusters.md",
)
NAMING_TARGETS = (
    "README.md",
    "CONTRIBUTING.md",
    ".ci/run",
    ".github/pull_request_template.md",
    ".github/workflows/tests.yaml",
)
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)


@pytest.mark.parametrize("name", PAGES)
def test_every_module_that_a_page_names_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    packages = "adapert|analysis|benchmarks|search_spaces|studies|tests|deploy"
    named = re.findall(rf"`((?:{packages})/[\w./-]+)`", text)
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []
    for dotted in re.findall(r"`(adapert(?:\.\w+)+)`", text):
        pkgutil.resolve_name(dotted)


@pytest.mark.parametrize("name", NAMING_TARGETS)
def test_every_make_target_that_a_file_names_exists(name: str) -> None:
    targets = set(re.findall(r"^([\w.-]+):", MAKEFILE, re.MULTILINE))
    lines = re.findall(r"(?:^|`|run: )make ([\w. -]+)", (ROOT / name).read_text(), re.MULTILINE)
    named = {word for line in lines for word in line.split()}
    assert named
    assert named <= targets


def test_hooks_run_programs_that_make_runs_too() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    programs = {hook["entry"].split()[0] for repo in config["repos"] for hook in repo["hooks"]}
    of_make = {f".venv/bin/{name}" for name in re.findall(r"\$\(BIN\)/(\S+)", MAKEFILE)}
    assert {".venv/bin/ruff", ".venv/bin/mypy"} <= programs <= of_make


def test_the_workflow_covers_the_oldest_python_that_is_allowed() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yaml").read_text())["jobs"]
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert oldest[1] in jobs["pinned"]["strategy"]["matrix"]["python"]
    lowest = [
        one
        for one in jobs["versions"]["strategy"]["matrix"]["include"]
        if one["resolution"] == "lowest-direct"
    ]
    assert [one["python"] for one in lowest] == [oldest[1]]


def test_a_citation_names_the_version_that_is_installed() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__


@pytest.mark.parametrize("name", NAMING_IMAGES)
def test_images_are_tagged_with_the_version(name: str) -> None:
    tags = set(re.findall(r"adapert(?:-tracking)?:(\d[\w.]*)", (ROOT / name).read_text()))
    assert tags == {__version__}


def test_the_changelog_has_an_unreleased_section_then_this_version() -> None:
    released = yaml.safe_load((ROOT / "CITATION.cff").read_text())["date-released"]
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["[Unreleased]", f"[{__version__}] - {released}"]


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    sections = re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("name", ["Makefile", ".github/workflows/tests.yaml", "README.md", "CONTRIBUTING.md"])
def test_an_editable_install_is_by_path(name: str) -> None:
    """Else a folder "studies" in the working directory, as each workspace has, hides the package."""
    for command in re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", (ROOT / name).read_text()):
        is_editable = re.search(r" (-e|--editable) ", command) is not None
        assert not is_editable or "editable_mode=compat" in command
