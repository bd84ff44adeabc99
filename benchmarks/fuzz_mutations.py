"""Ways to damage a file: its bytes, its text, its JSON or YAML, its arrays, its tables, its HDF5 objects.

Each takes a file and a generator, and changes the file in place; the same state of the generator always
does the same damage.
"""

import gzip
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Mutation: TypeAlias = Callable[[Path, np.random.Generator], None]

WORDS = (
    *("", " ", "NaN", "inf", "-1", "1e999", "9" * 400, "0x1f", "=1+1", "@SUM(A1)", "[/x]"),
    *("[bold]", "control", "+", "a+b+c+d", "é€😀", "\u202eabc", "a\x1b[31mb", "../../x"),
    *("A" * 100_000, "'; DROP TABLE genes; --", "null", "True"),
)
"""Cells and names that a reader may not expect."""

VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**63, 10**400, 1.5, float("nan"), float("inf"), -float("inf"), ""),
    *("x", "../../x", "x" * 100_000, [], {}, [[]], {"x": 1}, [1, "a", None]),
)
"""Values of JSON and YAML."""

NUMBERS = (np.nan, np.inf, -np.inf, -1, 0, 1e38, 2**31 - 1, -(2**31), 2**62)
"""Values of arrays."""

DTYPES = ("f2", "f4", "f8", ">f4", "i1", "i4", "i8", "u8", "c16", "b1", "U3", "S3", "M8[s]", "V4")
"""Types of arrays."""


def _pick(options: Sequence[Any], generator: np.random.Generator) -> Any:
    return options[int(generator.integers(len(options)))]


# Bytes.


def _flip(file: Path, generator: np.random.Generator, n_most: int, n_first: int | None) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(int(generator.integers(1, n_most + 1)) if content else 0):
        content[int(generator.integers(len(content[:n_first])))] ^= int(generator.integers(1, 256))
    file.write_bytes(content)


def flip_bytes(file: Path, generator: np.random.Generator) -> None:
    """Change up to eight bytes."""
    _flip(file, generator, 8, None)


def flip_early_bytes(file: Path, generator: np.random.Generator) -> None:
    """Change up to four bytes where formats have their headers."""
    _flip(file, generator, 4, 256)


def truncate(file: Path, generator: np.random.Generator) -> None:
    """Cut the file."""
    os.truncate(file, int(generator.integers(file.stat().st_size + 1)))


def empty(file: Path, _: np.random.Generator) -> None:
    """Leave nothing in it."""
    file.write_bytes(b"")


def insert_garbage(file: Path, generator: np.random.Generator) -> None:
    """Put random bytes somewhere in it."""
    content, at = file.read_bytes(), int(generator.integers(file.stat().st_size + 1))
    file.write_bytes(content[:at] + generator.bytes(int(generator.integers(1, 64))) + content[at:])


def zero_bytes(file: Path, generator: np.random.Generator) -> None:
    """Overwrite a run of bytes with zeros, as a machine that goes down does."""
    content = bytearray(file.read_bytes())
    start = int(generator.integers(len(content) + 1))
    stop = min(len(content), start + int(generator.integers(1, 512)))
    content[start:stop] = bytes(stop - start)
    file.write_bytes(content)


def make_folder(file: Path, _: np.random.Generator) -> None:
    """Put a folder in its place."""
    file.unlink()
    file.mkdir()


def link_out(file: Path, _: np.random.Generator) -> None:
    """Put a link to a file elsewhere in its place."""
    file.unlink()
    file.symlink_to("/proc/self/environ")


BYTES: tuple[Mutation, ...] = (
    flip_bytes,
    flip_early_bytes,
    truncate,
    empty,
    insert_garbage,
    zero_bytes,
    make_folder,
)


# Text.


def _read_text(file: Path) -> str:
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return content.decode("utf-8", "replace")


def _write_text(file: Path, content: bytes) -> None:
    file.write_bytes(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)


