"""The SQL texts: where `sql/` lies, and each statement qualified with the schema of the tables.

In the files the schema is written `:"schema"`, psql's own notation for a quoted variable, so that
every file can be tried as it is: `psql -v schema=public -f sql/queries/release.sql`.
"""

from functools import cache
from pathlib import Path


def sql_directory() -> Path:
    """The folder with `migrations/` and `queries/`: the installed wheel's, else the checkout's."""
    package = Path(__file__).parent
    installed = package / "sql"
    return installed if installed.is_dir() else package.parent / "sql"


def qualified(text: str, schema: str) -> str:
    """The text with the schema's name, a plain lower-case identifier, in place of `:"schema"`."""
    return text.replace(':"schema"', f'"{schema}"')


@cache
def query(name: str, schema: str) -> str:
    """The statement of `sql/queries/<name>.sql`."""
    return qualified((sql_directory() / "queries" / f"{name}.sql").read_text("utf-8"), schema)


def load(schema: str) -> None:
    """Read all statements now: an upgrade may replace the files under a running daemon."""
    for file in (sql_directory() / "queries").glob("*.sql"):
        query(file.stem, schema)
