"""Settings: each rule by its message, each source by its rank, and no secret in any of it."""

import re
from pathlib import Path
from typing import TypeVar

import pytest
from asyncpg import connect_utils
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stocksync.model import SettingsError
from stocksync.settings import (
    Cleanup,
    Database,
    Group,
    Http,
    Log,
    Monitoring,
    Reconciliation,
    Relay,
    Retry,
    Service,
    Telegram,
    describe,
    load,
    urls,
)

URL = "postgresql://relay:pw@db.example:5432/stock"
JWT = "eyJhbGciOi.eyJ1c2Vy.c2lnbmF0dXJl"
NEEDED = {"DATABASE_URL": URL, "MICROSERVICE_URL": "http://svc:8000", "MICROSERVICE_JWT": JWT}
BOT_TOKEN = "123456:AAE-bot_token"
TO_CHAT = {"TELEGRAM_BOT_TOKEN": BOT_TOKEN, "TELEGRAM_CHAT_ID": "-100200"}
EVERY_GROUP = (
    Database,
    Service,
    Relay,
    Retry,
    Reconciliation,
    Cleanup,
    Monitoring,
    Telegram,
    Http,
    Log,
)

G = TypeVar("G", bound=Group)


def environ(**names: str) -> dict[str, str]:
    return {f"STOCK_SYNC_{name}": value for name, value in names.items()}


