import sys
from importlib import metadata

from adapert.doctor.findings import Finding
from adapert.doctor.installed import check_packages, check_python


def assert_found(finding: Finding, state: str, *parts: str) -> None:
    missing = [part for part in parts if part not in finding.sentence]
    assert (finding.state, missing) == (state, []), finding.sentence


def test_python_must_be_what_adapert_needs() -> None:
    assert_found(check_python(), "ok", sys.executable)
    assert_found(check_python("3.12.0rc1", ">=3.11"), "ok", "3.12.0rc1")
    assert_found(check_python("3.10.4", ">=3.11"), "problem", ">=3.11", "3.10.4")


def test_the_requirements_adapert_was_installed_with_are_read() -> None:
    finding = check_packages()
    assert finding.state == "ok", finding.sentence
    assert f"mlflow {metadata.version('mlflow')}" in finding.sentence


def test_packages_out_of_range_are_named_with_the_command_that_installs_them() -> None:
    version = metadata.version("numpy")
    finding = check_packages(
        [
            "numpy<1",
            "pandas",
            "ray[tune]<2",
            "no-such-package>=3; python_version >= '3.8'",
            "pytest<1; extra == 'dev'",
        ]
    )
    assert_found(
        finding,
        "problem",
        "3 of 4",
        f"'numpy {version} (needs <1)'",
        "'no-such-package missing (needs >=3)'",
        "Run: python -m pip install 'numpy<1' 'ray[tune]<2' 'no-such-package>=3'",
    )


def test_a_local_version_lies_within_its_public_range() -> None:
    public = metadata.version("torch").split("+")[0]
    assert check_packages([f"torch>={public},<={public}"]).state == "ok"
