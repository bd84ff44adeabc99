from pathlib import Path

import numpy as np
import scipy.sparse

from adapert.data.array_tables import CellTable, CellWriter


def test_cells_written_in_chunks_are_read_as_one_table(tmp_path: Path) -> None:
    values = np.random.default_rng(0).poisson(1, (9, 4)).astype(np.float32)
    with CellWriter(tmp_path / "cells") as writer:
        for number, rows in enumerate((slice(0, 4), slice(4, 5), slice(5, 9))):
            part = scipy.sparse.csr_array(values[rows])
            writer.append_cells(part, number, np.arange(9)[rows])
    table = CellTable.read(tmp_path / "cells")
    expression = table.expression(4)
    np.testing.assert_array_equal(expression.toarray(), values)
    for mapped, array in ((expression.data, table.values), (expression.indices, table.gene_index)):
        assert np.shares_memory(mapped, array)  # nothing that grows with cells is copied into memory
    assert table.perturbation_index.tolist() == [0] * 4 + [1] + [2] * 4
    assert table.batch_index.tolist() == list(range(9))
