import os

import pytest

from adapert.addresses import passwords, take_apart
from adapert.errors import InputError


@pytest.mark.parametrize(
    "address",
    ["", "sqlite:////a/my runs/o.db", "postgresql://me@db:5432/optuna", "http://127.0.0.1:5000", "mlruns"],
)
def test_an_address_without_a_password_stays_as_it_is(address: str) -> None:
    apart = take_apart("--tracking-uri", address)
    assert (apart.address, apart.secrets) == (address, {})


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("postgresql://me:p%40ss@db:5432/optuna", "postgresql://me@db:5432/optuna"),
        (
            "postgresql+psycopg://me:p%40ss@db/o?sslmode=require",
            "postgresql+psycopg://me@db/o?sslmode=require",
        ),
        ("postgresql://db/optuna?user=me&password=p%40ss", "postgresql://db/optuna?user=me"),
    ],
)
def test_a_databases_password_goes_where_its_driver_looks(address: str, kept: str) -> None:
    apart = take_apart("--optuna-storage", address)
    assert (apart.address, apart.secrets) == (kept, {"PGPASSWORD": "p@ss"})
    assert "p@ss" not in repr(apart)


def test_a_servers_password_goes_where_mlflow_looks() -> None:
    apart = take_apart("--tracking-uri", "https://me:p%40ss@mlflow.example.org:5000/base")
    assert apart.address == "https://mlflow.example.org:5000/base"
    assert apart.secrets == {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "p@ss"}


@pytest.mark.parametrize("address", ["mysql+pymysql://me:secret@db/o", "postgresql+pg8000://me:secret@db/o"])
def test_a_password_that_has_no_other_place_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(InputError, match=r"--optuna-storage must have no password.*own file") as caught:
        take_apart("--optuna-storage", address)
    assert "secret" not in str(caught.value)


def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(InputError, match="cannot be read as one") as caught:
        take_apart("--optuna-storage", "postgresql://me:secret@db:port/o")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_passwords_are_in_the_environment_while_the_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "mine")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    apart = [take_apart("", "postgresql://me:one@db/o"), take_apart("", "http://me:two@server")]
    with passwords(*apart):
        assert (os.environ["PGPASSWORD"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("one", "two")
    assert os.environ["PGPASSWORD"] == "mine"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ


def test_two_passwords_of_one_place_are_refused() -> None:
    apart = [take_apart("", "postgresql://me:one@a/o"), take_apart("", "postgresql://me:two@b/o")]
    with (
        pytest.raises(InputError, match=r"both would be PGPASSWORD\. Put the passwords into ~/\.pgpass"),
        passwords(*apart),
    ):
        pass
