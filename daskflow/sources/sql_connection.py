"""A connection to a database: its address stays secret, and what goes wrong is told without it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest
from daskflow.sources.storage import FROM_ENVIRONMENT, HIDDEN, looked_up

FETCHED_ROWS = 50_000
"""Rows taken from the cursor at a time."""

PASSWORD = re.compile(r"(?<=:)[^:/@\s]+(?=@)|(?<=[?&;])(password|pwd|token|secret|key)=[^&;\s]*", re.IGNORECASE)


def shown_url(url: str) -> str:
    """Return an address as it may be printed: the password hidden, a reference as it is.

    Examples
    --------
    >>> shown_url("postgresql://me:hunter2@db.example.org/shop"), shown_url("env:SHOP_DB")
    ('postgresql://me:***@db.example.org/shop', 'env:SHOP_DB')
    """
    return url if url.startswith(FROM_ENVIRONMENT) else PASSWORD.sub(HIDDEN, url)


@dataclass(frozen=True, slots=True)
class Connection:
    """How a database is reached; travels with the address, and never shows it.

    Attributes
    ----------
    url : str
        SQLAlchemy's address.
    """

    url: str = field(repr=False)

    @classmethod
    def of(cls, url: str) -> Connection:
        """Return the connection of a setting, looked up in the environment where it says so."""
        if HIDDEN in url:
            raise DataError(
                f"url = '{url}': the password was hidden when these settings were written. Put the address into an "
                "environment variable, and say url = 'env:NAME'."
            )
        return cls(str(looked_up(url, "url")))

    @property
    def place(self) -> str:
        """Hash of where the database is; the password is no part of it."""
        return digest(shown_url(self.url), 16)

    def rows(self, statement: str, values: dict[str, Any] | None = None) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a query's column names and all its rows."""
        batches = list(self.batches(statement, values))
        return batches[0][0], [row for _, rows in batches for row in rows]

    def batches(
        self, statement: str, values: dict[str, Any] | None = None, limit: int = FETCHED_ROWS
    ) -> Generator[tuple[list[str], Sequence[Sequence[Any]]]]:
        """Yield a query's column names with some rows at a time; at least once.

        Raises
        ------
        DataError
            For a driver that is not installed, a database that is not reached, and a query it refuses.
        """
        with self._speaking(), self._engine().connect() as opened:
            import sqlalchemy

            found = opened.execution_options(stream_results=True).execute(sqlalchemy.text(statement), values or {})
            names = [str(name) for name in found.keys()]  # noqa: SIM118 - a result is no mapping
            yield names, (rows := found.fetchmany(limit))
            while rows:
                yield names, (rows := found.fetchmany(limit))

    def first(self, statement: str, values: dict[str, Any], limit: int) -> Sequence[Sequence[Any]]:
        """Return a query's first rows."""
        with contextlib.closing(self.batches(statement, values, limit)) as batches:
            return next(batches)[1]

    def quoted(self, name: str) -> str:
        """Return a column's name as the database quotes it."""
        with self._speaking():
            return str(self._engine().dialect.identifier_preparer.quote(name)).replace(":", "\\:")

    def _engine(self) -> Any:
        """SQLAlchemy's engine, without a pool: a connection lives for one query, on whatever thread or process."""
        import sqlalchemy  # an extra: most tables are files

        return sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.pool.NullPool)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn whatever a driver raises into a DataError without the address."""
        try:
            yield
        except DataError:
            raise
        except ModuleNotFoundError as error:
            raise DataError(
                f"Reading a database needs the package {error.name}: pip install "
                + ("'daskflow[sql]'." if error.name == "sqlalchemy" else f"{error.name}.")
            ) from None
        except Exception as error:  # drivers have their own kinds of errors
            said = str(getattr(error, "orig", None) or error).replace(self.url, shown_url(self.url))
            raise DataError(
                f"The database {shown_url(self.url)!s} does not answer the query: {PASSWORD.sub(HIDDEN, said):.400}. "
                "Check url, query and partition_column."
            ) from None