def encode_otherwise(file: Path, generator: np.random.Generator) -> None:
    """Write the text in another encoding, or with a mark of one."""
    encoding = _pick(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7"), generator)
    _write_text(file, ("é" + _read_text(file)).encode(encoding, "replace"))


def end_lines_otherwise(file: Path, generator: np.random.Generator) -> None:
    """Write other line ends."""
    _write_text(file, _read_text(file).replace("\n", _pick(("\r\n", "\r", "\n\n"), generator)).encode())


def change_cells(file: Path, generator: np.random.Generator) -> None:
    """Replace some cells of a table by odd words."""
    rows = [line.split("\t") for line in _read_text(file).split("\n")]
    for _ in range(int(generator.integers(1, 6))):
        row = _pick(rows, generator)
        row[int(generator.integers(len(row)))] = _pick(WORDS, generator)
    _write_text(file, "\n".join("\t".join(row) for row in rows).encode("utf-8", "surrogatepass"))


def change_column(file: Path, generator: np.random.Generator) -> None:
    """Replace, drop or repeat a whole column."""
    rows = [line.split("\t") for line in _read_text(file).split("\n") if line]
    column, word = int(generator.integers(len(rows[0]))), _pick(WORDS, generator)
    way = _pick(("replace", "drop", "repeat"), generator)
    for row in rows:
        if column < len(row):
            replaced = {"replace": [word], "drop": [], "repeat": [row[column]] * 2}
            row[column : column + 1] = replaced[way]
    _write_text(file, "\n".join("\t".join(row) for row in rows).encode())


def shuffle_lines(file: Path, generator: np.random.Generator) -> None:
    """Drop, repeat and move lines."""
    lines = _read_text(file).split("\n")
    chosen = generator.integers(len(lines), size=len(lines))
    _write_text(file, "\n".join(lines[index] for index in chosen).encode())


def add_line(file: Path, generator: np.random.Generator) -> None:
    """Add a line that no table has."""
    line = _pick(("\t" * 10_000, '"', "\x00" * 100, "x" * 1_000_000, "#", ",,,", "a b c d e"), generator)
    lines = _read_text(file).split("\n")
    lines.insert(int(generator.integers(len(lines))), line)
    _write_text(file, "\n".join(lines).encode())


def separate_otherwise(file: Path, generator: np.random.Generator) -> None:
    """Separate fields by something else."""
    mark = _pick((",", ";", "|", " ", "  ", "\x1f"), generator)
    _write_text(file, _read_text(file).replace("\t", mark).encode())


def inflate(file: Path, _: np.random.Generator) -> None:
    """Put 2.5 GiB of one letter, in one line, into a few megabytes of gzip, or 16 MiB into any other file."""
    if file.suffix == ".gz":
        block = gzip.compress(b"x" * 2**26, mtime=0)
        file.write_bytes(block * 40)  # members one after another
    else:
        file.write_bytes(b"x" * 2**24)


TEXT: tuple[Mutation, ...] = (
    encode_otherwise,
    end_lines_otherwise,
    *[change_cells] * 2,
    *[change_column] * 2,
    shuffle_lines,
    add_line,
    separate_otherwise,
    inflate,
)


# JSON.


def _places(value: Any) -> list[tuple[Any, Any]]:
    """List container and key of everything in a nested value."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    found = [(value, key) for key, _ in items]
    for _, item in items:
        if isinstance(item, dict | list):
            found += _places(item)
    return found


def change_json(file: Path, generator: np.random.Generator) -> None:
    """Replace, drop or rename something in JSON, or in one of the lines of JSON."""
    lines = file.read_text().split("\n") if file.suffix == ".jsonl" else [file.read_text()]
    number = int(generator.integers(max(1, len(lines) - 1)))
    try:
        content = json.loads(lines[number])
    except ValueError:
        content = {}
    lines[number] = json.dumps(_changed(content, generator))
    file.write_text("\n".join(lines))


def _changed(content: Any, generator: np.random.Generator) -> Any:
    places = _places(content)
    if not places or generator.random() < 0.05:
        return _pick(VALUES, generator)
    for _ in range(int(generator.integers(1, 4))):
        container, key = _pick(places, generator)
        way = _pick(("value", "value", "drop", "add"), generator)
        if way == "value" or isinstance(container, list):
            if isinstance(container, dict) or key < len(container):
                container[key] = _pick(VALUES, generator)
        elif way == "drop":
            container.pop(key, None)
        else:
            container[_pick(WORDS, generator)] = _pick(VALUES, generator)
    return content


def nest_json(file: Path, generator: np.random.Generator) -> None:
    """Nest deeper than a parser's stack."""
    mark, end = _pick((("[", "]"), ('{"a":', "}")), generator)
    nested = mark * 100_000 + "1" + end * 100_000
    lines = file.read_text().split("\n")
    lines[int(generator.integers(max(1, len(lines) - 1)))] = nested
    file.write_text("\n".join(lines) if file.suffix == ".jsonl" else nested)


def foreign_json(file: Path, generator: np.random.Generator) -> None:
    """Put other words in its place that are, or look like, JSON."""
    foreign = ("null", "[]", '"x"', "1", "{}", "{", "NaN", '{"a":1,"a":2}', "\ufeff{}", "9" * 5000, "[1,]")
    file.write_text(_pick(foreign, generator) + "\n")


JSON: tuple[Mutation, ...] = (change_json, change_json, change_json, nest_json, foreign_json)


# YAML.

YAML_VALUES = (
    *("null", "-1", "0", "1e400", "9" * 5000, ".nan", ".inf", "-.inf", "''", "[]", "{}", "yes", "0o17"),
    *("2001-99-99", "!!int ''", "!!float ''", "!!timestamp x", "!!binary x", "!!set {a, b}", "? x", "<<: 1"),
    *("!!python/object/apply:os.getcwd []", "1_000_000_000_000", "1000000000", "100000", "1e30", "&a [*a]"),
    *("*nowhere", "x: y: z", "'\\x00'", "@x", "%", "[" * 50_000, "{a: " * 50_000, "- " * 20_000),
    "'" + "x" * 1_000_000 + "'",
)


def change_yaml(file: Path, generator: np.random.Generator) -> None:
    """Give a field another value."""
    lines = file.read_text().splitlines()
    fields = [index for index, line in enumerate(lines) if line.startswith(" ")]
    index = _pick(fields, generator)
    lines[index] = f"{lines[index].partition(':')[0]}: {_pick(YAML_VALUES, generator)}"
    file.write_text("\n".join(lines) + "\n")


def foreign_yaml(file: Path, generator: np.random.Generator) -> None:
    """Put YAML in its place that is no config, or too much of one."""
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
    )
    merges = "a: &a {x: 1}\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join([f'*{chr(97 + n)}'] * 9)}]}}\n" for n in range(10)
    )
    foreign = (
        *(bomb, merges, "model: *x", "- a\n- b\n", "just text", "1: {a: 1}\n", "model:\n  1: 2\n"),
        *("model:\n  tau: 1\n  tau: 2\n", "model: {tau: 1}\nmodel: {tau: 2}\n", "? [a, b]\n: 1\n"),
        *(
            "model:\n\ttau: 1\n",
            "---\na: 1\n---\nb: 2\n",
            "model: 5\n",
            "null: {}\n",
            "model: {? {a: 1} : 2}",
        ),
        *("\n" * 1_000_000, "# x\n" * 300_000, "model:\n  " + "x" * 2_000_000 + ": 1\n"),
    )
    file.write_text(_pick(foreign, generator))


