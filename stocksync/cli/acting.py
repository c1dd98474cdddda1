"""The verbs `retry` and `cancel`: of some operations by their ids, or of all that failed."""

import shlex
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from functools import partial

from stocksync.cli import documents, texts, texts_of_bulk
from stocksync.cli.progress import progress
from stocksync.cli.session import outbox, show, verified, whose_hand
from stocksync.operations import Bulk, Failed

# Nothing was done because --yes was missing: a script must not believe that it was.
NOT_DONE = 2


async def retry(arguments: Namespace) -> int | None:
    """Have operations tried again now."""
    if arguments.failed:
        return await _bulk(arguments, lambda bulk: partial(bulk.retry, by=whose_hand()))
    async with outbox(arguments) as operations:
        ids = await operations.retry(arguments.ids, by=whose_hand())
    show(arguments, documents.changed(ids), lambda: texts.retried(ids))
    return None


async def cancel(arguments: Namespace) -> int | None:
    """Take operations out of their orders' sums."""
    if arguments.failed:
        reason = arguments.reason
        return await _bulk(
            arguments, lambda bulk: partial(bulk.cancel, by=whose_hand(), reason=reason)
        )
    async with outbox(arguments) as operations:
        ids = await operations.cancel(arguments.ids, by=whose_hand(), reason=arguments.reason)
    show(arguments, documents.changed(ids), lambda: texts.cancelled(ids))
    return None


async def _bulk(
    arguments: Namespace, change_of: Callable[[Bulk], Callable[..., Awaitable[int]]]
) -> int | None:
    async with verified(arguments) as database:
        bulk = Bulk(database=database)
        failed = await bulk.count(token_id=arguments.token, error=arguments.error)
        if not arguments.json:
            sys.stdout.write(f"{texts_of_bulk.counted(failed)}\n")
            # Before anything is done.
            sys.stdout.flush()
        if not failed.count or not arguments.yes:
            return _left(arguments, failed)
        changed = 0
        try:
            with progress() as tell:

                def on_progress(so_far: int) -> None:
                    nonlocal changed
                    changed = so_far
                    tell(f"{so_far} of {failed.count} …")

                await change_of(bulk)(failed, on_progress=on_progress)
        finally:
            # Also of a run that was interrupted, or lost its database.
            _tell(arguments, failed, changed)
    return None


def _left(arguments: Namespace, failed: Failed) -> int | None:
    command = shlex.join(["stocksync", *_options(arguments), "--yes"])
    document = documents.bulk(failed, changed=None, command=command if failed.count else None)
    if failed.count or arguments.json:
        show(arguments, document, lambda: f"\n{texts_of_bulk.left(command)}")
    return NOT_DONE if failed.count else None


def _tell(arguments: Namespace, failed: Failed, changed: int) -> None:
    show(
        arguments,
        documents.bulk(failed, changed=changed, command=None),
        lambda: f"\n{texts_of_bulk.done(arguments.verb, failed, changed)}",
    )


def _options(arguments: Namespace) -> list[str]:
    """What was asked for, to be asked again."""
    given = {
        "--env-file": arguments.env_file,
        "--token": arguments.token,
        "--error": arguments.error,
        "--reason": getattr(arguments, "reason", None),
    }
    options = [word for name, value in given.items() if value for word in (name, str(value))]
    return [arguments.verb, "--failed", *options]
