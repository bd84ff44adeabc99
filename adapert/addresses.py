"""Addresses of databases and servers without their passwords, which no file or message may contain.

A password travels in the environment of the process, where the drivers look for it anyway: in PGPASSWORD
(next to ~/.pgpass), and in MLflow's own variables.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from adapert.errors import InputError
from adapert.process import environment

WEB = ("http", "https")
LIBPQ = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
"""Schemes of databases with a driver that reads PGPASSWORD and ~/.pgpass."""


@dataclass(frozen=True)
class Apart:
    """An address without its password.

    Attributes:
        address: Address that may be written down.
        secrets: Environment variables with what was taken out.
    """

    address: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def take_apart(option: str, address: str) -> Apart:
    """Take the password out of an address.

    Args:
        option: Option that it was given by.
        address: Address as SQLAlchemy or MLflow takes it; a path, or empty, has no password.

    Raises:
        InputError: The address cannot be read, or its password has no other place.
    """
    scheme = address.partition("://")[0].lower()
    if "://" not in address or scheme.startswith("sqlite"):
        return Apart(address)
    return _take_web_apart(address) if scheme in WEB else _take_database_apart(option, address)


def _take_web_apart(address: str) -> Apart:
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return Apart(address)
    name, _, password = user.partition(":")
    secrets = {"MLFLOW_TRACKING_USERNAME": unquote(name), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
    return Apart(
        parts._replace(netloc=host).geturl(), {key: value for key, value in secrets.items() if value}
    )


def _take_database_apart(option: str, address: str) -> Apart:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # Whatever it is, it may have a password in it: not even its beginning is repeated. `from None`, since
        # SQLAlchemy repeats it.
        raise InputError(
            f"{option} must be an address such as postgresql://USER@HOST:5432/NAME, but it cannot be read as "
            "one. Write special characters of a password as in a URL, such as %40 for @, or set PGPASSWORD."
        ) from None
    password = url.password or url.query.get("password")
    bare = url._replace(password=None).difference_update_query(["password"])
    kept = bare.render_as_string(hide_password=False)
    if not password:
        return Apart(address)
    if url.drivername not in LIBPQ:
        raise InputError(
            f"{option} must have no password, but it has one: the address is kept in a file, and a driver of "
            f"{url.get_backend_name()} reads none from the environment. Name the driver's own file of "
            "options in the address instead, such as mysql+pymysql://HOST/NAME?read_default_file=/home/me/.my.cnf"
        )
    return Apart(kept, {"PGPASSWORD": str(password)})


@contextmanager
def passwords(*addresses: Apart) -> Iterator[None]:
    """Have addresses' passwords in the environment while the block runs.

    Raises:
        InputError: Two addresses need different values of the same variable.
    """
    wanted: dict[str, str] = {}
    for name, value in (item for each in addresses for item in each.secrets.items()):
        if wanted.setdefault(name, value) != value:
            raise InputError(
                f"Two addresses with two passwords need two places, but both would be {name}. Put the "
                "passwords into ~/.pgpass, and leave them out of the addresses."
            )
    with environment(wanted):
        yield
