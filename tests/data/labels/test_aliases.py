from pathlib import Path

import pytest

from adapert.data.labels.aliases import match_names, read_aliases
from adapert.errors import InputError


@pytest.fixture
def alias_table(tmp_path: Path) -> Path:
    path = tmp_path / "aliases.tsv"
    path.write_text("old\tnew\nAARS\tAARS1\nMLL2\tKMT2D\n")
    return path


def test_aliases_work_in_both_directions(alias_table: Path) -> None:
    aliases = read_aliases(alias_table)
    assert match_names(["AARS", "KMT2D"], {"AARS1", "MLL2"}, aliases) == {"AARS": "AARS1", "KMT2D": "MLL2"}


def test_name_that_is_there_needs_no_alias(alias_table: Path) -> None:
    assert match_names(["AARS"], {"AARS", "AARS1"}, read_aliases(alias_table)) == {"AARS": "AARS"}


def test_unknown_name_has_no_match(alias_table: Path) -> None:
    assert match_names(["KLF1"], {"AARS"}, read_aliases(alias_table)) == {}


def test_no_table_is_no_aliases() -> None:
    assert read_aliases(None) == {}


def test_three_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "aliases.csv"
    path.write_text("a,b,c\n")
    with pytest.raises(InputError, match=r"must have two columns, but .* has 3"):
        read_aliases(path)


@pytest.mark.parametrize(
    "text", ["AARS1;AARS\n", "AARS1, AARS \n", "# changed\n\nAARS1\tAARS\n", '"AARS1","AARS"\n']
)
def test_every_dialect_gives_the_same_pair(tmp_path: Path, text: str) -> None:
    (tmp_path / "aliases.csv").write_text(text)
    assert read_aliases(tmp_path / "aliases.csv") == {"AARS1": ("AARS",), "AARS": ("AARS1",)}
