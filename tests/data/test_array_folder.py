import numpy as np
import pytest

from adapert.data.array_folder import FolderWriter


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32),
        np.arange(24, dtype=np.int64).reshape(8, 3),
        np.array(["small", "medium", "large"] * 4),
        np.zeros((12, 5), dtype=bool),
    ],
)
def test_pieces_make_the_file_that_the_whole_array_does(tmp_path, array):
    np.save(tmp_path / "whole.npy", array)
    with FolderWriter(tmp_path / "folder") as writer:
        for part in np.array_split(array, 5):
            writer.append("pieces", part)
    assert (tmp_path / "folder/pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_rows_of_another_type_are_refused(tmp_path):
    writer = FolderWriter(tmp_path / "folder")
    writer.append("field", np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(TypeError, match=r"must be of float32 and shape \[3\], but these are of float64"):
        writer.append("field", np.zeros((2, 3)))
