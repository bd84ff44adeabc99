import pickle
import struct
import zipfile

import numpy as np
import pandas as pd
import pytest

from adapert.data.embeddings import align_embeddings, read_embeddings
from adapert.errors import InputError

SYMBOLS = np.array(["KLF1", "SET", "AARS1"])
VECTORS = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])


def write(path, symbols=SYMBOLS, vectors=VECTORS):
    frame = pd.DataFrame(vectors, columns=["d0", "d1"]).assign(gene=symbols).set_index("gene").reset_index()
    if path.suffix == ".npz":
        np.savez(path, symbols=symbols, embedding=vectors)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix in (".pkl", ".pickle"):
        path.write_bytes(pickle.dumps(dict(zip(symbols.tolist(), vectors.tolist(), strict=True))))
    else:
        frame.to_csv(
            path, sep="\t" if ".tsv" in path.name else ",", index=False, header="plain" not in path.name
        )
    return path


@pytest.mark.parametrize(
    "name", ["t.npz", "t.csv", "plain.csv", "t.tsv", "t.tsv.gz", "t.parquet", "t.pkl", "t.pickle"]
)
def test_every_form_gives_the_same_rows(tmp_path, name):
    embeddings = read_embeddings(write(tmp_path / name))
    rows = dict(zip(embeddings.symbols.tolist(), embeddings.vectors.tolist(), strict=True))
    assert rows == {"KLF1": [3.0, 4.0], "SET": [0.0, 2.0], "AARS1": [1.0, 0.0]}


def test_rows_are_normalised_and_aligned(tmp_path):
    aligned, has_text = align_embeddings(
        read_embeddings(write(tmp_path / "t.npz")), np.array(["X", "KLF1"]), {}
    )
    np.testing.assert_allclose(aligned, [[0, 0], [0.6, 0.8]], rtol=1e-6)
    assert has_text.tolist() == [False, True]
    assert aligned.dtype == np.float32


def test_alias_finds_the_row(tmp_path):
    embeddings = read_embeddings(write(tmp_path / "t.npz"))
    aligned, _ = align_embeddings(embeddings, np.array(["AARS"]), {"AARS": ("AARS1",)})
    assert aligned.tolist() == [[1.0, 0.0]]


def test_zero_vector_counts_as_none(tmp_path):
    embeddings = read_embeddings(write(tmp_path / "t.npz", vectors=VECTORS * [[1], [0], [1]]))
    _, has_text = align_embeddings(embeddings, SYMBOLS, {})
    assert has_text.tolist() == [True, False, True]


def test_first_of_a_repeated_symbol_counts(tmp_path):
    embeddings = read_embeddings(write(tmp_path / "t.npz", symbols=np.array(["A", "B", "A"])))
    assert embeddings.vectors.tolist() == [[3.0, 4.0], [0.0, 2.0]]


@pytest.mark.parametrize("name", ["t.npz", "t.csv", "t.pkl"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, name, value):
    vectors = VECTORS.copy()
    vectors[1, 0] = value
    with pytest.raises(InputError, match=r"finite numbers, but 1 of 3 rows .*'SET'"):
        read_embeddings(write(tmp_path / name, vectors=vectors))


def test_ragged_pickle_is_refused(tmp_path):
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps({"KLF1": [1.0, 2.0], "SET": [1.0]}))
    with pytest.raises(InputError, match=r"of 2 rows .* 1 have another than the first's 2: 'SET'"):
        read_embeddings(path)


@pytest.mark.parametrize("text", ["gene,a,b\nKLF1,1,2\nSET,1\n", "gene,a,b\nKLF1,1,2\nSET,1,2,3\n"])
def test_ragged_table_is_refused(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"must be finite numbers|cannot be read as one"):
        read_embeddings(path)


class Executes:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickle_that_would_execute_code_is_refused_and_executes_none(tmp_path):
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
        (pickle.dumps({}), "must not be empty"),
        (pickle.dumps({"KLF1": ["x"]}), "must be numbers"),
    ],
)
def test_bad_pickle_is_refused(tmp_path, content, message):
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
        ({"symbols": SYMBOLS.astype(object), "embedding": VECTORS}, "must be plain arrays"),
    ],
)
def test_bad_npz_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_embeddings(tmp_path / "t.npz")


def test_text_without_a_shared_gene_is_refused(tmp_path):
    embeddings = read_embeddings(write(tmp_path / "t.npz"))
    with pytest.raises(InputError, match="must cover genes of the data, but of their 3 symbols"):
        align_embeddings(embeddings, np.array(["X"]), {})


@pytest.mark.parametrize("n_rows", [2**20, 2**50])
def test_an_archive_that_declares_more_than_it_holds_is_refused(tmp_path, n_rows):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n_rows}, 512), }}\n".encode()
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("embedding.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(InputError, match=rf"declares {n_rows * 512 * 8:,} bytes in \d+"):
        read_embeddings(tmp_path / "t.npz")