def problems(*groups: type[Group], **names: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(*groups, environ=environ(**names))
    return list(caught.value.problems)


def one(group: type[G], **names: str) -> G:
    return load(group, environ=environ(**names))[group]


def database(url: str) -> Database:
    return one(Database, DATABASE_URL=url)


def service(**names: str) -> Service:
    return one(
        Service, **({"MICROSERVICE_URL": "http://svc:8000", "MICROSERVICE_JWT": JWT} | names)
    )


def test_the_defaults_are_the_contracts() -> None:
    loaded = load(*EVERY_GROUP, environ=environ(**NEEDED))
    base, micro = loaded[Database], loaded[Service]
    assert base.database_url.get_secret_value() == URL
    assert (base.database_schema, base.database_pgbouncer) == ("public", False)
    assert (micro.microservice_url, micro.microservice_timeout_seconds) == ("http://svc:8000", 10)
    assert loaded[Relay] == Relay(
        concurrency=8,
        claim_batch_size=100,
        lease_seconds=60,
        circuit_failures=5,
        poll_interval_seconds=1,
        shutdown_grace_seconds=25,
    )
    assert loaded[Retry] == Retry(
        retry_max_attempts=5,
        retry_initial_delay=60,
        retry_max_delay=3600,
        retry_exponential_base=2.0,
        retry_jitter=True,
    )
    assert loaded[Reconciliation] == Reconciliation(
        reconciliation_enabled=True,
        reconciliation_interval_minutes=30,
        reconciliation_batch_size=100,
        reconciliation_auto_fix_threshold_hours=24,
    )
    assert loaded[Cleanup] == Cleanup(
        cleanup_interval_hours=24,
        cleanup_completed_days=30,
        cleanup_failed_days=90,
        cleanup_balance_days=400,
    )
    assert loaded[Monitoring] == Monitoring(
        monitoring_interval_seconds=60,
        monitoring_max_pending_operations=1000,
        monitoring_stale_operation_hours=6,
        monitoring_alert_on_failed_retries=True,
        monitoring_failure_rate_threshold=0.1,
        monitoring_failure_rate_window_minutes=30,
        alert_repeat_minutes=30,
        daily_report_time=None,
    )
    assert loaded[Telegram] == Telegram(
        telegram_bot_token=None,
        telegram_chat_id=(),
        telegram_critical_chat_id=(),
        telegram_thread_id=None,
        telegram_api_url=None,
        telegram_actions=False,
        telegram_allowed_user_ids=(),
        language="ru",
    )
    assert loaded[Http] == Http(http_host="127.0.0.1", http_port=9108, http_token=None)
    assert loaded[Log] == Log(log_level="info", log_format="auto")


def test_a_command_asks_only_for_what_it_uses() -> None:
    assert one(Log) == Log()
    assert problems(Database) == ["STOCK_SYNC_DATABASE_URL: is required"]


def test_a_group_cannot_be_changed() -> None:
    log = one(Log)
    with pytest.raises(ValidationError):
        log.log_level = "error"


def test_all_problems_are_told_at_once_one_line_each() -> None:
    told = problems(
        *EVERY_GROUP, DATABASE_SCHEMA="Öffentlich", CONCURRENCY="many", LOG_LEVEL="loud", SPEED="9"
    )
    assert sorted(line.split(":")[0] for line in told) == [
        "STOCK_SYNC_CONCURRENCY",
        "STOCK_SYNC_DATABASE_SCHEMA",
        "STOCK_SYNC_DATABASE_URL",
        "STOCK_SYNC_LOG_LEVEL",
        "STOCK_SYNC_MICROSERVICE_URL",
        "STOCK_SYNC_SPEED",
    ]
    assert not any("\n" in line for line in told)


SECONDS = [
    "MICROSERVICE_TIMEOUT_SECONDS",
    "LEASE_SECONDS",
    "POLL_INTERVAL_SECONDS",
    "SHUTDOWN_GRACE_SECONDS",
    "RETRY_INITIAL_DELAY",
    "RETRY_MAX_DELAY",
    "MONITORING_INTERVAL_SECONDS",
]
MINUTES = ["RECONCILIATION_INTERVAL_MINUTES", "ALERT_REPEAT_MINUTES"]
HOURS = [
    "RECONCILIATION_AUTO_FIX_THRESHOLD_HOURS",
    "CLEANUP_INTERVAL_HOURS",
    "MONITORING_STALE_OPERATION_HOURS",
]
DAYS = ["CLEANUP_COMPLETED_DAYS", "CLEANUP_FAILED_DAYS", "CLEANUP_BALANCE_DAYS"]
WHOLE = dict.fromkeys(SECONDS, (1, 10**9)) | {
    "CONCURRENCY": (1, 256),
    "CLAIM_BATCH_SIZE": (1, 10_000),
    "CIRCUIT_FAILURES": (1, 1000),
    "RETRY_MAX_ATTEMPTS": (-1, 2**31 - 1),
    **dict.fromkeys(MINUTES, (1, 10**8)),
    **dict.fromkeys(HOURS, (1, 10**6)),
    **dict.fromkeys(DAYS, (1, 10**5)),
    "RECONCILIATION_BATCH_SIZE": (1, 10_000),
    "MONITORING_MAX_PENDING_OPERATIONS": (1, 10**9),
    "MONITORING_FAILURE_RATE_WINDOW_MINUTES": (1, 1440),
    "TELEGRAM_THREAD_ID": (1, 2**31 - 1),
    "HTTP_PORT": (0, 65_535),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_number_is_taken_to_its_bounds_and_not_beyond(name: str) -> None:
    (group,) = (each for each in Group.__subclasses__() if name.lower() in each.model_fields)
    low, high = WHOLE[name]
    beside = {"RETRY_MAX_DELAY": str(10**9)} if name == "RETRY_INITIAL_DELAY" else {}
    if name == "RETRY_MAX_DELAY":
        beside = {"RETRY_INITIAL_DELAY": "1"}
    for good in (low, high):
        loaded = one(group, **(NEEDED | beside | {name: str(good)}))
        assert getattr(loaded, name.lower()) == good
    for bad in (str(low - 1), str(high + 1), "1.5", "soon", "0x10", "1e1"):
        (line,) = problems(group, **(NEEDED | beside | {name: bad}))
        assert line.startswith(f"STOCK_SYNC_{name}: must be a whole number from {low} to {high}")


def test_no_retry_and_no_limit_are_explained() -> None:
    (line,) = problems(Retry, RETRY_MAX_ATTEMPTS="-2")
    assert line.endswith("; 0 is no retry, -1 is no limit")


@pytest.mark.parametrize("bad", ["0.99", "101", "nan", "inf", "-inf", "two"])
def test_the_base_does_not_shrink_delays(bad: str) -> None:
    assert problems(Retry, RETRY_EXPONENTIAL_BASE=bad) == [
        "STOCK_SYNC_RETRY_EXPONENTIAL_BASE: must be a number from 1 to 100"
    ]


def test_a_base_of_one_and_a_maximum_equal_to_the_first_delay_are_fine() -> None:
    names = {"RETRY_INITIAL_DELAY": "7", "RETRY_MAX_DELAY": "7"}
    retry = one(Retry, RETRY_EXPONENTIAL_BASE="1", **names)
    assert (retry.retry_exponential_base, retry.retry_max_delay) == (1.0, 7)


def test_the_longest_delay_is_not_below_the_first() -> None:
    assert problems(Retry, RETRY_MAX_DELAY="59") == [
        "STOCK_SYNC_RETRY_MAX_DELAY (59) must be at least STOCK_SYNC_RETRY_INITIAL_DELAY (60)"
    ]


@pytest.mark.parametrize("bad", ["0", "-0.1", "1.01", "10", "nan", "inf", "a tenth"])
def test_a_failure_rate_is_a_share(bad: str) -> None:
    assert problems(Monitoring, MONITORING_FAILURE_RATE_THRESHOLD=bad) == [
        "STOCK_SYNC_MONITORING_FAILURE_RATE_THRESHOLD: must be a number above 0, at most 1"
    ]


def test_a_failure_rate_may_be_all_or_nearly_none() -> None:
    for good in ("1", "0.0001"):
        loaded = one(Monitoring, MONITORING_FAILURE_RATE_THRESHOLD=good)
        assert loaded.monitoring_failure_rate_threshold == float(good)


@pytest.mark.parametrize("good", ["00:00", "23:59", " 07:30\n"])
def test_the_daily_report_has_a_time_of_day(good: str) -> None:
    assert one(Monitoring, DAILY_REPORT_TIME=good).daily_report_time == good.strip()


@pytest.mark.parametrize("bad", ["7:30", "24:00", "07:60", "07:30:00", "07.30", "٠٧:٣٠", "noon"])
def test_what_is_no_time_of_day_is_refused(bad: str) -> None:
    assert problems(Monitoring, DAILY_REPORT_TIME=bad) == [
        "STOCK_SYNC_DAILY_REPORT_TIME: must be HH:MM, UTC"
    ]


@pytest.mark.parametrize(
    "token", ["hunter2", "123", ":hunter2", "123:", "12:hunt er2", "bot12:hunter2", "12:hunter2/.."]
)
def test_what_is_no_bot_token_is_refused_without_showing_it(token: str) -> None:
    (line,) = problems(Telegram, TELEGRAM_BOT_TOKEN=token, TELEGRAM_CHAT_ID="1")
    assert line == (
        "STOCK_SYNC_TELEGRAM_BOT_TOKEN: "
        "must be a bot token as @BotFather gives it: digits, a colon, and more"
    )


def test_several_chats_and_users_are_listed_with_commas() -> None:
    loaded = one(
        Telegram,
        TELEGRAM_BOT_TOKEN=f" {BOT_TOKEN}\n",
        TELEGRAM_CHAT_ID="-100200, 42,@on_call,,42",
        TELEGRAM_ALLOWED_USER_IDS="7,8 ",
        TELEGRAM_ACTIONS="true",
    )
    assert loaded.telegram_bot_token is not None
    assert loaded.telegram_bot_token.get_secret_value() == BOT_TOKEN
    assert loaded.telegram_chat_id == ("-100200", "42", "@on_call")
    assert loaded.telegram_allowed_user_ids == (7, 8)


@pytest.mark.parametrize("bad", ["on_call", "@x", "1.5", "--1", "1;2", "1 2", "https://t.me/x"])
def test_what_is_no_chat_is_refused(bad: str) -> None:
    for name in ("TELEGRAM_CHAT_ID", "TELEGRAM_CRITICAL_CHAT_ID"):
        assert problems(Telegram, **(TO_CHAT | {name: bad})) == [
            f"STOCK_SYNC_{name}: must be ids of chats, or @names of channels, with commas"
        ]


@pytest.mark.parametrize("bad", ["@somebody", "-7", "7;8"])
def test_users_are_known_by_their_numbers(bad: str) -> None:
    assert problems(Telegram, TELEGRAM_ALLOWED_USER_IDS=bad) == [
        "STOCK_SYNC_TELEGRAM_ALLOWED_USER_IDS: must be Telegram's numbers of users, with commas"
    ]


def test_critical_messages_go_to_their_own_chat_or_to_the_first() -> None:
    assert one(Telegram, **TO_CHAT).critical_chats == ("-100200",)
    assert one(Telegram, **TO_CHAT, TELEGRAM_CRITICAL_CHAT_ID="5,6").critical_chats == ("5", "6")


@pytest.mark.parametrize(
    ("given_names", "needed", "by"),
    [
        ({"BOT_TOKEN": BOT_TOKEN}, "CHAT_ID", "BOT_TOKEN"),
        ({"BOT_TOKEN": BOT_TOKEN, "CRITICAL_CHAT_ID": "1"}, "CHAT_ID", "BOT_TOKEN"),
        ({"CHAT_ID": "1"}, "BOT_TOKEN", "CHAT_ID"),
        ({"CRITICAL_CHAT_ID": "1"}, "BOT_TOKEN", "CRITICAL_CHAT_ID"),
        ({"ACTIONS": "true", "ALLOWED_USER_IDS": "7"}, "BOT_TOKEN", "ACTIONS"),
        (
            {"BOT_TOKEN": BOT_TOKEN, "CHAT_ID": "1", "ACTIONS": "true"},
            "ALLOWED_USER_IDS",
            "ACTIONS",
        ),
    ],
)
def test_what_telegram_needs_together_is_required(
    given_names: dict[str, str], needed: str, by: str
) -> None:
    names = {f"TELEGRAM_{name}": value for name, value in given_names.items()}
    assert problems(Telegram, **names) == [
        f"STOCK_SYNC_TELEGRAM_{needed}: is required with STOCK_SYNC_TELEGRAM_{by}"
    ]


def test_another_bot_api_server_has_a_plain_url() -> None:
    names = TO_CHAT | {"TELEGRAM_API_URL": "http://bots.example:8081/api/v1/"}
    assert one(Telegram, **names).telegram_api_url == "http://bots.example:8081/api/v1"
    (line,) = problems(Telegram, TELEGRAM_API_URL="bots.example")
    assert line.startswith("STOCK_SYNC_TELEGRAM_API_URL: must be http://host:port")


def test_messages_are_in_russian_or_english() -> None:
    assert one(Telegram, LANGUAGE="EN").language == "en"
    assert problems(Telegram, LANGUAGE="de") == ["STOCK_SYNC_LANGUAGE: must be one of ru, en"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "localhost", "web.example"])
def test_http_listens_at_an_address_or_a_name(host: str) -> None:
    assert one(Http, HTTP_HOST=f" {host} ").http_host == host


@pytest.mark.parametrize("bad", ["1.2.3", "web.example:80", "http://web", "a b", "*", "Öl"])
def test_what_is_no_host_is_refused(bad: str) -> None:
    assert problems(Http, HTTP_HOST=bad) == [
        "STOCK_SYNC_HTTP_HOST: must be an IP address or a host's name, without a port"
    ]


@pytest.mark.parametrize("bad", ["two words", "größer", "x" * 501])
def test_a_token_that_no_header_carries_is_refused_without_showing_it(bad: str) -> None:
    assert problems(Http, HTTP_TOKEN=bad) == [
        "STOCK_SYNC_HTTP_TOKEN: must be 1 to 500 ASCII characters without spaces"
    ]


def test_a_lease_holds_two_timeouts() -> None:
    names = NEEDED | {"LEASE_SECONDS": "19"}
    (line,) = problems(Relay, Service, **names)
    assert line == (
        "STOCK_SYNC_LEASE_SECONDS (19) must be at least twice "
        "STOCK_SYNC_MICROSERVICE_TIMEOUT_SECONDS (10)"
    )
    loaded = load(Relay, Service, environ=environ(**(names | {"LEASE_SECONDS": "20"})))
    assert loaded[Relay].lease_seconds == 20
    assert one(Relay, LEASE_SECONDS="19").lease_seconds == 19


@pytest.mark.parametrize(
    ("name", "good", "value"),
    [
        ("DATABASE_PGBOUNCER", "true", True),
        ("DATABASE_PGBOUNCER", "0", False),
        ("DATABASE_PGBOUNCER", "Yes", True),
    ],
)
def test_flags_are_read_as_people_write_them(name: str, good: str, value: object) -> None:
    loaded = one(Database, DATABASE_URL=URL, **{name: good})
    assert getattr(loaded, name.lower()) is value


def test_a_flag_that_is_neither_is_refused() -> None:
    assert problems(Retry, RETRY_JITTER="a bit") == [
        "STOCK_SYNC_RETRY_JITTER: must be true or false"
    ]


def test_words_are_known_in_any_letter_case_and_others_refused() -> None:
    log = one(Log, LOG_LEVEL="WARNING", LOG_FORMAT=" Json ")
    assert (log.log_level, log.log_format) == ("warning", "json")
    assert problems(Log, LOG_LEVEL="loud", LOG_FORMAT="xml") == [
        "STOCK_SYNC_LOG_LEVEL: must be one of debug, info, warning, error",
        "STOCK_SYNC_LOG_FORMAT: must be one of auto, json, console",
    ]


@pytest.mark.parametrize("schema", ["public", "_", "a1", "a" * 40, "postgres"])
def test_a_plain_schema_is_taken(schema: str) -> None:
    loaded = one(Database, DATABASE_URL=URL, DATABASE_SCHEMA=schema)
    assert loaded.database_schema == schema


@pytest.mark.parametrize("schema", ["Public", "1a", "a-b", "pg_x", "a" * 41, 'a"; drop', "схема"])
def test_any_other_schema_is_refused_with_the_rule(schema: str) -> None:
    (line,) = problems(Database, DATABASE_URL=URL, DATABASE_SCHEMA=schema)
    assert line == (
        "STOCK_SYNC_DATABASE_SCHEMA: "
        "must be 1 to 40 of a-z, 0-9 and _, not begin with a digit, and not with pg_"
    )


GOOD_URLS = [
    URL,
    "postgres://h",
    "postgresql:///stock",
    "postgresql://u@/db?host=/run/postgresql",
    "postgresql://u@/db?host=/run/postgresql&port=5433",
    "postgresql:///db?host=/run/a,/run/b&user=u",
    "postgresql://u@%2Frun%2Fpostgresql/db",
    "postgresql://u:p%40%2F%3F@h1:5432,h2:5433,h3/db?target_session_attrs=read-write",
    "postgresql://u@[::1]:5432,[fe80::1]/db?sslmode=require",
    "postgresql://u@h/db?application_name=stocksync&options=-c%20statement_timeout%3D5s",
    "postgresql://u@h/db?password=p%26q&sslmode=prefer",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_database_url_that_we_take_is_one_that_the_driver_takes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # the driver looks for certificates there
    assert database(f" {url}\n").database_url.get_secret_value() == url
    assert driver_settings(url).keys() <= {"application_name", "options"}


def driver_settings(url: str) -> dict[str, str]:
    """What the driver would send to the server as a setting."""
    _, parameters = connect_utils._parse_connect_dsn_and_args(  # type: ignore[attr-defined] # stubs have the public names
        dsn=url,
        host=None,
        port=None,
        user=None,
        password=None,
        passfile=None,
        database=None,
        ssl=None,
        service=None,
        servicefile=None,
        direct_tls=None,
        server_settings=None,
        target_session_attrs=None,
        krbsrvname=None,
        gsslib=None,
    )
    return parameters.server_settings or {}


VALUES = {"port": "5432", "sslmode": "disable", "target_session_attrs": "any", "gsslib": "gssapi",
          "sslnegotiation": "postgres"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(urls.DRIVER_PARAMETERS - {"application_name", "options"}))
def test_each_parameter_that_we_pass_on_is_one_that_the_driver_knows(name: str) -> None:
    url = f"postgresql://u:p@h/db?sslmode=disable&{name}={VALUES.get(name, '/none')}"
    assert database(url).database_url.get_secret_value() == url
    assert driver_settings(url) == {}


@pytest.mark.parametrize("name", ["keepalives_idle", "connect_timeout", "channel_binding", "nope"])
def test_a_parameter_that_the_driver_does_not_know_is_refused_by_name(name: str) -> None:
    assert driver_settings(f"postgresql://u:p@h/db?{name}=5")
    assert problems(Database, DATABASE_URL=f"{URL}?sslmode=disable&{name}=5") == [
        f"STOCK_SYNC_DATABASE_URL: has parameters that the driver does not know: {name}"
    ]


def test_the_words_of_a_parameter_are_checked() -> None:
    (line,) = problems(Database, DATABASE_URL=f"{URL}?target_session_attrs=master")
    assert "target_session_attrs must be one of any, primary, standby, read-write" in line


BAD_URLS = [
    "mysql://u:{}@h/db",
    "{}",
    "postgresql:u:{}@h",
    "postgresql://u:{}@h:port/db",
    "postgresql://u:{}@h:0/db",
    "postgresql://u:{}@h:65536/db",
    "postgresql://u:{}@h1,,h2/db",
    "postgresql://u:{}@:5432/db",
    "postgresql://u:{}@[::1/db",
    "postgresql://u:{}@h/db?sslmode",
    "postgresql://u:{}@/db?host=a,,b",
    "postgresql://u:{}@h/db?port=x",
    "postgresql://u:a@{}@h/db",
    "postgresql://u:a/{}@h/db",
    "postgresql://u:1?{}=2@h/db",
    "postgresql://u:a#{}@h/db",
    "postgresql://u:{}@h/db#fragment",
    "postgresql://u:a {}@h/db",
    "postgresql://u:{}\x00@h/db",
    "postgresql://u@h/db?password=a&{}=b",
    "postgresql://u@h/db?password={}&keepalives_idle=5",
    "postgresql://u:{}@h/db?keepalives_idle=5",
    "postgresql://u:{}@h/db?sslmode=maybe",
]


@pytest.mark.parametrize("shape", BAD_URLS)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_LISTEN_URL"])
def test_a_malformed_database_url_is_refused_without_showing_its_password(
    shape: str, name: str
) -> None:
    names = {"DATABASE_URL": URL} | {name: shape.format("hunter2")}
    (line,) = problems(Database, **names)
    assert line.startswith(f"STOCK_SYNC_{name}: ")
    assert "hunter2" not in line


# Marked, so that it cannot be part of a message by chance.
secrets = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cs"])
).map(lambda text: f"S3{text}cr3t")


@hypothesis_settings(deadline=None)  # a busy machine is no failure
@given(secret=secrets, shape=st.sampled_from([*BAD_URLS, "postgresql://u:{}@h/db"]))
@example(secret="S3?a=cr3t", shape="postgresql://u:1{}@h/db")
@example(secret="S3&cr3t=1", shape="postgresql://u@h/db?password={}")
def test_no_secret_appears_in_any_error_or_repr(secret: str, shape: str) -> None:
    names = {
        "DATABASE_URL": shape.format(secret),
        "DATABASE_LISTEN_URL": shape.format(secret),
        "MICROSERVICE_URL": f"http://u:{secret}@svc",
        "MICROSERVICE_JWT": secret,
        "MICROSERVICE_JWT_SECRET": secret,
        "LOG_LEVEL": secret,
        "CONCURRENCY": secret,
        "DATABASE_SCHEMA": secret,
        "TELEGRAM_BOT_TOKEN": secret,
        "TELEGRAM_CHAT_ID": secret,
        "TELEGRAM_CRITICAL_CHAT_ID": secret,
        "TELEGRAM_THREAD_ID": secret,
        "TELEGRAM_API_URL": f"http://{secret}@api",
        "TELEGRAM_ALLOWED_USER_IDS": secret,
        "LANGUAGE": secret,
        "DAILY_REPORT_TIME": secret,
        "HTTP_HOST": f"{secret}:80",
        "HTTP_PORT": secret,
        "HTTP_TOKEN": secret,
    }
    for group in EVERY_GROUP:
        try:
            told = repr(load(group, environ=environ(**names))[group])
        except SettingsError as error:
            told = f"{error!s} {error!r} {error.problems} {error.__context__!r}"
        assert not re.search("S3|cr3t", told)


def test_a_groups_repr_hides_its_secrets() -> None:
    names = {"MICROSERVICE_JWT_SECRET": "s3cret", "MICROSERVICE_JWT_USER_ID": "7"}
    loaded = load(*EVERY_GROUP, environ=environ(**NEEDED, **TO_CHAT, **names))
    telegram = loaded[Telegram]
    assert telegram.telegram_bot_token is not None
    assert telegram.telegram_bot_token.get_secret_value() == BOT_TOKEN
    for group in (loaded[Database], loaded[Service], telegram):
        for text in (repr(group), str(group), repr(group.model_dump()), group.model_dump_json()):
            assert not re.search("pw|s3cret|eyJ|AAE", text)


def test_listening_goes_to_its_own_url_or_to_the_first() -> None:
    assert database(URL).listen_url.get_secret_value() == URL
    other = "postgresql://u@direct/db"
    loaded = one(Database, DATABASE_URL=URL, DATABASE_LISTEN_URL=other)
    assert loaded.listen_url.get_secret_value() == other


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://svc:8000", "http://svc:8000"),
        ("https://svc/", "https://svc"),
        ("http://svc/api/v1", "http://svc"),
        (" http://svc/api/v1/\n", "http://svc"),
        ("http://proxy/stock/api/v1/", "http://proxy/stock"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("HTTP://Svc_1.in-house.", "http://Svc_1.in-house."),
        ("https://xn--b1afk4ade.xn--p1ai", "https://xn--b1afk4ade.xn--p1ai"),
        ("http://127.0.0.1:65535/a%20b", "http://127.0.0.1:65535/a%20b"),
    ],
)
def test_the_services_url_is_brought_to_its_base(url: str, base: str) -> None:
    assert service(MICROSERVICE_URL=url).microservice_url == base


