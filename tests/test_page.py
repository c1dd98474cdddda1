"""The page, looked at in a real browser over a real database."""

import socket
from collections.abc import AsyncIterator
from urllib.parse import quote

import asyncpg
import pytest
import pytest_asyncio

pytest.importorskip("playwright", reason="no playwright (the extra `page`): the page is not tested")

from playwright.async_api import Browser, expect

from stocksync.database import Database
from stocksync.demo.microservice import Effect, Fault, Matches
from stocksync.store import Store
from tests.asking import TOKEN, Asker, asking
from tests.browsing import CHROMIUM, NARROW, Scheme, Visit, chromium, visiting
from tests.daemons import running_daemon
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.service import TOKEN_ID, running_stand_in
from tests.settling import DONE, REFUSED, RETRY, claim, settle

if CHROMIUM is None:
    pytest.skip(
        "no Chromium (`apt-get install chromium-headless-shell`): the page is not tested",
        allow_module_level=True,
    )

pytestmark = [
    pytest.mark.page,
    # One browser for all of them, and so one loop.
    pytest.mark.asyncio(loop_scope="module"),
]
HOSTILE = '<img src=x onerror="document.title=1">\'"&amp;'
LEAST_CONTRAST = 4.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def scene(dsn: str) -> AsyncIterator["Scene"]:
    connection = await asyncpg.connect(dsn)
    async with Database(url=dsn) as database, asking(database) as asker:
        yield Scene(Outbox(connection), database, asker)
    await connection.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, scene: "Scene") -> AsyncIterator[Visit]:
    async with visiting(browser, scene.asker.url) as visit:
        yield visit


class Scene:
    """An outbox to look at."""

    def __init__(self, outbox: Outbox, database: Database, asker: Asker) -> None:
        self.outbox = outbox
        self.database = database
        self.asker = asker
        self.store = Store(database=database, by="a test")

    async def sql(self, statement: str, *values: object) -> None:
        await self.outbox.connection.execute(statement, *values)

    async def with_a_daemon(self) -> None:
        await self.sql(
            "INSERT INTO stock_sync_daemons (id, host, pid, version, is_listening, settled_at)"
            " VALUES (gen_random_uuid(), 'host', 7, '1.2.3', true, now())"
        )

    async def with_a_parked_account(self) -> None:
        await self.sql(
            "INSERT INTO stock_sync_circuits (token_id, is_open, reason, opened_at, probe_at)"
            " VALUES ($1, true, 'the service does not know it', now(), now() + interval '1 hour')",
            OTHER_ACCOUNT,
        )

    async def with_minutes(self) -> None:
        await self.sql(
            "INSERT INTO stock_sync_minutes (minute, attempts, unproven, orders_pushed,"
            " rows_completed, push_ms, slowest_push_ms, due_rows)"
            " SELECT date_trunc('minute', now()) - n * interval '1 minute', 20, 1, 19, 19, 1600,"
            " 200 + n, n % 50 FROM generate_series(1, 360) n"
        )

    async def with_names(self, **names: str) -> None:
        """The accounts' names, as the service tells them, are known before anybody looks."""
        self.asker.service.names = {
            token_id: name
            for token_id, name in ((ACCOUNT, names.get("own")), (OTHER_ACCOUNT, names.get("other")))
            if name
        }
        await self.asker.get("pending")

    async def failed(self, order_id: str = "refused", *, sku: str = "A-1") -> str:
        """A row that the service refused; gives its id."""
        row_id = await self.outbox.insert(order_id, sku=sku)
        await settle(self.store, await claim(self.store), REFUSED)
        return str(row_id)

    async def degraded(self) -> None:
        """Something of everything that the page can show."""
        await self.with_a_daemon()
        await self.with_minutes()
        await self.with_names(own=HOSTILE, other="ж" * 300)
        await self.outbox.insert("done")
        await settle(self.store, await claim(self.store), DONE)
        await self.failed("ж" * 300, sku="s" * 200)
        await self.failed(HOSTILE)
        await self.outbox.insert("late")
        await settle(self.store, await claim(self.store), RETRY)
        await self.outbox.insert("waits", token_id=OTHER_ACCOUNT)
        await self.with_a_parked_account()
        await self.sql(
            "INSERT INTO stock_sync_timers (name, interval_seconds, due_at, ended_at, error)"
            " VALUES ('reconcile', 1800, now() + interval '1 hour', now(), 'no credible answer')"
        )


