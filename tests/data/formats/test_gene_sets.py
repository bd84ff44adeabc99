import gzip
from pathlib import Path

import pytest

from adapert.data.formats.gene_sets import read_gene_sets
from adapert.errors import InputError


def test_gene_sets_are_read_from_a_gmt_file(tmp_path: Path) -> None:
    (tmp_path / "sets.gmt").write_text("ONE\thttp://x\tA\tB\t\nTWO\t\tC\n\n")
    assert read_gene_sets(tmp_path / "sets.gmt") == {"ONE": ["A", "B"], "TWO": ["C"]}


@pytest.mark.parametrize(
    "content",
    [
        b"ONE\tx\tA\tB\tA\t\t\r\n\r\n\t\nNONE\tx\nNONE\tx\t\n",
        b"\xef\xbb\xbfONE\tx\t A\tB \nONE\tx\tA\tB\n",
        gzip.compress(b"ONE\tx\tA\tB\n", mtime=0),
    ],
)
def test_odd_lines_of_a_gmt_file_do_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sets.gmt").write_bytes(content)
    assert read_gene_sets(tmp_path / "sets.gmt") == {"ONE": ["A", "B"]}


@pytest.mark.parametrize("content", [b"ONE\tx\t\xb5\n", b"\x1f\x8bcut"])
def test_a_gmt_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sets.gmt").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as text"):
        read_gene_sets(tmp_path / "sets.gmt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be a GMT file, but '.*' does not exist"),
        ("", "must not be empty, but"),
        ("ONE\tx\tA\nTWO,x,B\n", "1 of 2 lines"),
        ("ONE\tx\n", "with tabs between, but 0 of 1 line"),
        ("ONE\tx\tA\nTWO\tx\tB\nONE\tx\tB\n", "1 in '.*' name several sets: 'ONE'"),
    ],
)
def test_files_that_are_no_gmt_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "sets.gmt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_gene_sets(tmp_path / "sets.gmt")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_gmt_file_of_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "sets.gmt").write_bytes("SÄT\thttps://x\tA\tB\n".encode(encoding))
    with pytest.raises(
        InputError, match=r"Gene sets must be a GMT file, but '.*sets\.gmt' cannot be read as text"
    ):
        read_gene_sets(tmp_path / "sets.gmt")


def test_a_byte_order_mark_is_no_part_of_a_set_s_name(tmp_path: Path) -> None:
    (tmp_path / "sets.gmt").write_bytes("SET\thttps://x\tA\tB\n".encode("utf-8-sig"))
    assert read_gene_sets(tmp_path / "sets.gmt") == {"SET": ["A", "B"]}
