"""Groups of telling: what people hear and see, by its name, its rule, its default and its use."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from stocksync.settings.group import PREFIX, Group
from stocksync.settings.rules import (
    Flag,
    Hours,
    LowerCase,
    Minutes,
    Seconds,
    TimeOfDay,
    bearer_token,
    bot_token,
    chats,
    one_of,
    rule,
    user_ids,
    whole,
)
from stocksync.settings.urls import bind_host, web_url


class Monitoring(Group):
    """What is worth a message."""

    monitoring_interval_seconds: Seconds = Field(default=60, description="between two looks")
    monitoring_max_pending_operations: Annotated[int, whole(1, 10**9)] = Field(
        default=1000, description="more pending rows are a backlog"
    )
    monitoring_stale_operation_hours: Hours = Field(
        default=6, description="a row that is not done after so long is stale"
    )
    monitoring_alert_on_failed_retries: Flag = Field(
        default=True, description="tell of rows that failed for good"
    )
    monitoring_failure_rate_threshold: Annotated[
        float, rule("must be a number above 0, at most 1", lambda share: 0 < share <= 1)
    ] = Field(default=0.1, description="attempts not proven ÷ attempts, of at least 20, no probes")
    monitoring_failure_rate_window_minutes: Annotated[int, whole(1, 1440)] = Field(
        default=30, description="the failure rate is of the last so many minutes"
    )
    alert_repeat_minutes: Minutes = Field(
        default=30, description="a condition that lasts is told again so often, at most"
    )
    daily_report_time: TimeOfDay | None = Field(
        default=None, description="`HH:MM` UTC; unset: none"
    )


class Telegram(Group):
    """The way to on-call."""

    telegram_bot_token: Annotated[SecretStr, AfterValidator(bot_token)] | None = Field(
        default=None, description="unset: alerts go to the log only"
    )
    telegram_chat_id: Annotated[tuple[str, ...], chats] = Field(
        default=(), description="where messages go; several: comma"
    )
    telegram_critical_chat_id: Annotated[tuple[str, ...], chats] = Field(
        default=(), description="where critical ones go; unset: TELEGRAM_CHAT_ID"
    )
    telegram_thread_id: Annotated[int, whole(1, 2**31 - 1)] | None = Field(
        default=None, description="the topic of a forum chat"
    )
    telegram_api_url: Annotated[str, AfterValidator(web_url)] | None = Field(
        default=None, description="another Bot API server; unset: Telegram's"
    )
    telegram_actions: Flag = Field(
        default=False, description="buttons under messages, and commands"
    )
    telegram_allowed_user_ids: Annotated[tuple[int, ...], user_ids] = Field(
        default=(), description="who may use them; several: comma"
    )
    language: Annotated[Literal["ru", "en"], one_of(Literal["ru", "en"]), LowerCase] = Field(
        default="ru", description="of the messages: `ru`, `en`"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        token, chat, critical_chat, actions, users = (
            f"{PREFIX}TELEGRAM_{name}"
            for name in ("BOT_TOKEN", "CHAT_ID", "CRITICAL_CHAT_ID", "ACTIONS", "ALLOWED_USER_IDS")
        )
        has_token = self.telegram_bot_token is not None
        required = (
            (has_token, token, self.telegram_chat_id, chat),
            (self.telegram_chat_id, chat, has_token, token),
            (self.telegram_critical_chat_id, critical_chat, has_token, token),
            (self.telegram_actions, actions, has_token, token),
            (self.telegram_actions, actions, self.telegram_allowed_user_ids, users),
        )
        for is_given, name, has_needed, needed in required:
            if is_given and not has_needed:
                raise ValueError(f"{needed}: is required with {name}")
        return self

    @property
    def critical_chats(self) -> tuple[str, ...]:
        """Where critical messages go."""
        return self.telegram_critical_chat_id or self.telegram_chat_id


class Http(Group):
    """What others may ask over HTTP."""

    http_host: Annotated[str, AfterValidator(bind_host)] = Field(
        default="127.0.0.1",
        description="where HTTP listens; other than on the loopback, reading needs the token, too",
    )
    http_port: Annotated[int, whole(0, 65535, "; 0 is none")] = Field(
        default=9108, description="0: none; a port that is taken: exit 78"
    )
    http_token: Annotated[SecretStr, AfterValidator(bearer_token)] | None = Field(
        default=None,
        description="bearer token of the API; unset: its writing calls are refused",
    )


_Level = Literal["debug", "info", "warning", "error"]
_Format = Literal["auto", "json", "console"]


class Log(Group):
    """What is told, and in which form."""

    log_level: Annotated[_Level, one_of(_Level), LowerCase] = Field(
        default="info", description="`debug`, `info`, `warning`, `error`"
    )
    log_format: Annotated[_Format, one_of(_Format), LowerCase] = Field(
        default="auto", description="`json`, `console`; auto: console on a terminal"
    )