@pytest.mark.parametrize(
    "url",
    ["svc:8000", "ftp://svc", "http://", "http://u:p@svc", "http://svc?a=1", "http://svc#a",
     "http://svc:port", "http://svc:65536", "http://svc:0", "http://s vc", "http://[::1",
     "http://svc:", "http://a..b", "http://.", "http://сервис.рф", "http://svc/й", "http://s\x7fvc",
     "http://s<v>c", f"http://{'s' * 64}", "http://256.0.0.1", "http://1.2.3", "http://[1:2]",
     "http://[::1]x", "http://svc\\api"],
)  # fmt: skip
def test_any_other_service_url_is_refused_with_the_rule(url: str) -> None:
    (line,) = problems(Service, MICROSERVICE_URL=url, MICROSERVICE_JWT=JWT)
    assert line == (
        "STOCK_SYNC_MICROSERVICE_URL: "
        "must be http://host:port or https://host:port in ASCII, without user, password and query"
    )


@pytest.mark.parametrize("pasted", [JWT, f"Bearer {JWT}", f"bearer  {JWT}\n"])
def test_a_jwt_may_be_pasted_with_its_bearer(pasted: str) -> None:
    jwt = service(MICROSERVICE_JWT=pasted).microservice_jwt
    assert jwt is not None
    assert jwt.get_secret_value() == JWT


