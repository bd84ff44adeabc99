import gzip

import numpy as np
import pandas as pd
import pytest

from adapert.data.tables import read_table, require_file
from adapert.errors import InputError


@pytest.mark.parametrize("separator", ["\t", ",", " "])
def test_separator_is_read_from_the_first_line(tmp_path, separator):
    path = tmp_path / "table.txt"
    path.write_text(f"gene{separator}score\nKLF1{separator}2\n")
    assert read_table(path, "The table").to_dict("records") == [{"gene": "KLF1", "score": 2}]


def test_first_line_that_ends_in_a_number_is_no_header(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("KLF1\t2\nSET\t3\n")
    assert read_table(path, "The table")[0].tolist() == ["KLF1", "SET"]


def test_gzip_and_parquet_are_read(tmp_path):
    frame = pd.DataFrame({"gene": ["KLF1"], "score": [2]})
    with gzip.open(tmp_path / "table.tsv.gz", "wt") as file:
        file.write(frame.to_csv(sep="\t", index=False))
    frame.to_parquet(tmp_path / "table.parquet")
    for name in ("table.tsv.gz", "table.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name, "The table"), frame)


def test_gene_called_na_stays_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("gene,score\nNA,1\n")
    assert read_table(path, "The table")["gene"].tolist() == ["NA"]


@pytest.mark.parametrize("content", ["", "gene,score\n"])
def test_empty_table_is_refused(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"The table must (not be empty|be a table)"):
        read_table(path, "The table")


@pytest.mark.parametrize("name", ["table.parquet", "table.csv.gz", "table.csv"])
def test_other_bytes_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x80\x81,\xff\n\xfe,1\n")
    with pytest.raises(InputError, match=r"must be a table, but .* cannot be read as one"):
        read_table(path, "The table")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"The network must be a file, but there is no file '.*none\.tsv'"
    ):
        require_file(tmp_path / "none.tsv", "The network")


def test_a_gzip_file_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("adapert.data.tables.SMALL_BYTES", 100_000)
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(b"A\tB\t1\n" * 100_000))
    with pytest.raises(InputError, match=r"'.*t\.tsv\.gz' holds more than 100,000 bytes in"):
        read_table(tmp_path / "t.tsv.gz", "The network")


def test_a_parquet_file_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("adapert.data.tables.SMALL_BYTES", 1000)
    frame = pd.DataFrame({"gene": pd.Categorical(["A"] * 100_000), "x": 0.0})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="declares 100,000 rows of 2 columns"):
        read_table(tmp_path / "t.parquet", "The text embeddings")


@pytest.mark.parametrize("content", [b"\xff", b"\xc3"])
def test_a_parquet_file_of_bad_utf_8_is_refused(tmp_path, content):
    import pyarrow as pa
    import pyarrow.parquet as pq

    offsets = pa.py_buffer(np.array([0, len(content)], np.int32))
    bad = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(content)])
    pq.write_table(pa.table({"gene": bad, "x": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="The text embeddings must be a table, but"):
        read_table(tmp_path / "t.parquet", "The text embeddings")


def test_names_of_bytes_in_a_parquet_file_are_text(tmp_path):
    pd.DataFrame({"gene": [b"KLF1"], "x": [1.0]}).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", "The text embeddings")["gene"].tolist() == ["KLF1"]
