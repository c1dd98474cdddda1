"""The verb `migrate`: the tables, created or brought up to date."""

from argparse import Namespace

from stocksync import schema
from stocksync.cli import documents, texts
from stocksync.cli.session import opened, show


async def migrate(arguments: Namespace) -> None:
    """Apply what is missing, or (--dry-run) only say it."""
    async with opened(arguments) as database:
        applied = await schema.migrate(database, is_dry_run=arguments.dry_run)
        keys = []
        if arguments.with_foreign_keys:
            keys = await schema.add_foreign_keys(database, is_dry_run=arguments.dry_run)
    document = documents.migration(applied, keys, is_dry_run=arguments.dry_run)
    show(arguments, document, lambda: texts.migration(document))