YAML: tuple[Mutation, ...] = (
    change_yaml,
    change_yaml,
    change_yaml,
    foreign_yaml,
    foreign_yaml,
    encode_otherwise,
)


# Arrays (.npy, .npz).


def change_array(array: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change an array's values, type or shape."""
    way = _pick(("values", "values", "dtype", "shape", "length", "order", "repeat"), generator)
    if way == "values" and array.size:
        changed = array.copy()
        at = generator.integers(array.size, size=int(generator.integers(1, 4)))
        value = _pick(WORDS if array.dtype.kind == "U" else NUMBERS, generator)
        with np.errstate(all="ignore"):
            changed.reshape(-1)[at] = np.array(value).astype(array.dtype)
        return changed
    if way == "dtype":
        dtype = np.dtype(_pick(DTYPES, generator))
        return np.resize(np.frombuffer(generator.bytes(dtype.itemsize * 16), dtype), array.shape)
    if way == "shape":
        shapes = (
            array[None],
            array.reshape(-1),
            array[..., None],
            np.array(3),
            array[:0] if array.ndim else array,
        )
        return shapes[int(generator.integers(len(shapes)))]
    if way == "length" and array.ndim:
        return np.resize(array, (max(0, len(array) + int(generator.integers(-3, 4))), *array.shape[1:]))
    if way == "order":
        return np.asfortranarray(array[::-1] if array.ndim else array)
    return np.resize(array, array.shape) if array.size < 2 else np.full_like(array, array.reshape(-1)[0])


def change_npy(file: Path, generator: np.random.Generator) -> None:
    """Change an array in its file."""
    np.save(file, change_array(np.load(file), generator))


def change_npy_header(file: Path, generator: np.random.Generator) -> None:
    """Declare another shape or type than the file has."""
    content = file.read_bytes()
    length = struct.unpack("<H", content[8:10])[0]
    body = content[10 + length :]
    headers = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<U2000000000', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 1), }",
        "{'descr': '<V0', 'fortran_order': False, 'shape': (99999999999,), }",
        "(" * 5000,
        "{'descr': '<f4'}",
        "__import__('os')",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000), }",
    )
    header = _pick(headers, generator).encode() + b"\n"
    file.write_bytes(content[:8] + struct.pack("<H", len(header)) + header + body)


