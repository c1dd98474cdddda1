"""An order system that sells one unit, `two-steps` or with an `outbox`, and says where it is.

It says "before" with its transaction open and "between" after the commit, and goes on when a line
comes in: whoever kills it chooses the instant.
"""

import os
import sys

import httpx
import psycopg

TOKEN_ID = "11111111-1111-4111-8111-111111111111"


def stop_at(point: str) -> None:
    print(point, flush=True)  # noqa: T201 - it is how it speaks
    sys.stdin.readline()


def sell(order_id: str, *, has_outbox: bool) -> None:
    with psycopg.connect(os.environ["DSN"]) as connection:
        with connection.transaction():
            connection.execute("UPDATE stock SET quantity = quantity - 1 WHERE sku = 'SKU-1'")
            if has_outbox:
                connection.execute(
                    "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
                    " VALUES (%s, %s, 'SKU-1', 1)",
                    [TOKEN_ID, order_id],
                )
            stop_at("before")
        stop_at("between")
    if not has_outbox:
        httpx.patch(
            f"{os.environ['SERVICE_URL']}/api/v1/orders/{order_id}/stock-status",
            params={"token_id": TOKEN_ID},
            json={"is_stock_updated": True},
            headers={"Authorization": f"Bearer {os.environ['JWT']}"},
        ).raise_for_status()


if __name__ == "__main__":
    kind, order_id = sys.argv[1:]
    sell(order_id, has_outbox=kind == "outbox")
