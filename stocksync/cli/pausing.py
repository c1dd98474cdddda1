"""The verbs `pause` and `resume`: planned maintenance."""

from argparse import Namespace

from stocksync.circuits import SERVICE, Circuits
from stocksync.cli import documents, texts_of_circuits
from stocksync.cli.session import show, verified, whose_hand


async def pause(arguments: Namespace) -> None:
    """Have nothing claimed for a while."""
    token_id, by = arguments.token or SERVICE, whose_hand()
    async with verified(arguments) as database:
        circuits = Circuits(database=database)
        until = await circuits.pause(token_id=token_id, minutes=arguments.minutes, by=by)
    show(
        arguments,
        documents.paused(token_id=token_id, until=until, by=by),
        lambda: texts_of_circuits.paused(
            until, token_id=token_id, minutes=arguments.minutes, by=by
        ),
    )


async def resume(arguments: Namespace) -> None:
    """End a pause now."""
    token_id = arguments.token or SERVICE
    async with verified(arguments) as database:
        circuits = Circuits(database=database)
        was_paused = await circuits.resume(token_id=token_id)
        still = [circuit for circuit in await circuits.held() if circuit.is_paused]
    show(
        arguments,
        documents.resumed(token_id=token_id, was_paused=was_paused, still=still),
        lambda: texts_of_circuits.resumed(token_id=token_id, was_paused=was_paused, still=still),
    )