@pytest.mark.parametrize("bad", ["abc", "a.b", "a.b.c.d", "a.b.c d", "a.ü.c", "Bearer"])
def test_what_is_no_jwt_is_refused(bad: str) -> None:
    (line,) = problems(Service, MICROSERVICE_URL="http://svc", MICROSERVICE_JWT=bad)
    assert line.startswith("STOCK_SYNC_MICROSERVICE_JWT: must be a JWT: three parts")


def test_a_jwt_or_what_mints_it_is_required() -> None:
    needed = (
        "STOCK_SYNC_MICROSERVICE_JWT: is required, or STOCK_SYNC_MICROSERVICE_JWT_SECRET "
        "together with STOCK_SYNC_MICROSERVICE_JWT_USER_ID"
    )
    assert problems(Service, MICROSERVICE_URL="http://svc") == [needed]
    assert problems(Service, MICROSERVICE_URL="http://svc", MICROSERVICE_JWT_USER_ID="7") == [
        needed
    ]


def test_a_secret_needs_its_user_id() -> None:
    assert problems(Service, MICROSERVICE_URL="http://svc", MICROSERVICE_JWT_SECRET="s") == [
        "STOCK_SYNC_MICROSERVICE_JWT_USER_ID: is required with STOCK_SYNC_MICROSERVICE_JWT_SECRET"
    ]


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("CONCURENCY", "CONCURRENCY"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("RETRY_JITER", "RETRY_JITTER"),
        ("MICROSERVICE_TIMEOUT", "MICROSERVICE_TIMEOUT_SECONDS"),
        ("RECONCILIATION_INTERVAL", "RECONCILIATION_INTERVAL_MINUTES"),
        ("RECONCILE_BATCH_SIZE", "RECONCILIATION_BATCH_SIZE"),
        ("CLEANUP_COMPLETE_DAYS", "CLEANUP_COMPLETED_DAYS"),
        ("MONITOR_INTERVAL_SECONDS", "MONITORING_INTERVAL_SECONDS"),
        ("TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"),
        ("TELEGRAM_CHAT_IDS", "TELEGRAM_CHAT_ID"),
        ("ALERT_REPEAT", "ALERT_REPEAT_MINUTES"),
        ("", ".+"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_one(wrong: str, nearest: str) -> None:
    (line,) = problems(Log, **{wrong: "1"})
    assert re.fullmatch(
        f"STOCK_SYNC_{wrong}: is unknown; the nearest known name is STOCK_SYNC_({nearest})", line
    )


def test_names_of_other_programs_and_of_the_tests_are_none_of_our_business() -> None:
    others = {"STOCKSYNC_PG_BINDIR": "/x", "STOCKSYNC_TEST_DSN": "x", "ALLEGRO_OTHER": "x", "A": ""}
    assert load(Log, environ=others)[Log] == Log()


def test_names_may_be_in_lower_case() -> None:
    assert load(Log, environ={"stock_sync_log_level": "error"})[Log].log_level == "error"


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_empty_means_unset(empty: str) -> None:
    optional = {
        name.removeprefix("STOCK_SYNC_"): empty
        for group in EVERY_GROUP
        for name in group.names().values()
    }
    loaded = load(*EVERY_GROUP, environ=environ(**(optional | NEEDED), NOT_KNOWN=empty))
    plain = load(*EVERY_GROUP, environ=environ(**NEEDED))
    assert [loaded[group] for group in EVERY_GROUP] == [plain[group] for group in EVERY_GROUP]
    assert problems(Database, DATABASE_URL=empty) == ["STOCK_SYNC_DATABASE_URL: is required"]


class Places:
    """The three places where a value can stand."""

    def __init__(self, folder: Path) -> None:
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        self.env_file = folder / "stocksync.env"
        self.env_file.write_text("")
        self.environ = {"CREDENTIALS_DIRECTORY": str(self.credentials)}

    def load(self, group: type[G]) -> G:
        return load(group, env_file=self.env_file, environ=self.environ)[group]

    def problems(self, *groups: type[Group]) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load(*groups, env_file=self.env_file, environ=self.environ)
        return list(caught.value.problems)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_environment_before_credentials_before_env_file(places: Places) -> None:
    places.env_file.write_text("STOCK_SYNC_LOG_LEVEL=debug\n")
    assert places.load(Log).log_level == "debug"
    (places.credentials / "stock_sync_log_level").write_text("warning\n")
    assert places.load(Log).log_level == "warning"
    places.environ["STOCK_SYNC_LOG_LEVEL"] = "error"
    assert places.load(Log).log_level == "error"


def test_an_empty_value_gives_way_to_the_next_place(places: Places) -> None:
    places.environ["STOCK_SYNC_LOG_LEVEL"] = ""
    (places.credentials / "stock_sync_log_level").write_text("\n")
    places.env_file.write_text("STOCK_SYNC_LOG_LEVEL=debug\n")
    assert places.load(Log).log_level == "debug"


def test_an_alias_is_the_same_setting_in_every_place(places: Places) -> None:
    places.env_file.write_text(
        f"ALLEGRO_MICROSERVICE_JWT_TOKEN={JWT}\nSTOCK_SYNC_MICROSERVICE_URL=http://file\n"
    )
    (places.credentials / "allegro_microservice_base_url").write_text("http://credentials")
    assert places.load(Service).microservice_url == "http://credentials"
    places.environ["ALLEGRO_MICROSERVICE_BASE_URL"] = "http://alias"
    assert places.load(Service).microservice_url == "http://alias"
    places.environ["STOCK_SYNC_MICROSERVICE_URL"] = "http://name"
    assert places.load(Service).microservice_url == "http://name"


def test_a_wrong_value_is_told_under_the_name_and_place_that_gave_it(places: Places) -> None:
    (places.credentials / "stock_sync_log_level").write_text("loud")
    places.env_file.write_text("ALLEGRO_MICROSERVICE_BASE_URL=x\nSTOCK_SYNC_LOG_FORMAT=y\n")
    told = [line.split(":")[0] for line in places.problems(Log, Service)]
    assert told == [
        "stock_sync_log_level in $CREDENTIALS_DIRECTORY",
        "STOCK_SYNC_LOG_FORMAT in the env file",
        "ALLEGRO_MICROSERVICE_BASE_URL in the env file",
    ]


def test_unknown_names_are_found_in_every_place(places: Places) -> None:
    places.environ["STOCK_SYNC_A"] = "1"
    (places.credentials / "stock_sync_b").write_text("1")
    (places.credentials / "another_programs").write_text("1")
    places.env_file.write_text("export STOCK_SYNC_C='1'\nOTHER=1\n# STOCK_SYNC_D=1\n")
    assert [line.split(": ")[0] for line in places.problems(Log)] == [
        "STOCK_SYNC_A",
        "stock_sync_b in $CREDENTIALS_DIRECTORY",
        "STOCK_SYNC_C in the env file",
    ]


def test_a_password_with_dollars_in_the_env_file_is_taken_as_it_is(places: Places) -> None:
    places.env_file.write_text("STOCK_SYNC_DATABASE_URL='postgresql://u:${HOME}$@h/db'\n")
    url = places.load(Database).database_url.get_secret_value()
    assert url == "postgresql://u:${HOME}$@h/db"


def test_an_env_file_that_is_missing_is_told_with_its_path(places: Places) -> None:
    places.env_file.unlink()
    assert places.problems(Log) == [
        f"{places.env_file}: cannot be read (No such file or directory)"
    ]


def test_a_line_that_is_none_is_told_by_its_number(places: Places) -> None:
    places.env_file.write_text("STOCK_SYNC_LOG_LEVEL=debug\n=hunter2\n")
    assert places.problems(Log) == [f"{places.env_file}: line 2 is not NAME=value"]


def test_a_file_that_is_no_text_is_told_without_its_content(places: Places) -> None:
    secret = places.credentials / "stock_sync_microservice_jwt_secret"
    secret.write_bytes(b"hunter2\xff")
    assert places.problems(Log) == [f"{secret}: cannot be read (not UTF-8)"]


def test_credentials_that_are_gone_are_none(places: Places) -> None:
    places.credentials.rmdir()
    assert places.load(Log) == Log()
    places.credentials.write_text("a file")
    assert places.problems(Log) == [f"{places.credentials}: cannot be read (Not a directory)"]


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_SYNC_LOG_LEVEL", "error")
    assert load(Log)[Log].log_level == "error"


def test_every_setting_is_described_with_name_and_default() -> None:
    described = {setting.name: setting for setting in describe()}
    assert all(setting.description for setting in described.values())
    defaults = {name.removeprefix("STOCK_SYNC_"): each.default for name, each in described.items()}
    assert defaults == {
        "DATABASE_URL": "required",
        "DATABASE_LISTEN_URL": "–",
        "DATABASE_SCHEMA": "public",
        "DATABASE_PGBOUNCER": "false",
        "MICROSERVICE_URL": "required",
        "MICROSERVICE_JWT": "–",
        "MICROSERVICE_JWT_SECRET": "–",
        "MICROSERVICE_JWT_USER_ID": "–",
        "MICROSERVICE_TIMEOUT_SECONDS": "10",
        "CONCURRENCY": "8",
        "CLAIM_BATCH_SIZE": "100",
        "CIRCUIT_FAILURES": "5",
        "LEASE_SECONDS": "60",
        "POLL_INTERVAL_SECONDS": "1",
        "SHUTDOWN_GRACE_SECONDS": "25",
        "RETRY_MAX_ATTEMPTS": "5",
        "RETRY_INITIAL_DELAY": "60",
        "RETRY_MAX_DELAY": "3600",
        "RETRY_EXPONENTIAL_BASE": "2.0",
        "RETRY_JITTER": "true",
        "RECONCILIATION_ENABLED": "true",
        "RECONCILIATION_INTERVAL_MINUTES": "30",
        "RECONCILIATION_BATCH_SIZE": "100",
        "RECONCILIATION_AUTO_FIX_THRESHOLD_HOURS": "24",
        "CLEANUP_INTERVAL_HOURS": "24",
        "CLEANUP_COMPLETED_DAYS": "30",
        "CLEANUP_FAILED_DAYS": "90",
        "CLEANUP_BALANCE_DAYS": "400",
        "MONITORING_INTERVAL_SECONDS": "60",
        "MONITORING_MAX_PENDING_OPERATIONS": "1000",
        "MONITORING_STALE_OPERATION_HOURS": "6",
        "MONITORING_ALERT_ON_FAILED_RETRIES": "true",
        "MONITORING_FAILURE_RATE_THRESHOLD": "0.1",
        "MONITORING_FAILURE_RATE_WINDOW_MINUTES": "30",
        "ALERT_REPEAT_MINUTES": "30",
        "DAILY_REPORT_TIME": "–",
        "TELEGRAM_BOT_TOKEN": "–",
        "TELEGRAM_CHAT_ID": "–",
        "TELEGRAM_CRITICAL_CHAT_ID": "–",
        "TELEGRAM_THREAD_ID": "–",
        "TELEGRAM_API_URL": "–",
        "TELEGRAM_ACTIONS": "false",
        "TELEGRAM_ALLOWED_USER_IDS": "–",
        "LANGUAGE": "ru",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "9108",
        "HTTP_TOKEN": "–",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "auto",
    }
