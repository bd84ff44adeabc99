import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow.lib import BinaryArray, StringArray

from adapert.data.formats.tables import open_binary, read_table, require_file
from adapert.errors import InputError


@pytest.mark.parametrize("separator", ["\t", ",", " ", ";", "  ", ", "])
def test_separator_is_read_from_the_first_line(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "table.txt"
    path.write_text(f"gene{separator}score\nKLF1{separator}2\n")
    assert read_table(path, "The table").to_dict("records") == [{"gene": "KLF1", "score": 2}]


def test_first_line_that_ends_in_a_number_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("KLF1\t2\nSET\t3\n")
    assert read_table(path, "The table")[0].tolist() == ["KLF1", "SET"]


def test_gzip_and_parquet_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"gene": ["KLF1"], "score": [2]})
    with gzip.open(tmp_path / "table.tsv.gz", "wt") as file:
        file.write(frame.to_csv(sep="\t", index=False))
    frame.to_parquet(tmp_path / "table.parquet")
    for name in ("table.tsv.gz", "table.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name, "The table"), frame)


def test_gene_called_na_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("gene,score\nNA,1\n")
    assert read_table(path, "The table")["gene"].tolist() == ["NA"]


@pytest.mark.parametrize("content", ["", "gene,score\n"])
def test_empty_table_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"The table must (not be empty|be a table)"):
        read_table(path, "The table")


@pytest.mark.parametrize("name", ["table.parquet", "table.csv.gz", "table.csv"])
def test_other_bytes_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x81,\xff\n\xfe,1\n")
    with pytest.raises(InputError, match=r"must be a table, but .* cannot be read as one"):
        read_table(path, "The table")


def test_a_file_that_is_no_text_is_refused_with_what_to_name(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\xf6\x00")
    with pytest.raises(
        InputError,
        match=r"h5ad' cannot be read as one: it is not UTF-8 text\. Name the file of the network, or",
    ):
        read_table(path, "The network")


def test_lines_of_several_lengths_are_refused_with_a_cure(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(InputError, match=r"Expected 2 fields.*the same number of columns in every line\.$"):
        read_table(path, "STRING's protein info")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"The network must be a file, but there is no file '.*none\.tsv'"
    ):
        require_file(tmp_path / "none.tsv", "The network")


@pytest.mark.parametrize("content", [b"\xff", b"\xc3"])
def test_a_parquet_file_of_bad_utf_8_is_refused(tmp_path: Path, content: bytes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    offsets = pa.py_buffer(np.array([0, len(content)], np.int32))
    bad = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(content)])
    pq.write_table(pa.table({"gene": bad, "x": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="The embeddings must be a table, but"):
        read_table(tmp_path / "t.parquet", "The embeddings")


def test_names_of_bytes_in_a_parquet_file_are_text(tmp_path: Path) -> None:
    pd.DataFrame({"gene": [b"KLF1"], "x": [1.0]}).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", "The embeddings")["gene"].tolist() == ["KLF1"]


ROW = {"gene": "KLF1", "line": "K562", "score": 0.5}


@pytest.mark.parametrize(
    "content",
    [
        b"gene\tline\tscore\nKLF1\tK562\t0.5\n",
        b"gene;line;score\nKLF1;K562;0,5\n",
        b"gene;line;score\nKLF1;K562;0.5\n",
        b'"gene","line","score"\n"KLF1","K562",0.5\n',
        b"\xef\xbb\xbfgene,line,score\r\nKLF1,K562,0.5\r\n",
        b"gene,line,score\rKLF1,K562,0.5\r",
        b"# a comment\n#\n\ngene,line,score\nKLF1,K562,0.5\n",
        b"\ngene,line,score\n\nKLF1,K562,0.5\n\n",
        b'"gene" "line" "score"\n"1" "KLF1" "K562" 0.5\n',
        b"gene\tline\tscore\nKLF1\tK562\t0.5\t\n",
        "gene\tline\tscore\nKLF1\tK562\t0.5\n".encode("utf-16"),
        gzip.compress(b"gene,line,score\nKLF1,K562,0.5\n", mtime=0),
    ],
)
def test_every_dialect_gives_the_same_row(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    table = read_table(path, "The table")[["gene", "line", "score"]]
    assert table.astype({"score": float}).to_dict("records") == [ROW]


def test_names_of_columns_behind_a_hash_are_names(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("# release 4\n#gene\tscore\nKLF1\t2\n")
    assert read_table(path, "The table").to_dict("records") == [{"#gene": "KLF1", "score": 2}]


@pytest.mark.parametrize("line", ["KLF1\tSET\t0.9\tcuration", "KLF1;SET;0,9"])
def test_a_first_line_with_a_number_is_no_header(tmp_path: Path, line: str) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(f"{line}\n{line}\n")
    assert len(read_table(path, "The table")) == 2


@pytest.mark.parametrize("first", ["", "gene"])
def test_columns_that_are_counted_are_no_row(tmp_path: Path, first: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{first},0,1,2\nKLF1,0.5,0.2,0.1\n")
    assert read_table(path, "The table").iloc[:, 0].tolist() == ["KLF1"]


def test_index_of_a_parquet_file_is_the_first_column(tmp_path: Path) -> None:
    pd.DataFrame({"d0": [0.5]}, index=pd.Index(["KLF1"], name="gene")).to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", "The table")
    assert table.to_dict("records") == [{"gene": "KLF1", "d0": 0.5}]


def test_folder_with_an_equals_sign_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "line=k562").mkdir()
    pd.DataFrame({"gene": ["KLF1"]}).to_parquet(tmp_path / "line=k562" / "t.parquet")
    assert list(read_table(tmp_path / "line=k562" / "t.parquet", "The table")) == ["gene"]


def test_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("gene,score\nµ,1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"it is not UTF-8 text.*save it again as UTF-8"):
        read_table(path, "The table")


def write_parquet(path: Path, array: BinaryArray | StringArray) -> Path:
    pyarrow.parquet.write_table(pa.table({"gene": array, "score": [1, 2]}), path)
    return path


def test_bytes_of_a_parquet_file_are_text(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", pa.array([b"KLF1", b"SET"]))
    assert read_table(path, "The table")["gene"].tolist() == ["KLF1", "SET"]


@pytest.mark.parametrize("is_declared_text", [True, False])
def test_a_parquet_file_of_bad_utf8_is_refused(tmp_path: Path, is_declared_text: bool) -> None:
    raw = pa.array([b"KLF\xb5", b"SET"])
    array = pa.Array.from_buffers(pa.string(), 2, raw.buffers()) if is_declared_text else raw
    with pytest.raises(InputError, match=r"must be a table, but .* Invalid"):
        read_table(write_parquet(tmp_path / "t.parquet", array), "The table")


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["A"]), pa.array(["B"])], names=["gene", "gene"])
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="several columns are called 'gene'"):
        read_table(tmp_path / "t.parquet", "The table")


def test_a_parquet_file_that_declares_more_than_memory_is_refused_unread(tmp_path: Path) -> None:
    ones = pa.array(np.ones(10**6, dtype=np.int8))
    columns = {f"d{number}": ones for number in range(50)}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"the table in .* declares 0\.4 GB"):
        read_table(tmp_path / "t.parquet", "The table")


def test_a_gzip_file_that_unpacks_to_more_than_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(bytes(300 * 2**20), compresslevel=1))
    with pytest.raises(InputError, match=r"what is packed in .* declares 0\.3 GB"), open_binary(path) as file:
        file.read()
