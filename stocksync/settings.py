"""Settings: the environment becomes frozen groups, or one line for each thing wrong with it.

pydantic's home. A value is looked for in the environment, then in the files of
$CREDENTIALS_DIRECTORY, then in the env file; an empty one is none. Names may be written in any
letter case, as pydantic-settings has it. A message never repeats a value.
"""

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    get_args,
    overload,
)
from urllib.parse import SplitResult, parse_qsl, urlsplit

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stocksync.model import SettingsError

PREFIX = "STOCK_SYNC_"
ALSO_KNOWN_AS = {
    "STOCK_SYNC_MICROSERVICE_URL": "ALLEGRO_MICROSERVICE_BASE_URL",
    "STOCK_SYNC_MICROSERVICE_JWT": "ALLEGRO_MICROSERVICE_JWT_TOKEN",
}
"""Names under which the order system has the same values."""


class _Sources(TypedDict, total=False):
    env_file: Path | None
    environ: Mapping[str, str] | None


A = TypeVar("A", bound="Group")
B = TypeVar("B", bound="Group")
C = TypeVar("C", bound="Group")
D = TypeVar("D", bound="Group")
E = TypeVar("E", bound="Group")


@overload
def load(a: type[A], /, **sources: Unpack[_Sources]) -> tuple[A]: ...
@overload
def load(a: type[A], b: type[B], /, **sources: Unpack[_Sources]) -> tuple[A, B]: ...
@overload
def load(a: type[A], b: type[B], c: type[C], /, **sources: Unpack[_Sources]) -> tuple[A, B, C]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], /, **sources: Unpack[_Sources]
) -> tuple[A, B, C, D]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /, **sources: Unpack[_Sources]
) -> tuple[A, B, C, D, E]: ...
@overload
def load(*groups: type["Group"], **sources: Unpack[_Sources]) -> tuple["Group", ...]: ...
def load(
    *groups: type["Group"],
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple["Group", ...]:
    """Return the groups that a command needs, in the order asked for.

    `env_file` is what the user named with --env-file; `environ` stands for os.environ.
    SettingsError: all that is wrong with these groups, and every unknown STOCK_SYNC_ name.
    """
    problems: list[str] = []
    found = _look(os.environ if environ is None else environ, env_file, problems)
    loaded: list[Group] = []
    for group in groups:
        values = {
            field: found[name].value for field, name in group.names().items() if name in found
        }
        try:
            loaded.append(group(**values))
        except ValidationError as error:
            problems += _problems(group, error, found)
    problems += _relations(loaded)
    if problems:
        raise SettingsError(*problems)
    return tuple(loaded)


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: str
    description: str


def describe() -> list[Setting]:
    """Return every setting, in the order of the groups; the default as one would write it."""
    return [
        Setting(
            name=name,
            default="required" if field.is_required() else _written(field.default),
            description=field.description or "",
        )
        for group in Group.__subclasses__()
        for name, field in zip(group.names().values(), group.model_fields.values(), strict=True)
    ]


def _rule(text: str, holds: Callable[[Any], bool] = lambda _: True) -> WrapValidator:
    """Whatever is wrong with a value, the message is the whole rule."""

    def check(value: object, parse: ValidatorFunctionWrapHandler) -> object:
        try:
            parsed = parse(value)
        except ValueError:
            parsed = None
        if parsed is None or not holds(parsed):
            raise ValueError(text)
        return parsed

    return WrapValidator(check)


def _whole(low: int, high: int, note: str = "") -> WrapValidator:
    text = f"must be a whole number from {low} to {high}{note}"
    return _rule(text, lambda number: low <= number <= high)


def _one_of(words: object) -> WrapValidator:
    return _rule(f"must be one of {', '.join(get_args(words))}")


_LowerCase = BeforeValidator(lambda text: text.strip().lower())
# Thirty years stand for "any": more would only overflow somewhere later.
_Seconds = Annotated[int, _whole(1, 10**9)]
_Flag = Annotated[bool, _rule("must be true or false")]


class Group(BaseSettings):
    """Settings that are asked for together; a field's name is the variable's in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def names(cls) -> dict[str, str]:
        """Each field and its variable."""
        return {field: f"{PREFIX}{field.upper()}" for field in cls.model_fields}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings calls it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load` found, nothing else.

        The sources that come with the library let a name in the env file win over its alias in
        the environment, and pass over names and lines that they do not understand.
        """
        return (init_settings,)


_URL_SHAPE = "must be postgresql://user:password@host:5432/name, other characters percent-encoded"
# What asyncpg takes from a URL for itself (connect_utils). Anything else it sends to the server
# as a setting, which ends the connection when the server does not know it: of those, we let
# pass the two that libpq has under the same name.
_URL_PARAMETERS = {
    "host", "port", "dbname", "database", "user", "password", "passfile", "service",
    "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
    "target_session_attrs", "krbsrvname", "gsslib", "application_name", "options",
}  # fmt: skip
_URL_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": (
        "any", "primary", "standby", "read-write", "read-only", "prefer-standby",
    ),
}  # fmt: skip
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:,]+)(:(?P<port>[0-9]{1,5}))?")
_TOP_PORT = 65535


