"""The verb `status`: how the outbox stands, once or again and again."""

from argparse import Namespace

from stocksync import settings
from stocksync.cli import documents, texts_of_status
from stocksync.cli.session import outbox, show
from stocksync.daemon.opening import limits_of


async def status(arguments: Namespace) -> None:
    """Show how the outbox stands."""
    # Together: what is wrong with either is said at once.
    loaded = settings.load(
        settings.Database, settings.Relay, settings.Monitoring, env_file=arguments.env_file
    )
    limits = limits_of(loaded)
    if arguments.watch:
        from stocksync.cli.watching import watch  # noqa: PLC0415 - one look does not wait for it

        await watch(arguments, limits=limits)
        return
    async with outbox(arguments) as operations:
        standing = await operations.status(limits=limits, with_census=True)
    show(arguments, documents.standing(standing), lambda: texts_of_status.standing(standing))
