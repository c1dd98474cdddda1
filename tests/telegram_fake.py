"""Telegram for the tests: a Bot API over real HTTP that keeps what it was sent, and fails at will.

It refuses what Telegram refuses: a wrong token, an unknown chat, a text that is too long or empty,
an entity outside its text, a button whose action is too long.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

TOKEN: Final = "123456:the-secret-of-the-bot"
CHAT: Final = "-1001"
OTHER_CHAT: Final = "-1002"
USER_ID: Final = 77

_JSON = {
    "entities",
    "caption_entities",
    "reply_markup",
    "link_preview_options",
    "allowed_updates",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, with its fields as Telegram sees them; JSON fields are parsed."""

    method: str
    fields: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def chat(self) -> str:
        return str(self.fields.get("chat_id", ""))

    @property
    def text(self) -> str:
        return str(self.fields.get("text", self.fields.get("caption", "")))

    @property
    def entities(self) -> list[tuple[str, str]]:
        """Each entity's type and the text that it covers, by UTF-16 units."""
        raw = self.text.encode("utf-16-le")
        found = self.fields.get("entities", self.fields.get("caption_entities", []))
        return [
            (
                each["type"],
                raw[each["offset"] * 2 : (each["offset"] + each["length"]) * 2].decode("utf-16-le"),
            )
            for each in found
        ]

    @property
    def buttons(self) -> list[list[tuple[str, str]]]:
        """Rows of (label, action)."""
        rows = self.fields.get("reply_markup", {}).get("inline_keyboard", [])
        return [[(each["text"], each["callback_data"]) for each in row] for row in rows]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What comes back instead."""

    status: int
    body: Mapping[str, Any] | str
    is_done: bool = False
    """It did what it was asked, and only its answer is this."""


def flood(seconds: int) -> Answer:
    return _error(429, "Too Many Requests: retry later", retry_after=seconds)


def bad_request(text: str) -> Answer:
    return _error(400, f"Bad Request: {text}")


def moved(to: str) -> Answer:
    text = "group chat was upgraded to a supergroup chat"
    return _error(400, f"Bad Request: {text}", migrate_to_chat_id=int(to))


UNAUTHORIZED = Answer(
    status=401, body={"ok": False, "error_code": 401, "description": "Unauthorized"}
)
KICKED = Answer(
    status=403,
    body={
        "ok": False,
        "error_code": 403,
        "description": "Forbidden: bot was kicked from the supergroup chat",
    },
)
HTML_502 = Answer(status=502, body="<html><title>502 Bad Gateway</title></html>")
HANG = Answer(status=0, body="")


def _error(status: int, description: str, **parameters: int) -> Answer:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return Answer(status=status, body=body | ({"parameters": parameters} if parameters else {}))


@dataclass(kw_only=True)
class BotApi:
    """The server: `sent` is what arrived in the chats, `calls` is every request."""

    token: str = TOKEN
    chats: set[str] = field(default_factory=lambda: {CHAT, OTHER_CHAT})
    calls: list[Call] = field(default_factory=list)
    sent: list[Call] = field(default_factory=list)
    always: dict[str, Answer] = field(default_factory=dict)
    """By chat, '' for all: what is answered as long as it is here."""
    once: deque[Answer] = field(default_factory=deque)
    """What the next calls get, one each."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: what it is asked it does, and the answer waits until this is set."""
    port: int = 0
    _updates: list[dict[str, Any]] = field(default_factory=list)
    _happened: int = 0
    _come: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def texts(self, chat: str = CHAT) -> list[str]:
        """What people in the chat read."""
        return [call.text for call in self.sent if call.chat == chat]

    def __post_init__(self) -> None:
        self.answers.set()

    async def listen(self) -> None:
        """Take calls, on the port of before where there was one."""
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined] # asyncio's own

    async def stop_listening(self) -> None:
        """Refuse connections from now on."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def press(
        self, action: str, *, chat: str = CHAT, user_id: int = USER_ID, message_id: int = 1
    ) -> None:
        """Somebody presses a button of the message `message_id`."""
        message = {"message_id": message_id, "date": 1, "chat": _chat(chat)}
        press = {
            "id": f"press-{self._happened + 1}",
            "from": _user(user_id),
            "chat_instance": "1",
            "message": message,
            "data": action,
        }
        self._happens({"callback_query": press})

    def say(
        self, text: str, *, chat: str = CHAT, user_id: int = USER_ID, message_id: int = 1
    ) -> None:
        """Somebody writes."""
        message = {
            "message_id": message_id,
            "date": 1,
            "chat": _chat(chat),
            "from": _user(user_id),
            "text": text,
        }
        self._happens({"message": message})

    def _happens(self, update: dict[str, Any]) -> None:
        self._happened += 1
        self._updates.append({"update_id": self._happened, **update})
        self._come.set()

    async def _answer(self, request: web.Request) -> web.Response:
        call = await _read(request)
        self.calls.append(call)
        if request.match_info["token"] != self.token:
            return _response(UNAUTHORIZED)
        answer = self.once.popleft() if self.once else self.always.get("")
        answer = answer or self.always.get(call.chat)
        if answer is HANG:
            await asyncio.Event().wait()
        if answer is not None and not answer.is_done:
            return _response(answer)
        refusal = self._refusal(call)
        if refusal is not None:
            return _response(bad_request(refusal))
        if call.method in {"sendMessage", "sendPhoto"}:
            self.sent.append(call)
        await self.answers.wait()
        if answer is not None:
            return _response(answer)
        return _response(Answer(status=200, body={"ok": True, "result": await self._result(call)}))

    async def _result(self, call: Call) -> object:
        match call.method:
            case "sendMessage" | "sendPhoto" | "editMessageText":
                return {"message_id": len(self.sent), "date": 1, "chat": _chat(call.chat)}
            case "getMe":
                return {"id": 1, "is_bot": True, "first_name": "Bot", "username": "the_bot"}
            case "getChat":
                return {"id": int(call.chat), "type": "supergroup", "title": "On call"}
            case "getUpdates":
                return await self._wait_for_updates(call)
        return True

    async def _wait_for_updates(self, call: Call) -> list[dict[str, Any]]:
        offset = int(call.fields.get("offset", 0))
        if offset < 0:
            self._updates = self._updates[offset:]
            return list(self._updates)
        self._updates = [each for each in self._updates if each["update_id"] >= offset]
        try:
            async with asyncio.timeout(int(call.fields.get("timeout", 0))):
                while not self._updates:
                    self._come.clear()
                    await self._come.wait()
        except TimeoutError:
            return []
        return list(self._updates)

    def _refusal(self, call: Call) -> str | None:
        if call.chat and call.chat not in self.chats:
            return "chat not found"
        if call.method not in {"sendMessage", "sendPhoto", "editMessageText"}:
            return None
        is_photo = call.method == "sendPhoto"
        length = len(call.text.encode("utf-16-le")) // 2
        entities = call.fields.get("entities", call.fields.get("caption_entities", []))
        actions = [action for row in call.buttons for _, action in row]
        wrong = {
            "message text is empty": not is_photo and not call.text.strip(),
            "message is too long": not is_photo and length > 4096,
            "message caption is too long": is_photo and length > 1024,
            "can't parse entities: outside the text": any(
                each["offset"] + each["length"] > length for each in entities
            ),
            "BUTTON_DATA_INVALID": any(len(action.encode()) > 64 for action in actions),
            "PHOTO_INVALID_DIMENSIONS": is_photo
            and not any(file.startswith(b"\x89PNG") for file in call.files.values()),
        }
        return next((words for words, is_so in wrong.items() if is_so), None)


@asynccontextmanager
async def running_bot_api() -> AsyncIterator[BotApi]:
    """Run one on a free port."""
    api = BotApi()
    await api.listen()
    try:
        yield api
    finally:
        await api.stop_listening()


def _response(answer: Answer) -> web.Response:
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, text=answer.body, content_type="text/html")
    return web.json_response(answer.body, status=answer.status)


async def _read(request: web.Request) -> Call:
    fields: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file as file:
                files[name] = file.read()
            continue
        assert isinstance(value, str)
        fields[name] = json.loads(value) if name in _JSON else value
    return Call(method=request.match_info["method"], fields=fields, files=files)


def _chat(chat: str) -> dict[str, Any]:
    if chat.startswith("@"):
        return {"id": -1009, "type": "channel", "title": "On call", "username": chat[1:]}
    return {"id": int(chat), "type": "supergroup", "title": "On call"}


def _user(user_id: int) -> dict[str, Any]:
    return {"id": user_id, "is_bot": False, "first_name": "Ann", "username": f"user_{user_id}"}