# --- what it is ----------------------------------------------------------------------------------


async def test_it_loads_without_a_complaint_and_asks_nobody_else(
    scene: Scene, visit: Visit
) -> None:
    await scene.degraded()
    await visit.go()
    await expect(visit.page.locator(".field .area").first).to_be_visible()
    await visit.page.goto(f"{visit.url}/#order=late")
    await expect(visit.page.locator("#orders .row")).to_have_count(1)
    assert visit.complaints == []
    assert await visit.violations() == []
    assert visit.strangers() == []
    # One document: nothing is fetched but answers.
    assert {request.resource_type for request in visit.requests} == {"document", "fetch"}


async def test_its_policy_lets_nothing_written_into_it_run(visit: Visit) -> None:
    await visit.go()
    await visit.page.evaluate(
        """() => {
          const script = document.createElement("script");
          try { script.textContent = "document.title = 'run'"; } catch { return; }
          document.body.append(script);
        }"""
    )
    assert "run" not in await visit.page.title()
    assert await visit.violations() != []


# --- the overview --------------------------------------------------------------------------------


async def test_ok_is_said_in_a_word(scene: Scene, visit: Visit) -> None:
    await scene.with_a_daemon()
    await visit.go()
    await expect(visit.page.locator("#verdict-word")).to_have_text("OK")
    await expect(visit.page.locator("#reasons")).to_be_hidden()
    assert await visit.page.title() == "OK · stocksync"


async def test_degraded_is_said_with_each_reason_and_the_account(
    scene: Scene, visit: Visit
) -> None:
    await scene.with_a_daemon()
    await scene.with_a_parked_account()
    await visit.go()
    await expect(visit.page.locator("#verdict-word")).to_have_text("DEGRADED")
    await expect(visit.page.locator("#reasons")).to_contain_text("the service does not know it")
    await expect(visit.page.locator("#holding")).to_contain_text(
        f"Account {OTHER_ACCOUNT} is parked"
    )
    await expect(visit.page.locator("#holding")).to_contain_text("To mend it: see that the micros")


async def test_accounts_are_called_by_their_names(scene: Scene, visit: Visit) -> None:
    await scene.with_a_daemon()
    await scene.with_names(own="Lamps & Co", other="Мебель")
    await scene.failed()
    await scene.outbox.insert("waits", token_id=OTHER_ACCOUNT)
    await scene.with_a_parked_account()
    await visit.go()
    parked = f"Account Мебель ({OTHER_ACCOUNT[:8]}…) is parked"
    await expect(visit.page.locator("#holding strong")).to_have_text(parked)
    failed = visit.page.locator("#failed > li")
    await expect(failed).to_contain_text(f"account Lamps & Co ({ACCOUNT[:8]}…)")
    await visit.find("waits")
    # In full where it is looked at closely: commands want the whole token.
    story = visit.page.get_by_role("article", name=f"Account Мебель ({OTHER_ACCOUNT[:8]}…)")
    await expect(story.locator(".pairs")).to_contain_text(f"Мебель ({OTHER_ACCOUNT})")
    await expect(story.locator(".cards strong")).to_have_text(parked)


async def test_a_name_that_comes_late_takes_the_place_of_the_token(
    scene: Scene, visit: Visit
) -> None:
    scene.asker.service.answers.clear()
    scene.asker.service.names = {OTHER_ACCOUNT: "Мебель"}
    await scene.with_a_parked_account()
    await visit.go()
    title = visit.page.locator("#holding strong")
    await expect(title).to_have_text(f"Account {OTHER_ACCOUNT} is parked")
    scene.asker.service.answers.set()
    await expect(title).to_have_text(f"Account Мебель ({OTHER_ACCOUNT[:8]}…) is parked")


