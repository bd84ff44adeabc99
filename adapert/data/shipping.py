"""A prepared data set for machines that do not see its folder: packed once, unpacked once a node."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from adapert.data.schema import SplitName
from adapert.errors import InputError
from adapert.files import whole_directory

TEST: SplitName = "test"


@dataclass(frozen=True)
class ShippedFolder:
    """Files of a folder as arrays of bytes, which Ray shares among the processes of a node.

    Attributes:
        files: Path within the folder to its bytes.
    """

    files: Mapping[str, NDArray[np.uint8]]

    @classmethod
    def pack(cls, folder: Path) -> "ShippedFolder":
        """Read a prepared data set's files except the test split's, which no trial may see."""
        paths = (path for path in folder.rglob("*") if path.relative_to(folder).parts[0] != TEST)
        # A data set does not include what its links point to elsewhere on this machine.
        inside = (path for path in paths if path.resolve().is_relative_to(folder.resolve()))
        files = sorted(path for path in inside if path.is_file())
        return cls({str(path.relative_to(folder)): np.fromfile(path, dtype=np.uint8) for path in files})

    def unpack(self, fingerprint: str) -> Path:
        """Write the files to this machine's temporary folder, where no other process has.

        Args:
            fingerprint: The data set's; names the folder.

        Returns:
            The folder.

        Raises:
            InputError: Another user has made a folder of this name.
        """
        folder = Path(tempfile.gettempdir()) / f"adapert-{os.getuid()}-{fingerprint}"
        if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.getuid()):
            raise InputError(
                f"Shipped data must be in a folder of this user, but '{folder}' belongs to another user. "
                "Set TMPDIR to a folder of your own."
            )
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                with whole_directory(folder) as beside:
                    for name, content in self.files.items():
                        (beside / name).parent.mkdir(parents=True, exist_ok=True)
                        content.tofile(beside / name)
        return folder
