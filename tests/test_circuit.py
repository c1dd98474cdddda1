"""The rules of the circuits, sentence by sentence, and what holds for any history."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stocksync.circuit import RECENT, AccountCircuit, Kind, Seen, ServiceCircuit

FAILURES = 5
PROVEN_BEFORE = ServiceCircuit(has_proven=True)


def push(kind: Kind, order: str = "order", account: str = "account") -> Seen:
    return Seen(account=account, order=order, kind=kind, reason=f"because of {kind}")


def fed(circuit: ServiceCircuit, *pushes: Seen) -> ServiceCircuit:
    for each in pushes:
        circuit = circuit.fed(each, failures=FAILURES)
    return circuit


def failures(count: int, kind: Kind = Kind.FAILED) -> list[Seen]:
    return [push(kind, f"order-{n}") for n in range(count)]


# --- the service's -------------------------------------------------------------------------------


def test_it_opens_after_so_many_failures_of_different_orders() -> None:
    assert not fed(PROVEN_BEFORE, *failures(4)).is_open
    assert fed(PROVEN_BEFORE, *failures(5)).reason == "because of failed"


def test_failures_of_one_order_are_one() -> None:
    assert not fed(PROVEN_BEFORE, *[push(Kind.FAILED, "poison")] * 100).is_open


def test_the_same_order_id_of_two_accounts_is_two_orders() -> None:
    pushes = [push(Kind.FAILED, "same", f"account-{n}") for n in range(5)]
    assert fed(PROVEN_BEFORE, *pushes).is_open


def test_anything_proven_between_them_begins_the_count_anew() -> None:
    pushes = [*failures(4), push(Kind.PROVEN, "other"), *failures(4)]
    assert not fed(PROVEN_BEFORE, *pushes).is_open


def test_it_opens_when_more_than_half_of_the_last_pushes_failed() -> None:
    # Two of three fail: five in a row they never are.
    kinds = [Kind.PROVEN, Kind.FAILED, Kind.FAILED] * 10
    circuit, failed = PROVEN_BEFORE, 0
    for n, kind in enumerate(kinds):
        if circuit.is_open:
            break
        circuit = fed(circuit, push(kind, f"order-{n}"))
        failed += kind is Kind.FAILED
    assert failed == RECENT // 2 + 1
    assert "more than half of the last 20" in (circuit.reason or "")


def test_a_service_that_flaps_half_and_half_stays_closed() -> None:
    circuit = PROVEN_BEFORE
    for n in range(100):
        circuit = fed(circuit, push(Kind.FAILED, f"bad-{n}"), push(Kind.PROVEN, f"good-{n}"))
    assert not circuit.is_open


def test_a_poison_order_among_others_that_pass_opens_nothing() -> None:
    circuit = PROVEN_BEFORE
    for n in range(100):
        circuit = fed(circuit, push(Kind.FAILED, "poison"), push(Kind.PROVEN, f"good-{n}"))
    assert not circuit.is_open


@pytest.mark.parametrize(
    ("circuit", "pushes", "is_asked"),
    [
        (PROVEN_BEFORE, [push(Kind.FAILED)], False),
        (PROVEN_BEFORE, [push(Kind.FAILED)] * 2, True),
        (ServiceCircuit(), [push(Kind.FAILED)], True),
        (PROVEN_BEFORE, [push(Kind.FAILED), push(Kind.PROVEN), push(Kind.FAILED)], False),
        (PROVEN_BEFORE, [push(Kind.TOKEN)] * 2, True),
        (PROVEN_BEFORE, failures(5), False),
    ],
)
def test_health_is_asked_at_the_first_failure_that_follows_no_success(
    circuit: ServiceCircuit, pushes: list[Seen], is_asked: bool
) -> None:
    assert fed(circuit, *pushes).wants_health is is_asked


def test_unhealthy_opens_it_and_healthy_or_nothing_said_does_not() -> None:
    doubted = fed(ServiceCircuit(), push(Kind.FAILED))
    assert doubted.told(is_healthy=False, says="no database").reason == "/health: no database"
    assert not doubted.told(is_healthy=True, says="").is_open
    assert not doubted.told(is_healthy=None, says="404").is_open


def test_an_answer_about_health_that_comes_too_late_says_nothing() -> None:
    recovered = fed(ServiceCircuit(), push(Kind.FAILED), push(Kind.PROVEN))
    assert not recovered.told(is_healthy=False, says="no database").is_open


def test_credentials_that_are_refused_open_it_at_once_with_their_own_reason() -> None:
    circuit = fed(PROVEN_BEFORE, push(Kind.CREDENTIALS))
    assert (circuit.reason or "").startswith("credentials: ")


def test_one_accounts_404s_do_not_count_towards_the_service() -> None:
    assert not fed(PROVEN_BEFORE, *failures(100, Kind.TOKEN)).is_open


def test_404s_of_all_accounts_that_were_tried_count_towards_the_service() -> None:
    tokens = [push(Kind.TOKEN, f"order-{n}", f"account-{n % 2}") for n in range(5)]
    assert not fed(PROVEN_BEFORE, *tokens[:4]).is_open
    assert "no account is known" in (fed(PROVEN_BEFORE, *tokens).reason or "")


def test_404s_of_two_accounts_while_a_third_one_passes_are_theirs() -> None:
    tokens = [push(Kind.TOKEN, f"order-{n}", f"account-{n % 2}") for n in range(4)]
    circuit = PROVEN_BEFORE
    for n in range(20):
        circuit = fed(circuit, *tokens, push(Kind.PROVEN, f"good-{n}", "a good account"))
    assert not circuit.is_open


def test_404s_of_all_accounts_but_one_that_fails_otherwise_do_not_count() -> None:
    tokens = [push(Kind.TOKEN, f"order-{n}", f"account-{n % 2}") for n in range(10)]
    assert not fed(PROVEN_BEFORE, push(Kind.FAILED, account="another"), *tokens).is_open


def test_it_closes_at_the_first_proof() -> None:
    circuit = fed(PROVEN_BEFORE, *failures(5), push(Kind.PROVEN, "probe"))
    assert not circuit.is_open
    assert not circuit.in_a_row


def test_a_422_shows_the_service_at_work_unless_its_database_is_in_doubt() -> None:
    assert not fed(PROVEN_BEFORE, *failures(5), push(Kind.REFUSED)).is_open
    tokens = [push(Kind.TOKEN, f"order-{n}", f"account-{n % 2}") for n in range(5)]
    assert fed(PROVEN_BEFORE, *tokens, push(Kind.REFUSED)).is_open


# --- an account's --------------------------------------------------------------------------------


def test_an_account_is_parked_after_so_many_404s_also_of_one_order() -> None:
    circuit = AccountCircuit()
    for _ in range(FAILURES):
        assert not circuit.is_open
        circuit = circuit.fed(push(Kind.TOKEN), failures=FAILURES)
    assert circuit.is_open
    assert circuit.held_up == (("account", "order"),)


@pytest.mark.parametrize("kind", [Kind.FAILED, Kind.CREDENTIALS, Kind.REFUSED])
def test_nothing_else_parks_an_account(kind: Kind) -> None:
    circuit = AccountCircuit()
    for _ in range(100):
        circuit = circuit.fed(push(kind), failures=FAILURES)
    assert circuit.is_clean


def test_an_account_is_back_at_its_first_proof() -> None:
    circuit = AccountCircuit(reason="404", refusals=5, unknown=(("account", "order"),))
    assert circuit.fed(push(Kind.PROVEN), failures=FAILURES) == AccountCircuit()


# --- any history ---------------------------------------------------------------------------------

PUSHES = st.builds(
    Seen,
    account=st.sampled_from("AB"),
    order=st.sampled_from([f"order-{n}" for n in range(8)]),
    kind=st.sampled_from(Kind),
    reason=st.just("x"),
)
HISTORIES = st.lists(PUSHES, max_size=60)


@given(HISTORIES)
def test_a_proof_always_closes_it(history: list[Seen]) -> None:
    circuit = fed(ServiceCircuit(), *history, push(Kind.PROVEN))
    assert not circuit.is_open
    assert circuit.has_proven


@given(HISTORIES)
def test_what_is_remembered_is_bounded_and_survives_the_database(history: list[Seen]) -> None:
    circuit, account = ServiceCircuit(), AccountCircuit()
    for each in history:
        circuit = circuit.fed(each, failures=FAILURES)
        account = account.fed(each, failures=FAILURES)
    assert len(circuit.recent) <= RECENT
    assert ServiceCircuit.from_json(json.loads(json.dumps(circuit.to_json()))) == circuit
    assert AccountCircuit.from_json(json.loads(json.dumps(account.to_json()))) == account


@given(HISTORIES)
def test_without_failures_it_is_clean(history: list[Seen]) -> None:
    proven = [each for each in history if each.kind is Kind.PROVEN]
    assert fed(ServiceCircuit(), *proven).is_clean


@given(HISTORIES)
def test_only_a_proof_or_a_422_closes_it(history: list[Seen]) -> None:
    circuit = ServiceCircuit()
    for each in history:
        was_open = circuit.is_open
        circuit = circuit.fed(each, failures=FAILURES)
        if was_open and not circuit.is_open:
            assert each.kind in (Kind.PROVEN, Kind.REFUSED)


@given(st.lists(st.sampled_from([Kind.FAILED, Kind.PROVEN]), max_size=100))
def test_a_single_failing_order_never_opens_it(kinds: list[Kind]) -> None:
    pushes = [push(kind, "poison" if kind is Kind.FAILED else "good") for kind in kinds]
    assert not fed(PROVEN_BEFORE, *pushes).is_open
