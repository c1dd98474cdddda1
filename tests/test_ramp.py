"""The ramp and the line: who may work, in which order, and what is given back."""

import asyncio
from uuid import UUID

from stocksync.model import Push
from stocksync.relay.line import Held, Line
from stocksync.relay.ramp import Ramp


def a_push(order_id: str, account: str = "account") -> Push:
    return Push(
        token_id=account,
        order_id=order_id,
        balance=1,
        rows=(),
        failed_ids=(),
        is_order_claimed=False,
        attempt=None,
        is_probe=False,
        claim_token=UUID(int=0),
    )


def a_line(*order_ids: str) -> Line:
    line = Line(on_half_empty=lambda: None)
    line.add(map(a_push, order_ids), lease_until=100)
    return line


def working(ramp: Ramp) -> int:
    return sum(ramp.admits(slot) for slot in range(100))


def a_ramp(most: int = 8) -> Ramp:
    return Ramp(most=most, failures=3, on_step=lambda: None)


def test_after_an_outage_the_slots_double_with_every_round_of_proofs() -> None:
    ramp = a_ramp()
    assert working(ramp) == 8
    ramp.hold()
    for slots in (1, 2, 4, 8):
        assert working(ramp) == slots
        for _ in range(slots):
            ramp.count(is_proven=True)
    assert working(ramp) == 8


def test_a_failure_on_the_way_begins_its_round_anew() -> None:
    ramp = a_ramp()
    ramp.hold()
    ramp.count(is_proven=True)
    ramp.count(is_proven=True)
    ramp.count(is_proven=False)
    ramp.count(is_proven=True)
    assert working(ramp) == 2


def test_it_brakes_until_the_circuits_have_been_told() -> None:
    ramp = a_ramp()
    for _ in range(3):
        assert working(ramp) == 8
        ramp.count(is_proven=False)
    assert working(ramp) == 0
    ramp.told(1)
    assert working(ramp) == 8
    ramp.count(is_proven=False)
    assert working(ramp) == 0
    ramp.count(is_proven=True)
    assert working(ramp) == 8


async def test_the_line_is_first_in_first_out() -> None:
    line = a_line("a", "b", "c")
    out = [await line.next(lambda: True) for _ in range(3)]
    assert [held.push.order_id for held in out if held] == ["a", "b", "c"]


async def test_who_may_not_take_waits_until_the_line_is_poked() -> None:
    line, may_take = a_line("a"), False
    waiting = asyncio.create_task(line.next(lambda: may_take))
    await asyncio.sleep(0)
    assert not waiting.done()
    may_take = True
    line.poke()
    held = await waiting
    assert isinstance(held, Held)


async def test_a_closed_line_lets_nobody_out_and_keeps_what_waits() -> None:
    line = a_line("a")
    line.close()
    assert await line.next(lambda: True) is None
    assert [push.order_id for push in line.take_out()] == ["a"]


def test_one_accounts_orders_are_taken_out_and_the_others_stay() -> None:
    line = a_line("a")
    line.add([a_push("b", "parked")], lease_until=100)
    assert [push.order_id for push in line.take_out(account="parked")] == ["b"]
    assert len(line) == 1


def test_what_lost_its_lease_leaves_the_line() -> None:
    line = a_line("a", "b")
    lost = line.aging(before=101)[:1]
    line.drop(lost)
    assert [push.order_id for push in line.take_out()] == ["b"]
