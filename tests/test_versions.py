from importlib import metadata

import pytest

from adapert.versions import installed_version


def test_a_version_is_that_of_the_package_s_description() -> None:
    assert installed_version("numpy") == metadata.version("numpy")


def test_a_package_that_is_not_installed_has_none() -> None:
    with pytest.raises(metadata.PackageNotFoundError, match="no_such_package"):
        installed_version("no_such_package")
