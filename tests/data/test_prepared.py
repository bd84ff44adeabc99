import numpy as np
import pytest
import scipy.sparse

from adapert.data.prepared import CellTable, CellWriter, read_prepared, write_prepared
from adapert.errors import InputError


def test_cells_written_in_stretches_are_read_as_one_table(tmp_path):
    values = np.random.default_rng(0).poisson(1, (9, 4)).astype(np.float32)
    with CellWriter(tmp_path / "cells") as writer:
        for number, rows in enumerate((slice(0, 4), slice(4, 5), slice(5, 9))):
            part = scipy.sparse.csr_array(values[rows])
            writer.append(part, number, np.arange(9)[rows])
    table = CellTable.read(tmp_path / "cells")
    np.testing.assert_array_equal(table.expression(4).toarray(), values)
    assert table.perturbation_index.tolist() == [0] * 4 + [1] + [2] * 4
    assert table.batch_index.tolist() == list(range(9))


@pytest.mark.parametrize("is_mapped", [True, False])
def test_data_set_is_read_back_mapped_or_in_memory(tiny_dataset, tmp_path, is_mapped):
    write_prepared(tiny_dataset, tmp_path / "tiny")
    read = read_prepared(tmp_path / "tiny", is_mapped=is_mapped)
    assert isinstance(read.splits["train"].table.delta, np.memmap) == is_mapped
    np.testing.assert_array_equal(read.splits["train"].table.delta, tiny_dataset.splits["train"].table.delta)
    assert set(read.splits) == {"train", "validation"}


def test_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        read_prepared(tmp_path)
