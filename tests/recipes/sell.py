"""An order system that deducts one order as a recipe says: `sell.py KIND ORDER_ID ITEMS`.

ITEMS is JSON, id: SKU. The recipe is the module `recipe`, the models are the package `shop`, both
on PYTHONPATH; the database is named by DSN.
"""

import importlib
import json
import os
import sys

import psycopg
from psycopg.conninfo import conninfo_to_dict

TOKEN_ID = "11111111-1111-4111-8111-111111111111"
DSN = os.environ["DSN"]


def with_psycopg(order_id: str, items: dict[int, str]) -> None:
    with psycopg.connect(DSN) as connection:
        importlib.import_module("recipe").deduct(connection, TOKEN_ID, order_id, items)


def with_sqlalchemy(order_id: str, items: dict[int, str]) -> None:
    from sqlalchemy import create_engine  # noqa: PLC0415 - each kind without the others
    from sqlalchemy.orm import Session  # noqa: PLC0415 - the same

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(DSN))
    with Session(engine) as session, session.begin():
        importlib.import_module("recipe").deduct(session, TOKEN_ID, order_id, items)


def with_django(order_id: str, items: dict[int, str]) -> None:
    import django  # noqa: PLC0415 - each kind without the others
    from django.conf import settings  # noqa: PLC0415 - the same

    named = {name: str(value) for name, value in conninfo_to_dict(DSN).items()}
    settings.configure(
        INSTALLED_APPS=["shop"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": named.pop("dbname"),
                "OPTIONS": named,
            }
        },
    )
    django.setup()
    importlib.import_module("recipe").deduct(TOKEN_ID, order_id, items)


KINDS = {"psycopg": with_psycopg, "sqlalchemy": with_sqlalchemy, "django": with_django}

if __name__ == "__main__":
    kind, order_id, items = sys.argv[1:]
    KINDS[kind](order_id, {int(item_id): sku for item_id, sku in json.loads(items).items()})
