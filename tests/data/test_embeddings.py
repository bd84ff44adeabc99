import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from adapert.data.embeddings import align_embeddings, read_embeddings
from adapert.errors import InputError

SYMBOLS = np.array(["KLF1", "SET", "AARS1"])
VECTORS = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])


def write(path: Path, symbols: np.ndarray = SYMBOLS, vectors: np.ndarray = VECTORS) -> Path:
    frame = pd.DataFrame(vectors, columns=["d0", "d1"]).assign(gene=symbols).set_index("gene").reset_index()
    if path.suffix == ".npz":
        np.savez(path, symbols=symbols, embedding=vectors)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif any(form in path.name.lower() for form in (".json", ".pkl", ".pickle")):
        content = dict(zip(symbols.tolist(), vectors.tolist(), strict=True))
        data = json.dumps(content).encode() if ".json" in path.name else pickle.dumps(content)
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    else:
        frame.to_csv(
            path, sep="\t" if ".tsv" in path.name else ",", index=False, header="plain" not in path.name
        )
    return path


@pytest.mark.parametrize(
    "name",
    [
        *("t.npz", "t.csv", "plain.csv", "t.tsv", "t.tsv.gz", "t.csv.gz", "t.parquet", "t.pkl", "t.pickle"),
        *("t.PKL", "t.pickle.gz", "t.pkl.gz", "t.json", "t.json.gz"),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    embeddings = read_embeddings(write(tmp_path / name))
    rows = dict(zip(embeddings.symbols.tolist(), embeddings.vectors.tolist(), strict=True))
    assert rows == {"KLF1": [3.0, 4.0], "SET": [0.0, 2.0], "AARS1": [1.0, 0.0]}


def test_rows_are_normalised_and_aligned(tmp_path: Path) -> None:
    aligned = align_embeddings(read_embeddings(write(tmp_path / "t.npz")), np.array(["X", "KLF1"]), {})
    np.testing.assert_allclose(aligned.embedding, np.array([[0, 0], [0.6, 0.8]]), rtol=1e-6)
    assert aligned.has_embedding.tolist() == [False, True]
    assert aligned.embedding.dtype == np.float32


def test_alias_finds_the_row(tmp_path: Path) -> None:
    embeddings = read_embeddings(write(tmp_path / "t.npz"))
    aligned = align_embeddings(embeddings, np.array(["AARS"]), {"AARS": ("AARS1",)})
    assert aligned.embedding.tolist() == [[1.0, 0.0]]


def test_zero_vector_counts_as_none(tmp_path: Path) -> None:
    embeddings = read_embeddings(write(tmp_path / "t.npz", vectors=VECTORS * [[1], [0], [1]]))
    aligned = align_embeddings(embeddings, SYMBOLS, {})
    assert aligned.has_embedding.tolist() == [True, False, True]


def test_first_of_a_repeated_symbol_counts(tmp_path: Path) -> None:
    embeddings = read_embeddings(write(tmp_path / "t.npz", symbols=np.array(["A", "B", "A"])))
    assert embeddings.vectors.tolist() == [[3.0, 4.0], [0.0, 2.0]]


@pytest.mark.parametrize("name", ["t.npz", "t.csv", "t.pkl"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, name: str, value: float) -> None:
    vectors = VECTORS.copy()
    vectors[1, 0] = value
    with pytest.raises(InputError, match=r"finite numbers, but 1 of 3 rows .*'SET'"):
        read_embeddings(write(tmp_path / name, vectors=vectors))


def test_ragged_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps({"KLF1": [1.0, 2.0], "SET": [1.0]}))
    with pytest.raises(InputError, match=r"of 2 in .* 1 do not have the first's 2: 'SET'"):
        read_embeddings(path)


@pytest.mark.parametrize("text", ["gene,a,b\nKLF1,1,2\nSET,1\n", "gene,a,b\nKLF1,1,2\nSET,1,2,3\n"])
def test_ragged_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"must be finite numbers|cannot be read as one"):
        read_embeddings(path)


def test_a_table_without_any_numbers_is_no_table_of_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "network.tsv"
    path.write_text("KLF1\tSET\nSET\tKLF1\n")
    message = r"but '.*network\.tsv' has no row of such: it is no table of embeddings\. Name a file"
    with pytest.raises(InputError, match=message):
        read_embeddings(path)


def test_bad_rows_are_counted_in_one_way_and_named_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("gene,a,b\nKLF1,1,2\n" + "SET,x,2\n" * 1200)
    with pytest.raises(InputError, match=r"but 1,200 of 1,201 rows in '.*' are not: 'SET'\. Remove"):
        read_embeddings(path)


class Executes:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_pickle_that_would_execute_code_is_refused_and_executes_none(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps({"KLF1": Executes(trace)}))
    with pytest.raises(InputError, match=r"would execute code \('_?io\.open'\)\. Convert it to \.npz"):
        read_embeddings(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no pickle", "must be a pickle"),
        (pickle.dumps([1, 2]), "must be a dict of gene to list"),
        (pickle.dumps({1: [1.0]}), "must be a dict of gene to list"),
        (pickle.dumps({"KLF1": [[1.0, 2.0]]}), "must be numbers, but 'KLF1' .* has others"),
        (pickle.dumps({"KLF1": [None]}), "must be finite numbers"),
        (pickle.dumps({"KLF1": [10**400]}), "must be numbers"),
        (pickle.dumps({"KLF1": []}), "must not be empty"),
        (pickle.dumps({}), "must not be empty"),
        (pickle.dumps({"KLF1": ["x"]}), "must be numbers"),
    ],
)
def test_bad_pickle_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.pickle"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_embeddings(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"genes": SYMBOLS, "embedding": VECTORS},
            "must hold 'symbols' and 'embedding', but .* 'genes', 'embedding'",
        ),
        ({"symbols": SYMBOLS, "embedding": VECTORS[:2]}, r"'symbols' is \(3,\) and 'embedding' \(2, 2\)"),
        (
            {"symbols": SYMBOLS.astype(object), "embedding": VECTORS},
            r"'symbols' .* holds Python objects.*savez\(\.\.\., symbols=symbols\.astype\(str\)\)",
        ),
        (
            {"symbols": SYMBOLS, "embedding": VECTORS.astype(object)},
            r"'embedding' .* holds Python objects.*embedding=embedding\.astype\(float\)",
        ),
        ({"symbols": SYMBOLS, "embedding": VECTORS[:, 0]}, r"'embedding' \(3,\)"),
        ({"symbols": SYMBOLS, "embedding": VECTORS > 0}, "is of type bool"),
    ],
)
def test_bad_npz_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_embeddings(tmp_path / "t.npz")