def _database_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value().strip()
    parts = _split(url)
    if parts is None or not re.match("postgres(ql)?://", url):
        raise ValueError(_URL_SHAPE)
    hosts = parts.netloc.rpartition("@")[2]
    # A raw @ / ? # in a password cuts the URL in the wrong place; all that follows would be
    # understood wrongly, and parts of the password be taken for names.
    if url.count("@") != parts.netloc.count("@") or parts.netloc.count("@") > 1 or "#" in url:
        raise ValueError(_URL_SHAPE)
    if hosts and not all(_is_host(host) for host in hosts.split(",")):
        raise ValueError(_URL_SHAPE)
    _check_parameters(parts.query)
    return SecretStr(url)


def _is_host(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and 0 < int(match["port"] or _TOP_PORT) <= _TOP_PORT


def _check_parameters(query: str) -> None:
    try:
        parameters = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        parameters = {"host": ""}
    hosts = parameters.get("host", "/").split(",")
    if not all(host.startswith("/") or _is_host(host) for host in hosts):
        raise ValueError(_URL_SHAPE)
    if not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", parameters.get("port", "0")):
        raise ValueError(_URL_SHAPE)
    unknown = sorted(parameters.keys() - _URL_PARAMETERS)
    if unknown and parameters.keys() & {"password", "sslpassword"}:
        # After a raw & in it, the rest of the password would be the "name".
        raise ValueError("has parameters that the driver does not know, or a raw & in a password")
    if unknown:
        raise ValueError(f"has parameters that the driver does not know: {', '.join(unknown)}")
    for name, words in _URL_WORDS.items():
        if name in parameters and parameters[name] not in words:
            raise ValueError(f"parameter {name} must be one of {', '.join(words)}")


def _split(url: str) -> SplitResult | None:
    """None: not a URL. The parser's own error would quote it."""
    if not url.isprintable() or " " in url:
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None


class Database(Group):
    """The way to Postgres."""

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        description="`postgresql://` URL; several hosts and socket directories are allowed"
    )
    database_listen_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        default=None,
        description="direct connection for LISTEN, when DATABASE_URL goes through a pooler; "
        "unset: DATABASE_URL",
    )
    database_schema: Annotated[
        str,
        _rule(
            "must be 1 to 40 of a-z, 0-9 and _, not begin with a digit, and not with pg_",
            re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,39}").fullmatch,
        ),
    ] = Field(default="public", description="the schema of our tables")
    database_pgbouncer: _Flag = Field(
        default=False,
        description="transaction pooling: no prepared statements, no session state",
    )

    @property
    def listen_url(self) -> SecretStr:
        """Where to LISTEN."""
        return self.database_listen_url or self.database_url