def change_npz(file: Path, generator: np.random.Generator) -> None:
    """Change one of an archive's arrays, its name, or leave it out."""
    with np.load(file) as opened:
        arrays = {name: opened[name] for name in opened.files}
    name = _pick(list(arrays), generator)
    way = _pick(("array", "array", "array", "drop", "rename", "object"), generator)
    if way == "array":
        arrays[name] = change_array(arrays[name], generator)
    elif way == "object":
        arrays[name] = arrays[name].astype(object)
    else:
        array = arrays.pop(name)
        if way == "rename":
            arrays["x"] = array
    np.savez(file, **arrays)


def inflate_npz(file: Path, generator: np.random.Generator) -> None:
    """Hide gigabytes of zeros in a few megabytes, or declare them."""
    import zipfile

    shape = _pick((2**20, 2**40), generator)
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}, 512), }}".encode() + b"\n"
    begin = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with np.load(file) as opened:
        symbols = opened["symbols"]
    np.savez(file, symbols=symbols)
    with (
        zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("embedding.npy", "w", force_zip64=True) as member,
    ):
        member.write(begin)
        for _ in range(4096 if shape == 2**20 else 1):
            member.write(bytes(2**20))


NPY: tuple[Mutation, ...] = (change_npy, change_npy, change_npy, change_npy, change_npy_header, link_out)
NPZ: tuple[Mutation, ...] = (change_npz, change_npz, change_npz, inflate_npz)


# Tensors (.safetensors).