async def test_stalled_is_said_with_its_reason(scene: Scene, visit: Visit) -> None:
    await scene.outbox.insert()
    await visit.go()
    await expect(visit.page.locator("#verdict-word")).to_have_text("STALLED")
    await expect(visit.page.locator("#reasons")).to_contain_text("no daemon is running")
    await expect(visit.page.locator("#daemons-none")).to_be_visible()


async def test_the_numbers_are_those_of_the_outbox(scene: Scene, visit: Visit) -> None:
    await scene.degraded()
    await visit.go()
    numbers = visit.page.locator("#numbers > div")
    for label, value in (("Pending", "2"), ("Failed", "2"), ("Held up", "1"), ("In flight", "0")):
        shown = numbers.filter(has_text=label).locator(".value").first
        await expect(shown).to_have_text(value)


async def test_failed_rows_are_grouped_by_their_error(scene: Scene, visit: Visit) -> None:
    await scene.failed("one")
    await scene.failed("two")
    await visit.go()
    group = visit.page.locator("#failed > li")
    await expect(group).to_have_count(1)
    await expect(group).to_contain_text("token_id: not a UUID")
    await expect(group).to_contain_text("2 orders")
    await group.locator("summary").click()
    await expect(group.locator(".rows a")).to_have_text(["two", "one"])
    await expect(group.locator("code")).to_contain_text(f"retry --failed --token {ACCOUNT}")


async def test_a_chart_is_read_by_the_arrow_keys_and_as_a_table(scene: Scene, visit: Visit) -> None:
    await scene.with_minutes()
    await visit.go()
    chart = visit.page.get_by_role("slider").first
    await expect(chart.locator(".area")).to_be_visible()
    await expect(chart.locator("text").first).to_have_text("0")
    await chart.focus()
    await visit.page.keyboard.press("Home")
    first = await chart.get_attribute("aria-valuetext")
    await visit.page.keyboard.press("ArrowRight")
    second = await chart.get_attribute("aria-valuetext")
    assert second != first
    assert "proven 19, not proven 1" in (second or "")
    await expect(visit.page.locator(".readout").first).to_have_text(second or "")
    await visit.page.locator("#points summary").click()
    shown = int(await chart.get_attribute("aria-valuemax") or 0) + 1
    await expect(visit.page.locator("#points tbody tr")).to_have_count(shown)


# --- the story -----------------------------------------------------------------------------------


async def test_an_orders_id_leads_to_its_whole_story(scene: Scene, visit: Visit) -> None:
    await scene.with_a_daemon()
    await scene.outbox.insert("Заказ №1 + 50% ? # & =", sku="LAMP")
    await settle(scene.store, await claim(scene.store), RETRY)
    await visit.go()
    await visit.find("Заказ №1 + 50% ? # & =")
    story = visit.page.locator("#story")
    await expect(story.locator(".waits")).to_contain_text("Its next retry is due at")
    await expect(story.locator(".row")).to_contain_text("deduction of 1 × LAMP")
    await expect(story.locator(".entries strong")).to_have_text(["created", "retry"])
    await expect(story.locator(".entries")).to_contain_text("HTTP 500 · 7 ms")
    await expect(visit.page.locator("#overview")).to_be_hidden()
    await visit.page.go_back()
    await expect(visit.page.locator("#overview")).to_be_visible()


async def test_a_link_to_an_operation_shows_its_row_among_the_orders(
    scene: Scene, visit: Visit
) -> None:
    await scene.outbox.insert("order", sku="OTHER")
    row_id = await scene.outbox.insert("order", sku="THIS")
    await visit.go(f"#operation={row_id}")
    await expect(visit.page.locator("#orders .row")).to_have_count(2)
    await expect(visit.page.locator("#orders .chosen")).to_contain_text("THIS")


