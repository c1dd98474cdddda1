"""Telegram: what it is sent, as it sees it; what its answers mean; and that the token stays in."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stocksync import telemetry
from stocksync.message import Bold, Button, Code, Message, Part, units
from stocksync.telegram import (
    LONGEST_TEXT,
    Flooded,
    Other,
    Pressed,
    Said,
    Telegram,
    TelegramError,
    TelegramRefused,
    TelegramUnavailable,
    Unsendable,
    cut,
)
from tests.importing import imported
from tests.telegram_fake import (
    CHAT,
    HANG,
    HTML_502,
    KICKED,
    OTHER_CHAT,
    TOKEN,
    USER_ID,
    Answer,
    BotApi,
    bad_request,
    flood,
    moved,
    running_bot_api,
)

HELLO = Message(parts=("hello",))
PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with running_bot_api() as api:
        yield api


@pytest.fixture
async def telegram(api: BotApi) -> AsyncIterator[Telegram]:
    telegram = Telegram(token=TOKEN, api_url=api.url)
    yield telegram
    await telegram.aclose()


async def test_parts_become_entities_and_nothing_is_markup(api: BotApi, telegram: Telegram) -> None:
    parts = ("🚨 ", Bold("<b>Outage</b>"), " of *all*: ", Code("stocksync status"), " & more")
    await telegram.send(CHAT, Message(parts=parts))
    [call] = api.sent
    assert call.method == "sendMessage"
    assert call.chat == CHAT
    assert call.text == "🚨 <b>Outage</b> of *all*: stocksync status & more"
    assert call.entities == [("bold", "<b>Outage</b>"), ("code", "stocksync status")]
    assert "parse_mode" not in call.fields
    assert call.fields["link_preview_options"] == {"is_disabled": True}


async def test_a_message_goes_to_its_topic_and_its_number_comes_back(
    api: BotApi, telegram: Telegram
) -> None:
    assert await telegram.send(CHAT, HELLO, thread_id=7) == 1
    assert await telegram.send(CHAT, HELLO) == 2
    assert [call.fields.get("message_thread_id") for call in api.sent] == ["7", None]


async def test_buttons_are_rows_under_the_text(api: BotApi, telegram: Telegram) -> None:
    rows = (
        (Button(label="Retry", action="retry:1"), Button(label="Mute", action="mute:60")),
        (Button(label="Probe", action="probe"),),
    )
    await telegram.send(CHAT, Message(parts=("hello",), buttons=rows))
    assert api.sent[0].buttons == [
        [("Retry", "retry:1"), ("Mute", "mute:60")],
        [("Probe", "probe")],
    ]


async def test_a_picture_is_a_photo_and_its_text_the_caption(
    api: BotApi, telegram: Telegram
) -> None:
    await telegram.send(CHAT, Message(parts=(Bold("The day"), "x" * 2000), picture=PNG))
    [call] = api.sent
    assert call.method == "sendPhoto"
    assert list(call.files.values()) == [PNG]
    assert call.entities == [("bold", "The day")]
    assert units(call.text) == 1024


async def test_a_text_that_is_too_long_is_cut_by_utf_16_units(
    api: BotApi, telegram: Telegram
) -> None:
    # Each of these has two: as many characters as the limit has units would be refused.
    await telegram.send(CHAT, Message(parts=("a", Bold("😀" * 5000), "never seen")))
    [call] = api.sent
    assert call.text == "a" + "😀" * 2047 + "…"
    assert units(call.text) == LONGEST_TEXT
    assert call.entities == [("bold", "😀" * 2047)]


PARTS = st.lists(
    st.one_of(
        st.text(max_size=8), st.builds(Bold, st.text(max_size=8)), st.builds(Code, st.text("😀я"))
    )
)


@given(PARTS, st.integers(min_value=1, max_value=40))
def test_what_is_cut_fits_and_is_the_beginning(parts: list[Part], longest: int) -> None:
    whole = Message(parts=tuple(parts)).text
    kept = Message(parts=cut(parts, longest)).text
    assert units(whole) == len(whole.encode("utf-16-le", "surrogatepass")) // 2
    assert units(kept) <= longest
    if kept != whole:
        assert kept.endswith("…")
        assert whole.startswith(kept[:-1])
        # Not a character less than fits.
        assert units(whole[: len(kept)]) > longest - 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (flood(30), Flooded),
        (bad_request("chat not found"), TelegramRefused),
        (bad_request("message thread not found"), TelegramRefused),
        (bad_request("not enough rights to send text messages to the chat"), TelegramRefused),
        (bad_request("TOPIC_CLOSED"), TelegramRefused),
        (KICKED, TelegramRefused),
        (Answer(status=404, body={"ok": False, "description": "Not Found"}), TelegramRefused),
        (bad_request("can't parse entities: unsupported start tag"), Unsendable),
        (bad_request("message text is empty"), Unsendable),
        (bad_request("BUTTON_DATA_INVALID"), Unsendable),
        (
            Answer(status=413, body={"ok": False, "description": "Request Entity Too Large"}),
            Unsendable,
        ),
        (HTML_502, TelegramUnavailable),
        (Answer(status=200, body="<html>log in to this network"), TelegramUnavailable),
        (Answer(status=500, body={"ok": False, "description": "Internal"}), TelegramUnavailable),
        (Answer(status=429, body={"ok": False, "description": "a proxy's"}), TelegramUnavailable),
        (Answer(status=409, body={"ok": False, "description": "Conflict"}), TelegramUnavailable),
    ],
    ids=lambda value: str(value.body)[:60] if isinstance(value, Answer) else value.__name__,
)
async def test_what_an_answer_means(
    api: BotApi, telegram: Telegram, answer: Answer, expected: type[TelegramError]
) -> None:
    api.once.append(answer)
    with pytest.raises(TelegramError) as caught:
        await telegram.send(CHAT, HELLO)
    assert type(caught.value) is expected
    assert len(api.calls) == 1
    assert api.sent == []


async def test_a_flood_says_for_how_long(api: BotApi, telegram: Telegram) -> None:
    api.once.append(flood(37))
    with pytest.raises(Flooded) as caught:
        await telegram.send(CHAT, HELLO)
    assert caught.value.retry_after_seconds == 37


async def test_a_wrong_token_is_refused(api: BotApi) -> None:
    telegram = Telegram(token="1:wrong", api_url=api.url)
    with pytest.raises(TelegramRefused, match="Unauthorized"):
        await telegram.me()
    await telegram.aclose()


async def test_silence_ends_at_the_deadline(api: BotApi) -> None:
    telegram = Telegram(token=TOKEN, api_url=api.url, timeout_seconds=0.2)
    api.once.append(HANG)
    with pytest.raises(TelegramUnavailable, match=r"within 0\.2 s"):
        await telegram.send(CHAT, HELLO)
    await telegram.aclose()


async def test_nobody_there_is_unavailable_until_somebody_is(
    api: BotApi, telegram: Telegram
) -> None:
    await api.stop_listening()
    with pytest.raises(TelegramUnavailable):
        await telegram.send(CHAT, HELLO)
    await api.listen()
    await telegram.send(CHAT, HELLO)
    assert api.texts() == ["hello"]


async def test_done_with_an_answer_of_a_newer_telegram_is_done(
    api: BotApi, telegram: Telegram
) -> None:
    strange = {"ok": True, "result": {"message_id": 9, "date": "in a new form"}}
    api.once.append(Answer(status=200, body=strange, is_done=True))
    assert await telegram.send(CHAT, HELLO) == 9
    assert api.texts() == ["hello"]


@pytest.mark.parametrize("result", [True, None, [], "sent", {}, {"message_id": "x"}], ids=repr)
async def test_sent_without_a_number_is_sent(
    api: BotApi, telegram: Telegram, result: object
) -> None:
    api.once.append(Answer(status=200, body={"ok": True, "result": result}, is_done=True))
    assert await telegram.send(CHAT, HELLO) is None
    assert api.texts() == ["hello"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=200, body={"ok": True, "result": {"of": "another shape"}}),
        Answer(status=200, body={"ok": True, "result": [{"no": "number"}]}),
        Answer(status=200, body={"ok": True, "result": [7]}),
        Answer(status=200, body={"ok": True}),
        Answer(status=500, body={"ok": False}),
        Answer(status=500, body={"ok": True}),
        Answer(status=409, body={"ok": False}),
    ],
    ids=lambda answer: f"{answer.status} {answer.body}",
)
async def test_an_answer_in_no_known_shape_is_none(
    api: BotApi, telegram: Telegram, answer: Answer
) -> None:
    api.always[""] = answer
    with pytest.raises(TelegramUnavailable):
        await telegram.updates(0, 0)
    with pytest.raises(TelegramUnavailable):
        await telegram.me()


async def test_a_group_that_became_a_supergroup_is_followed(
    api: BotApi, telegram: Telegram
) -> None:
    api.chats.add("-1003")
    api.always[CHAT] = moved("-1003")
    await telegram.send(CHAT, HELLO)
    await telegram.send(CHAT, HELLO)
    assert api.texts("-1003") == ["hello", "hello"]
    # Asked at the old place once only.
    assert [call.chat for call in api.calls] == [CHAT, "-1003", "-1003"]
    with pytest.raises(TelegramRefused, match="-1003"):
        await telegram.chat(CHAT)


async def test_a_message_is_edited_and_as_it_is_already_is_fine(
    api: BotApi, telegram: Telegram
) -> None:
    await telegram.edit(CHAT, 5, Message(parts=("done by ", Bold("Ann"))))
    [call] = api.calls
    assert (call.method, call.fields["message_id"], call.text) == (
        "editMessageText",
        "5",
        "done by Ann",
    )
    api.once.append(bad_request("message is not modified: the content is the same"))
    await telegram.edit(CHAT, 5, HELLO)
    api.once.append(bad_request("message to edit not found"))
    with pytest.raises(Unsendable):
        await telegram.edit(CHAT, 5, HELLO)


async def test_a_pressed_button_is_answered(api: BotApi, telegram: Telegram) -> None:
    await telegram.answer("press-1", "x" * 300)
    [call] = api.calls
    assert call.fields == {"callback_query_id": "press-1", "text": "x" * 200}


async def test_it_hears_what_people_press_and_say(api: BotApi, telegram: Telegram) -> None:
    api.press("retry:5", message_id=8)
    api.say("/status")
    api._happens({"poll_answer": {"poll_id": "1", "option_ids": []}})
    pressed, said, other = await telegram.updates(0, 5)
    assert pressed == Pressed(
        id=1,
        callback_id="press-1",
        chat=CHAT,
        chat_name="",
        message_id=8,
        user_id=USER_ID,
        user_name="@user_77",
        action="retry:5",
    )
    assert said == Said(
        id=2,
        chat=CHAT,
        chat_name="",
        thread_id=None,
        message_id=1,
        user_id=USER_ID,
        user_name="@user_77",
        text="/status",
    )
    assert other == Other(id=3)


async def test_what_was_heard_is_not_heard_again(api: BotApi, telegram: Telegram) -> None:
    api.say("one")
    await telegram.updates(0, 5)
    waiting = asyncio.create_task(telegram.updates(1, 5))
    api.say("two")
    [said] = await waiting
    assert isinstance(said, Said)
    assert said.text == "two"
    assert await telegram.updates(2, 0) == ()


async def test_the_newest_is_known_without_those_before(api: BotApi, telegram: Telegram) -> None:
    assert await telegram.newest() is None
    for text in ("one", "two", "three"):
        api.say(text)
    assert await telegram.newest() == 3
    assert await telegram.updates(3, 0) == ()


async def test_an_update_that_aiogram_does_not_know_stops_nobody(
    api: BotApi, telegram: Telegram
) -> None:
    api._happens({"message": {"text": "of another shape"}})
    assert await telegram.updates(0, 5) == (Other(id=1),)


@pytest.mark.usefixtures("api")
async def test_the_check_sees_the_bot_and_its_chats(telegram: Telegram) -> None:
    assert await telegram.me() == "@the_bot"
    assert await telegram.chat(OTHER_CHAT) == "On call"
    with pytest.raises(TelegramRefused, match="chat not found"):
        await telegram.chat("-404")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid", "http://a:b:c"])
async def test_the_token_is_in_no_error_and_no_line(url: str) -> None:
    stream = io.StringIO()
    telemetry.configure(stream=stream)
    telegram = Telegram(token=TOKEN, api_url=url)
    with pytest.raises(TelegramUnavailable) as caught:
        await telegram.send(CHAT, HELLO)
    telemetry.get_logger().error("test.failed", exc_info=caught.value, reason=str(caught.value))
    await telegram.aclose()
    assert "Traceback" in stream.getvalue()
    said = stream.getvalue() + str(caught.value) + repr(telegram) + repr(vars(telegram))
    assert "the-secret" not in said


def test_who_does_not_send_does_not_import_aiogram() -> None:
    assert imported("import stocksync.telegram", "aiogram") == set()