def change_tensors(file: Path, generator: np.random.Generator) -> None:
    """Change the header, or the values, of a file of tensors."""
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    name = _pick([key for key in header if key != "__metadata__"], generator)
    entry = header[name]
    way = _pick(
        ("nan", "nan", "dtype", "shape", "huge", "offsets", "drop", "rename", "add", "length"), generator
    )
    if way == "nan":
        start = entry["data_offsets"][0]
        body[start : start + 4] = struct.pack("<f", _pick((np.nan, np.inf, -np.inf, 1e38), generator))
    elif way == "dtype":
        entry["dtype"] = _pick(("I32", "F16", "F64", "BF16", "BOOL", "X9"), generator)
    elif way == "shape":
        entry["shape"] = _pick((entry["shape"][::-1], [*entry["shape"], 1], [], [-1], "x"), generator)
    elif way == "huge":
        entry["shape"] = [2**40, 2**20]
    elif way == "offsets":
        entry["data_offsets"] = _pick(([0, 2**62], [5, 1], [-4, 0], [0, 0]), generator)
    elif way == "drop":
        # Without its values too, which must lie side by side.
        start, stop = entry["data_offsets"]
        del header[name], body[start:stop]
        for other in header.values():
            if "data_offsets" in other and other["data_offsets"][0] >= stop:
                other["data_offsets"] = [offset - (stop - start) for offset in other["data_offsets"]]
    elif way == "rename":
        header["x" * 1000] = header.pop(name)
    elif way == "add":
        header["more"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(body), len(body) + 8]}
        body += bytes(8)
    written = json.dumps(header).encode()
    size = len(written) if way != "length" else int(_pick((0, 2**63, 2**40, 3), generator))
    file.write_bytes(struct.pack("<Q", size) + written + body)


TENSORS: tuple[Mutation, ...] = (change_tensors, change_tensors, change_tensors)


# Parquet.


def change_parquet(file: Path, generator: np.random.Generator) -> None:
    """Change a column's type, names or number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file, use_threads=False)
    n_rows, column = table.num_rows, int(generator.integers(table.num_columns))
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 3], np.int32)), pa.py_buffer(b"\xff\xfe\xc3")]
    )
    options: dict[str, Callable[[], Any]] = {
        "bad_utf8": lambda: table.set_column(0, "gene", pa.concat_arrays([bad] * n_rows)),
        "bad_utf8_later": lambda: table.set_column(column, "x", pa.concat_arrays([bad] * n_rows)),
        "lists": lambda: table.set_column(column, "x", pa.array([[1, 2]] * n_rows)),
        "structs": lambda: table.set_column(column, "x", pa.array([{"a": 1}] * n_rows)),
        "nulls": lambda: table.set_column(column, "x", pa.nulls(n_rows)),
        "times": lambda: table.set_column(column, "x", pa.array([0] * n_rows, pa.timestamp("ns", "UTC"))),
        "binary": lambda: table.set_column(0, "gene", pa.array([b"\xff"] * n_rows)),
        "dictionary": lambda: table.set_column(0, "gene", table.column(0).dictionary_encode()),
        "numbers": lambda: table.set_column(0, "gene", pa.array(range(n_rows))),
        "no_rows": lambda: table.slice(0, 0),
        "one_column": lambda: table.select([0]),
        "no_columns": lambda: table.select([]),
        "same_names": lambda: table.rename_columns(["x"] * table.num_columns),
        "odd_names": lambda: table.rename_columns([_pick(WORDS, generator) for _ in table.column_names]),
        "pandas_metadata": lambda: table.replace_schema_metadata({"pandas": '{"index_columns": [5]}'}),
        "bad_metadata": lambda: table.replace_schema_metadata({"pandas": "{", "ARROW:schema": "x"}),
        "infinite": lambda: table.set_column(1, "x", pa.array([np.inf] * n_rows)),
        "large": lambda: table.set_column(1, "x", pa.array([10**30] * n_rows, pa.decimal128(38, 2))),
        "same_gene": lambda: table.set_column(0, "gene", pa.array([_pick(WORDS, generator)] * n_rows)),
    }
    pq.write_table(options[_pick(list(options), generator)](), file)


def inflate_parquet(file: Path, _: np.random.Generator) -> None:
    """Hide 120 million equal rows in a small file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = pa.table({"gene": pa.array(["A"] * 10_000_000).dictionary_encode(), "x": np.zeros(10_000_000)})
    with pq.ParquetWriter(file, part.schema) as writer:
        for _part in range(12):
            writer.write_table(part)