def test_text_without_a_shared_gene_is_refused(tmp_path: Path) -> None:
    embeddings = read_embeddings(write(tmp_path / "t.npz"))
    with pytest.raises(InputError, match="must cover genes of the data, but of their 3 symbols"):
        align_embeddings(embeddings, np.array(["X"]), {})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    content = {f"G{number}": [0.5, 1, number, 70000, -(2**40)] for number in range(300)}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(content, protocol))
    embeddings = read_embeddings(tmp_path / "t.pkl")
    rows = dict(zip(embeddings.symbols.tolist(), embeddings.vectors.tolist(), strict=True))
    assert rows == content


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npz_of_every_kind_of_number_is_read(tmp_path: Path, order: Literal["C", "F"], size: int) -> None:
    vectors = VECTORS.astype(np.dtype(f"f{size}"), order=order)
    assert read_embeddings(write(tmp_path / "t.npz", vectors=vectors)).vectors.tolist() == [
        *([1.0, 0.0], [3.0, 4.0], [0.0, 2.0])
    ]


def test_symbols_of_bytes_and_with_blanks_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", symbols=np.array([b"KLF1 ", b" SET", b"A"]), embedding=VECTORS)
    embeddings = read_embeddings(tmp_path / "t.npz")
    assert embeddings.symbols.tolist() == ["A", "KLF1", "SET"]


def test_symbols_with_several_embeddings_are_noted(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    symbols, vectors = np.array(["A", "B", "A", "B"]), np.array([[1.0], [2.0], [3.0], [2.0]])
    np.savez(tmp_path / "t.npz", symbols=symbols, embedding=vectors)
    read_embeddings(tmp_path / "t.npz")
    assert logged.messages == ["symbols with several embeddings, of which the first counts: 'A'"]


def test_a_parquet_column_of_lists_is_read(tmp_path: Path) -> None:
    pd.DataFrame({"gene": SYMBOLS, "embedding": VECTORS.tolist()}).to_parquet(tmp_path / "t.parquet")
    assert read_embeddings(tmp_path / "t.parquet").symbols.tolist() == ["AARS1", "KLF1", "SET"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_words_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t.{suffix}", vectors=np.array([["a", "b"]] * 3))
    with pytest.raises(InputError, match=r"finite numbers, but .* has no row of such"):
        read_embeddings(path)


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b'{"A": 1}', b'{"A": [1], "B": {}}', b"[" * 10**5, b"\xff"]
)
def test_other_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(InputError, match=r"must be (JSON|a dict of gene to list), but"):
        read_embeddings(tmp_path / "t.json")


def write_npz(path: Path, shape: tuple[int, int], content: bytes, dtype: str = "<f4") -> None:
    """Write an .npz whose embedding declares another shape than it has content for."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    symbols = io.BytesIO()
    np.save(symbols, SYMBOLS)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("symbols.npy", symbols.getvalue())
        archive.writestr("embedding.npy", header.getvalue() + content)


@pytest.mark.parametrize("shape", [(3, 2), (10**9, 10**9), (-3, -2)])
def test_an_array_of_other_bytes_than_declared_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_npz(tmp_path / "t.npz", shape, bytes(7))
    with pytest.raises(InputError, match=r"must be plain arrays in an \.npz file, but .* is damaged"):
        read_embeddings(tmp_path / "t.npz")


def test_an_array_that_unpacks_to_more_than_memory_is_refused_unread(tmp_path: Path) -> None:
    write_npz(tmp_path / "t.npz", (3, 2**25), bytes(3 * 2**26), dtype="<f2")
    with pytest.raises(InputError, match=r"'embedding' in .* declares 0\.8 GB"):
        read_embeddings(tmp_path / "t.npz")


def test_a_small_pickle_that_asks_for_much_memory_is_refused_without_it(tmp_path: Path) -> None:
    # LONG_BINPUT: the place 2^32 - 1 among what was read, for which Python's fast reader makes a list.
    (tmp_path / "t.pkl").write_bytes(b"\x80\x04}r\xff\xff\xff\xff.")
    with pytest.raises(InputError, match="must not be empty"):
        read_embeddings(tmp_path / "t.pkl")
