import gzip

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