PARQUET: tuple[Mutation, ...] = (*[change_parquet] * 8, inflate_parquet)


# HDF5.


def change_h5(file: Path, generator: np.random.Generator) -> None:
    """Change a data set of an HDF5 file: values, type, shape; or leave it out."""
    import h5py

    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = _pick(names, generator)
        attributes = dict(opened[name].attrs)
        array = opened[name][()]
        way = _pick(("array", "array", "array", "drop", "group", "huge", "scalar"), generator)
        del opened[name]
        if way == "array":
            array = np.asarray(array)
            is_text = array.dtype.kind == "O"
            changed = change_array(array.astype("U") if is_text else array, generator)
            if changed.dtype.kind in "MV":
                changed = changed.view("u1")
            opened[name] = (
                np.char.encode(changed, "utf-8", "surrogatepass").astype(object)
                if changed.dtype.kind == "U"
                else changed
            )
        elif way == "group":
            opened.create_group(name)
        elif way == "huge":
            kind = h5py.string_dtype() if array.dtype.kind == "O" else array.dtype
            opened.create_dataset(name, (2**40,), dtype=kind, chunks=(2**10,))
        elif way == "scalar":
            opened[name] = 5
        if name in opened:
            opened[name].attrs.update(attributes)


def link_h5(file: Path, generator: np.random.Generator) -> None:
    """Have part of an HDF5 file lie elsewhere: in another file, or in itself."""
    import h5py

    with h5py.File(file, "r+") as opened:
        place = _pick(("obs", "var", "X", "uns/x", "obs/perturbation", "layers/x", "obsm/x"), generator)
        way = _pick(("external", "soft", "cycle", "storage", "virtual"), generator)
        if place in opened:
            del opened[place]
        parent, _, name = place.rpartition("/")
        group = opened.require_group(parent) if parent else opened
        if way == "external":
            group[name] = h5py.ExternalLink("/etc/hostname.h5", "/X")
        elif way == "soft":
            group[name] = h5py.SoftLink(_pick(("/nowhere", f"/{place}", "/"), generator))
        elif way == "cycle":
            group[name] = opened["/"]
        elif way == "storage":
            group.create_dataset(name, (32,), dtype="u1", external=[("/etc/passwd", 0, 32)])
        else:
            layout = h5py.VirtualLayout((4, 4), dtype="f4")
            layout[:] = h5py.VirtualSource("/etc/elsewhere.h5", "X", (4, 4))
            group.create_virtual_dataset(name, layout)


def change_h5_attributes(file: Path, generator: np.random.Generator) -> None:
    """Change what an element of an HDF5 file says of itself."""
    import h5py

    with h5py.File(file, "r+") as opened:
        names = ["/"]
        opened.visit(names.append)
        owners = [name for name in names if len(opened[name].attrs)]
        attributes = opened[_pick(owners, generator)].attrs
        key = _pick(list(attributes), generator)
        value = _pick(
            ("csr_matrix", "categorical", "x", 5, -1, np.nan, np.array([2**40, 3]), None), generator
        )
        if value is None:
            del attributes[key]
        else:
            attributes[key] = value


def nest_h5(file: Path, generator: np.random.Generator) -> None:
    """Nest groups 400 deep."""
    import h5py

    with h5py.File(file, "r+") as opened:
        group = opened.require_group(_pick(("uns", "obs", "var", "obsm"), generator))
        for _ in range(400):
            group = group.create_group("a")


H5: tuple[Mutation, ...] = (*[change_h5] * 5, *[link_h5] * 3, *[change_h5_attributes] * 3, nest_h5)