async def test_an_operations_id_is_found_as_well(scene: Scene, visit: Visit) -> None:
    row_id = await scene.outbox.insert("order")
    await visit.go()
    await visit.find(str(row_id))
    await expect(visit.page.locator("#story-title")).to_have_text("Order order")
    assert visit.page.url.endswith(f"#operation={row_id}")


async def test_an_order_that_nobody_knows_is_said_to_be_unknown(visit: Visit) -> None:
    await visit.go()
    await visit.find("nobody's")
    await expect(visit.page.locator("#story-trouble")).to_contain_text(
        "nothing is known of the order"
    )


async def test_a_hostile_orders_id_is_text_wherever_it_stands(scene: Scene, visit: Visit) -> None:
    await scene.failed(HOSTILE, sku=HOSTILE)
    await visit.go()
    await visit.give_token(TOKEN)
    await visit.page.locator("#failed summary").click()
    await expect(visit.page.locator("#failed .rows a")).to_have_text(HOSTILE)
    await visit.page.locator("#failed .cancel").click()
    await expect(visit.page.locator("#act-what")).to_contain_text(HOSTILE)
    await visit.page.keyboard.press("Escape")
    await visit.page.locator("#failed .rows a").click()
    await expect(visit.page.locator("#story-title")).to_have_text(f"Order {HOSTILE}")
    await visit.go(f"#order={quote(HOSTILE)}")
    await expect(visit.page.locator("#orders .row")).to_contain_text(HOSTILE)
    assert await visit.page.evaluate("document.images.length") == 0
    assert await visit.page.title() != "1"
    assert await visit.violations() == []


# --- acts ----------------------------------------------------------------------------------------


async def test_without_the_token_one_only_looks(scene: Scene, visit: Visit) -> None:
    await scene.failed()
    await visit.go("#order=refused")
    await expect(visit.page.locator("#orders .row")).to_be_visible()
    await expect(visit.page.locator("button.retry, button.cancel").first).to_be_hidden()
    await visit.give_token("wrong")
    await expect(visit.page.locator("#token-said")).to_have_text(
        "The server does not take this token."
    )
    await expect(visit.page.locator("#orders button.retry")).to_be_hidden()


async def test_a_retry_is_confirmed_done_and_told(scene: Scene, visit: Visit) -> None:
    row_id = await scene.failed()
    await visit.go()
    await visit.give_token(TOKEN)
    await visit.page.locator("#failed summary").click()
    await visit.page.locator("#failed button.retry").click()
    assert (await scene.outbox.rows())[0]["status"] == "failed"
    await visit.page.locator("#act-yes").click()
    await expect(visit.page.locator("#done-said")).to_have_text(
        "refused, 1 × A-1: it is tried again now"
    )
    await expect(visit.page.locator("#failed-none")).to_be_visible()
    row = await scene.outbox.row((await scene.outbox.rows())[0]["id"])
    assert (str(row["id"]), row["status"], row["retry_count"]) == (row_id, "pending", 0)
    assert await scene.outbox.actions(row["id"]) == ["failed", "manual_retry"]
    assert scene.asker.daemon.wakes == 1


async def test_at_a_real_daemon_a_retried_row_is_pushed_and_its_story_says_so(
    dsn: str, scene: Scene, browser: Browser
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with running_stand_in() as stand_in:
        refused = Effect(status=422, content={"detail": "no"})
        stand_in.inject(Fault(effect=refused, matches=Matches(route="stock_status"), first=1))
        with running_daemon(dsn, stand_in.url, HTTP_PORT=str(port), HTTP_TOKEN=TOKEN) as daemon:
            await daemon.until_logged("daemon.started")
            await scene.outbox.insert("order", token_id=TOKEN_ID)
            async with visiting(browser, f"http://127.0.0.1:{port}") as visit:
                await visit.go("#order=order")
                state = visit.page.locator("#orders .state").first
                await expect(state).to_have_text("failed")
                await visit.give_token(TOKEN)
                await visit.page.locator("#orders button.retry").click()
                await visit.page.locator("#act-yes").click()
                await expect(state).to_have_text("completed")
                await expect(visit.page.locator(".entries strong")).to_have_text(
                    ["created", "failed", "manual retry", "completed"]
                )
                # Without Telegram, too, the daemon learns what the service calls the account.
                await expect(visit.page.locator("#orders .pairs")).to_contain_text(
                    f"account-{TOKEN_ID[:8]} ({TOKEN_ID})"
                )
                assert await visit.violations() == []


async def test_a_cancel_keeps_its_reason(scene: Scene, visit: Visit) -> None:
    await scene.failed()
    await visit.go("#order=refused")
    await visit.give_token(TOKEN)
    await visit.page.locator("#orders button.cancel").click()
    await visit.page.locator("#act-reason").fill("sold twice")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.locator("#orders .state").first).to_have_text("cancelled")
    await expect(visit.page.locator("#orders .entries")).to_contain_text("sold twice")
    await expect(visit.page.locator("#orders button.cancel")).to_be_hidden()


