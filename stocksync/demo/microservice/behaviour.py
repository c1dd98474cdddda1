"""How the microservice answers, quirks included: a function from a request to a reply. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stocksync.demo.microservice import validation
from stocksync.demo.microservice.calls import ROUTES, Call
from stocksync.demo.microservice.validation import Unprocessable, user_of_jwt

LISTS_UNTIL_WEDGED = 28
"""Calls of the list, each of which leaks a connection, until none is left (28 to 57 seen)."""
WEDGED_SECONDS = 30.0
"""How long the service then waits for a connection before it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the service answers: a string is plain text, anything else JSON."""

    status: int = 200
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class FlagRow:
    """A row of technical flags; `updated_at` is what it was when the row was made."""

    is_stock_updated: bool
    updated_at: str


class Microservice:
    """The service's state and its answers.

    `accounts`: token id → user id. `orders`: token id → order ids, newest first, for the list
    alone: a PATCH never looks an order up. `database` is `connected`, `disconnected` or `error`.
    """

    def __init__(self, *, secret: str, accounts: Mapping[str, str]) -> None:
        self.secret = secret
        self.accounts = dict(accounts)
        self.orders: dict[str, list[str]] = {}
        self.flags: dict[tuple[str, str], FlagRow] = {}
        self.database = "connected"
        self.leaked_connections = 0
        self.lists_until_wedged = LISTS_UNTIL_WEDGED
        self.wedged_seconds = WEDGED_SECONDS

    @property
    def is_wedged(self) -> bool:
        """No database connection is left; 0 leaked connections mend it."""
        return self.leaked_connections >= self.lists_until_wedged

    def answer(self, call: Call) -> Reply:
        """Do what the call asks for and give the answer."""
        if call.route == "health":
            return Reply(content={"status": "healthy", "database": self.database})
        if not call.route:
            return _missed(call)
        user_id = self._user_of(call.authorization)
        if isinstance(user_id, Reply):
            return user_id
        answer: Callable[[Call, str], Reply] = getattr(self, f"_{call.route}")
        try:
            return answer(call, user_id)
        except Unprocessable as error:
            return Reply(status=422, content={"detail": error.problems})

    def _user_of(self, authorization: str) -> str | Reply:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return Reply(status=403, content={"detail": "Not authenticated"})
        user_id = user_of_jwt(token, secret=self.secret)
        return user_id or Reply(status=401, content={"detail": "Invalid or expired token"})

    def _stock_status(self, call: Call, user_id: str) -> Reply:
        token_id, value = validation.token_id_and_flag(call.parameters, call.body)
        if refusal := self._refusal(token_id, call, user_id):
            return refusal
        row = self._row(token_id, call.order_id)
        row.is_stock_updated = value
        return Reply(
            content={
                "success": True,
                "order_id": call.order_id,
                "is_stock_updated": row.is_stock_updated,
                "updated_at": row.updated_at,
                "message": "Статус списания обновлён",
            }
        )

    def _technical_flags(self, call: Call, user_id: str) -> Reply:
        token_id = validation.token_id(call.parameters)
        if refusal := self._refusal(token_id, call, user_id):
            return refusal
        row = self._row(token_id, call.order_id)
        flags = {
            "is_stock_updated": row.is_stock_updated,
            "has_invoice_created": False,
            "invoice_id": None,
            "created_at": row.updated_at,
            "updated_at": row.updated_at,
        }
        return Reply(content={"order_id": call.order_id, "technical_flags": flags})

    def _summary(self, call: Call, user_id: str) -> Reply:
        token_id = validation.token_id(call.parameters)
        if refusal := self._refusal(token_id, call, user_id):
            return refusal
        values = [
            row.is_stock_updated for (token, _), row in self.flags.items() if token == token_id
        ]
        summary = {"total_orders_with_flags": len(values), "stock_updated_orders": sum(values)}
        return Reply(content={"token_id": token_id, "summary": summary})

    def _orders(self, call: Call, user_id: str) -> Reply:
        """List orders: leaks a connection a call, and makes up false flags when none is left."""
        token_id = validation.token_id(call.parameters)
        limit = validation.whole_number(call.parameters, "limit", default=50, least=1, most=100)
        offset = validation.whole_number(call.parameters, "offset", default=0, least=0)
        wanted = validation.boolean(call.parameters, "stock_updated")
        if self.database != "connected":
            broken = {"success": False, "error": "database connection failed", "orders": []}
            return Reply(content=broken)
        if self.accounts.get(token_id) != user_id:
            return Reply(status=500, content="Internal Server Error")
        was_wedged = self.is_wedged
        self.leaked_connections += 1
        rows = {order: self.flags.get((token_id, order)) for order in self.orders.get(token_id, [])}
        held = {order: bool(row and row.is_stock_updated) for order, row in rows.items()}
        if wanted is not None:  # an inner join: no row, no match, whatever is asked for
            held = {order: flag for order, flag in held.items() if rows[order] and flag is wanted}
        orders = [
            {
                "id": order,
                "allegro_order_id": order,
                "technical_flags": {"is_stock_updated": flag and not was_wedged},
            }
            for order, flag in list(held.items())[offset : offset + limit]
        ]
        pagination = {
            "total": len(held),
            "limit": limit,
            "offset": offset,
            "has_next": offset + limit < len(held),
            "has_prev": offset > 0,
        }
        names = ("stock_updated", "from_date", "to_date", "status")
        filters = {name: call.parameters.get(name) for name in names}
        return Reply(
            content={
                "success": True,
                "orders": orders,
                "pagination": pagination,
                "filters": filters,
            }
        )

    def _order(self, _call: Call, _user_id: str) -> Reply:
        return Reply(content={"success": False, "order": None, "error": "Заказ не найден"})

    def _tokens(self, call: Call, user_id: str) -> Reply:
        page = validation.whole_number(call.parameters, "page", default=1, least=1)
        size = validation.whole_number(call.parameters, "per_page", default=10, least=1, most=100)
        own = [token for token, user in self.accounts.items() if user == user_id]
        if self.database != "connected":
            own = []
        tokens = [
            {
                "id": token,
                "user_id": user_id,
                "account_name": f"account-{token[:8]}",
                "expires_at": "2100-01-01T00:00:00",
                "is_active": True,
            }
            for token in own[(page - 1) * size : page * size]
        ]
        return Reply(content={"tokens": tokens, "total": len(own), "page": page, "per_page": size})

    def _refusal(self, token_id: str, call: Call, user_id: str) -> Reply | None:
        """Refuse an unknown or foreign token; a database that is away looks just the same."""
        is_away = self.database != "connected"
        if is_away or self.is_wedged or self.accounts.get(token_id) != user_id:
            return Reply(
                status=404,
                content=token_not_found(token_id),
                delay_seconds=self.wedged_seconds if self.is_wedged and not is_away else 0.0,
            )
        if "\0" in call.order_id:
            return Reply(status=500, content={"detail": "A string literal cannot contain NUL"})
        return None

    def _row(self, token_id: str, order_id: str) -> FlagRow:
        row = self.flags.get((token_id, order_id))
        if row is None:
            now = datetime.now(UTC).replace(tzinfo=None).isoformat()
            row = FlagRow(is_stock_updated=False, updated_at=now)
            self.flags[token_id, order_id] = row
        return row


def token_not_found(token_id: str) -> dict[str, str]:
    """Word the 404 that means four things."""
    return {"detail": f"Токен {token_id} не найден или не принадлежит пользователю"}


def _missed(call: Call) -> Reply:
    allowed = [method for method, pattern, _ in ROUTES if pattern.fullmatch(call.path)]
    if allowed:
        detail = {"detail": "Method Not Allowed"}
        return Reply(status=405, content=detail, headers={"Allow": ", ".join(allowed)})
    if any(pattern.fullmatch(_slash_toggled(call.path)) for _, pattern, _ in ROUTES):
        raw_path, mark, query = call.target.partition("?")
        location = f"{_slash_toggled(raw_path)}{mark}{query}"
        return Reply(status=307, content="", headers={"Location": location})
    return Reply(status=404, content={"detail": "Not Found"})


def _slash_toggled(path: str) -> str:
    return path[:-1] if path.endswith("/") else f"{path}/"