def _service_url(url: str) -> str:
    parts = _split(url.strip())
    text = "must be http://host:port or https://host:port, without user, password and query"
    try:
        is_good = (
            parts is not None
            and parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not set(url) & set("@?#\\")
        )
    except ValueError:  # the port is none
        is_good = False
    if parts is None or not is_good:
        raise ValueError(text)
    path = parts.path.rstrip("/").removesuffix("/api/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _jwt(secret: SecretStr) -> SecretStr:
    jwt = re.sub(r"^bearer\s+", "", secret.get_secret_value().strip(), flags=re.IGNORECASE)
    if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", jwt, re.ASCII):
        raise ValueError("must be a JWT: three parts of letters, digits, - and _, joined by dots")
    return SecretStr(jwt)


class Service(Group):
    """The way to the microservice."""

    microservice_url: Annotated[str, AfterValidator(_service_url)] = Field(
        description="also ALLEGRO_MICROSERVICE_BASE_URL; a trailing `/` or `/api/v1` is accepted"
    )
    microservice_jwt: Annotated[SecretStr, AfterValidator(_jwt)] | None = Field(
        default=None,
        description="a ready JWT, with or without `Bearer`; also ALLEGRO_MICROSERVICE_JWT_TOKEN; "
        "passed over where there is a secret",
    )
    microservice_jwt_secret: SecretStr | None = Field(
        default=None, description="mints short-lived HS256 JWTs, together with the user id"
    )
    microservice_jwt_user_id: str | None = Field(
        default=None, description="the claim `user_id` of the minted JWTs"
    )
    microservice_timeout_seconds: _Seconds = Field(default=10, description="a whole call")

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        jwt, secret, user_id = (
            f"{PREFIX}MICROSERVICE_{name}" for name in ("JWT", "JWT_SECRET", "JWT_USER_ID")
        )
        if self.microservice_jwt_secret is not None:
            if self.microservice_jwt_user_id is None:
                raise ValueError(f"{user_id}: is required with {secret}")
        elif self.microservice_jwt is None:
            raise ValueError(f"{jwt}: is required, or {secret} together with {user_id}")
        return self


class Relay(Group):
    """How much at once, and for how long."""

    concurrency: Annotated[int, _whole(1, 256)] = Field(default=8, description="pushes in flight")
    claim_batch_size: Annotated[int, _whole(1, 10_000)] = Field(
        default=100, description="orders in one claim"
    )
    lease_seconds: _Seconds = Field(
        default=60, description="at least twice MICROSERVICE_TIMEOUT_SECONDS"
    )
    poll_interval_seconds: _Seconds = Field(
        default=1, description="how often to look for due orders without being woken"
    )
    shutdown_grace_seconds: _Seconds = Field(
        default=25, description="how long a stopping daemon finishes what is in flight"
    )


class Retry(Group):
    """When a failed operation is tried again."""

    retry_max_attempts: Annotated[int, _whole(-1, 2**31 - 1, "; 0 is no retry, -1 is no limit")] = (
        Field(default=5, description="retries of an operation; 0: none, -1: no limit")
    )
    retry_initial_delay: _Seconds = Field(default=60, description="seconds before the first retry")
    retry_max_delay: _Seconds = Field(
        default=3600, description="seconds, the longest delay; may equal the first"
    )
    retry_exponential_base: Annotated[
        float, _rule("must be a number from 1 to 100", lambda base: 1 <= base <= 100)  # noqa: PLR2004 - the rule says it
    ] = Field(default=2.0, description="each delay is so many times the one before")
    retry_jitter: _Flag = Field(
        default=True, description="draw each delay from its upper half, so that retries spread"
    )

    @model_validator(mode="after")
    def _delays_grow(self) -> Self:
        if self.retry_max_delay < self.retry_initial_delay:
            raise ValueError(
                f"{PREFIX}RETRY_MAX_DELAY ({self.retry_max_delay}) must be at least "
                f"{PREFIX}RETRY_INITIAL_DELAY ({self.retry_initial_delay})"
            )
        return self


_Level = Literal["debug", "info", "warning", "error"]
_Format = Literal["auto", "json", "console"]


class Log(Group):
    """What is told, and in which form."""

    log_level: Annotated[_Level, _one_of(_Level), _LowerCase] = Field(
        default="info", description="`debug`, `info`, `warning`, `error`"
    )
    log_format: Annotated[_Format, _one_of(_Format), _LowerCase] = Field(
        default="auto", description="`json`, `console`; auto: console on a terminal"
    )


def _relations(loaded: Iterable[Group]) -> Iterator[str]:
    """Hold groups that are there against each other."""
    by_type = {type(group): group for group in loaded}
    match by_type.get(Relay), by_type.get(Service):
        case Relay(lease_seconds=lease), Service(microservice_timeout_seconds=timeout):
            if lease < 2 * timeout:
                yield (
                    f"{PREFIX}LEASE_SECONDS ({lease}) must be at least twice "
                    f"{PREFIX}MICROSERVICE_TIMEOUT_SECONDS ({timeout})"
                )


class _Found(NamedTuple):
    value: str
    spelt: str
    """The name as the user wrote it, and where."""


def _look(
    environ: Mapping[str, str], env_file: Path | None, problems: list[str]
) -> dict[str, _Found]:
    """Each known name that has a value, from the first place that has one."""
    places = {
        "": environ,
        " in $CREDENTIALS_DIRECTORY": _credentials(environ, problems),
        " in the env file": _env_file(env_file, problems),
    }
    known = {name for group in Group.__subclasses__() for name in group.names().values()}
    found: dict[str, _Found] = {}
    for where, named_values in places.items():
        by_name = {
            name.upper(): _Found(value, name + where)
            for name, value in named_values.items()
            if value.strip()
        }
        problems += [
            f"{by_name[name].spelt}: is unknown; the nearest known name is {_nearest(name, known)}"
            for name in sorted(by_name)
            if name.startswith(PREFIX) and name not in known
        ]
        for name in known - found.keys():
            for spelling in (name, ALSO_KNOWN_AS.get(name)):
                if spelling in by_name:
                    found[name] = by_name[spelling]
                    break
    return found


def _credentials(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    try:
        paths = sorted(path for path in Path(directory).iterdir() if path.is_file())
    except FileNotFoundError:  # inherited from a service that has ended
        return {}
    except OSError as error:
        problems.append(f"{directory}: cannot be read ({error.strerror})")
        return {}
    ours = (PREFIX, *ALSO_KNOWN_AS.values())
    return {
        path.name: _read(path, problems).rstrip("\r\n")
        for path in paths
        if path.name.upper().startswith(ours)
    }


def _env_file(path: Path | None, problems: list[str]) -> dict[str, str]:
    """Read the file's lines; `${NAME}` stays as it is, for a password may look like this."""
    values = {}
    for line in parse_stream(io.StringIO("" if path is None else _read(path, problems))):
        if line.error:
            problems.append(f"{path}: line {line.original.line} is not NAME=value")
        elif line.key is not None:
            values[line.key] = line.value or ""
    return values


def _read(path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        problems.append(f"{path}: cannot be read (not UTF-8)")
    return ""


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, by what follows the prefix."""
    wanted = name.removeprefix(PREFIX)
    return max(
        sorted(known),
        key=lambda each: SequenceMatcher(a=wanted, b=each.removeprefix(PREFIX)).ratio(),
    )


def _problems(
    group: type[Group], error: ValidationError, found: Mapping[str, _Found]
) -> Iterator[str]:
    for each in error.errors(include_input=False, include_url=False):
        rule = str(each["ctx"]["error"]) if each["type"] == "value_error" else each["msg"]
        if not each["loc"]:
            yield rule  # of the whole group: it names its variables itself
            continue
        name = group.names()[str(each["loc"][0])]
        if each["type"] == "missing":
            yield f"{name}: is required"
        else:
            yield f"{found[name].spelt}: {rule}"


def _written(default: object) -> str:
    return "–" if default is None else str(default).lower()