async def test_what_is_not_possible_is_said_where_it_was_asked_for(
    scene: Scene, visit: Visit
) -> None:
    await scene.failed()
    await visit.go("#order=refused")
    await visit.give_token(TOKEN)
    await visit.page.locator("#orders button.retry").click()
    # Somebody else was faster.
    await scene.sql("UPDATE pending_stock_operations SET status = 'cancelled'")
    await visit.page.locator("#act-yes").click()
    await expect(visit.page.locator("#act-said")).to_contain_text("cancelled")
    await visit.page.locator("#act-no").click()
    await expect(visit.page.locator("#act")).to_be_hidden()


async def test_where_the_server_wants_the_token_for_reading_it_is_asked_for(
    scene: Scene, browser: Browser
) -> None:
    async with (
        asking(scene.database, host="0.0.0.0") as asker,
        visiting(browser, asker.url) as visit,
    ):
        await visit.page.goto(visit.url)
        await expect(visit.page.locator("#locked")).to_be_visible()
        await expect(visit.page.locator("#verdict")).to_be_hidden()
        await expect(visit.page.locator("#token")).to_be_focused()
        await visit.page.keyboard.type(TOKEN)
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.locator("#overview")).to_be_visible()
        await expect(visit.page.locator("#locked")).to_be_hidden()
        await visit.page.reload()
        await expect(visit.page.locator("#overview")).to_be_visible()


# --- looking again -------------------------------------------------------------------------------


async def test_it_looks_again_by_itself_and_leaves_focus_and_text_alone(
    scene: Scene, visit: Visit
) -> None:
    await scene.with_a_daemon()
    await scene.failed()
    await visit.go()
    await visit.page.locator("#failed summary").click()
    await visit.page.locator("#searched").fill("half an i")
    await visit.page.evaluate("document.getElementById('searched').setSelectionRange(2, 4)")
    await scene.with_a_parked_account()
    await expect(visit.page.locator("#verdict-word")).to_have_text("DEGRADED")
    await expect(visit.page.locator("#searched")).to_be_focused()
    await expect(visit.page.locator("#searched")).to_have_value("half an i")
    assert await visit.page.evaluate("document.getElementById('searched').selectionStart") == 2
    await expect(visit.page.locator("#failed .rows a")).to_be_visible()


async def test_it_says_since_when_it_could_not_look_and_when_it_can_again(
    scene: Scene, visit: Visit
) -> None:
    await scene.with_a_daemon()
    await visit.go()
    await visit.look_again(is_offline=True)
    trouble = visit.page.locator("#trouble")
    await expect(trouble).to_contain_text("Not refreshed since")
    await expect(trouble).to_contain_text("the daemon does not answer")
    await expect(visit.page.locator("body")).to_have_class("old")
    await visit.look_again()
    await expect(trouble).to_be_hidden()
    await expect(visit.page.locator("body")).not_to_have_class("old")


async def test_while_nobody_looks_nothing_is_asked(visit: Visit) -> None:
    await visit.page.clock.install()
    await visit.go()
    await expect(visit.page.locator("#overview")).to_be_visible()
    await _show(visit, is_shown=False)
    asked = len(visit.requests)
    await visit.page.clock.run_for(60_000)
    assert len(visit.requests) == asked
    async with visit.page.expect_request("**/status"):
        await _show(visit, is_shown=True)


async def _show(visit: Visit, *, is_shown: bool) -> None:
    await visit.page.evaluate(
        """(isShown) => {
          Object.defineProperty(document, "hidden", { value: !isShown, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_shown,
    )


# --- for everybody -------------------------------------------------------------------------------


async def test_the_keyboard_alone_reaches_everything_and_one_sees_where_it_is(
    scene: Scene, visit: Visit
) -> None:
    await scene.degraded()
    await visit.go()
    await expect(visit.page.locator(".field .area").first).to_be_visible()
    reached = []
    for _ in range(40):
        await visit.page.keyboard.press("Tab")
        if await visit.page.evaluate("document.activeElement === document.body"):
            break
        name, is_visible = await visit.focused()
        assert is_visible, f"one does not see that {name} has the focus"
        reached.append(name)
    wanted = [
        "stocksync", "searched", "Find", "No API token: looking only", "Show them", "6",
        "Orders pushed, a minute: a moment, by the arrow keys",
        "Rows waiting: a moment, by the arrow keys",
        "How long a push takes, ms: a moment, by the arrow keys",
        "The same as a table", "The API",
    ]  # fmt: skip
    assert reached == wanted


async def test_the_keyboard_alone_retries(scene: Scene, visit: Visit) -> None:
    await scene.failed()
    await visit.go()
    await visit.give_token(TOKEN)
    await visit.page.locator("#failed summary").focus()
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.locator("#failed .rows a")).to_be_visible()
    await visit.page.keyboard.press("Tab")
    await visit.page.keyboard.press("Tab")
    assert await visit.focused() == ("Retry… refused, 1 × A-1", True)
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.locator("#act-yes")).to_be_focused()
    await visit.page.keyboard.press("Escape")
    assert await visit.focused() == ("Retry… refused, 1 × A-1", True)
    await visit.page.keyboard.press("Enter")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.locator("#failed-none")).to_be_visible()
    # What had the focus is gone: it is not thrown back to the top.
    await expect(visit.page.locator("#failed-title")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read(scene: Scene, browser: Browser, scheme: Scheme) -> None:
    await scene.degraded()
    async with visiting(browser, scene.asker.url, scheme=scheme) as visit:
        async for view in _views(visit):
            seen = await visit.contrasts()
            assert len(seen) > 10
            too_low = [each for each in seen if each[0] < LEAST_CONTRAST]
            assert too_low == [], view


async def test_a_telephone_needs_no_scrolling_to_the_side(scene: Scene, browser: Browser) -> None:
    await scene.degraded()
    async with visiting(browser, scene.asker.url, size=NARROW) as visit:
        async for view in _views(visit):
            assert not await visit.is_too_wide(), view


async def _views(visit: Visit) -> AsyncIterator[str]:
    """All that there is to see, one after the other."""
    page = visit.page
    await visit.go()
    await expect(page.locator(".field .area").first).to_be_visible()
    yield "the overview"
    await visit.give_token(TOKEN)
    for summary in ("#failed summary", "#points summary"):
        await page.locator(summary).first.click()
    await expect(page.locator("#failed .rows a").first).to_be_visible()
    await expect(page.locator("#points tbody tr").first).to_be_visible()
    yield "all of it opened"
    await page.locator("#failed button.cancel").first.click()
    yield "the question before a cancel"
    await page.keyboard.press("Escape")
    for order_id in ("ж" * 300, "waits", "nobody's"):
        await visit.go(f"#order={quote(order_id)}")
        await expect(page.locator("#orders .row, #story-trouble:not([hidden])")).to_be_visible()
        yield f"the order {order_id[:10]}"
    await visit.look_again(is_offline=True)
    await expect(page.locator("#trouble")).to_be_visible()
    yield "a daemon that does not answer"
