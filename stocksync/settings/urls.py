"""URLs: which ones the driver and the gateway understand as their writer meant them."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import SecretStr

# What asyncpg takes from a URL for itself (connect_utils). Anything else it sends to the server
# as a setting, which ends the connection when the server does not know it: of those, we let
# pass the two that libpq has under the same name.
DRIVER_PARAMETERS = {
    "host", "port", "dbname", "database", "user", "password", "passfile", "service",
    "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
    "target_session_attrs", "krbsrvname", "gsslib", "application_name", "options",
}  # fmt: skip
_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": (
        "any", "primary", "standby", "read-write", "read-only", "prefer-standby",
    ),
}  # fmt: skip
_DATABASE_RULE = (
    "must be postgresql://user:password@host:5432/name, other characters percent-encoded"
)
_SERVICE_RULE = (
    "must be http://host:port or https://host:port in ASCII, without user, password and query"
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:,]+)(:(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_TOP_PORT = 65535


def checked_database_url(secret: SecretStr) -> SecretStr:
    """Return the URL without space around it; ValueError: the rule, never a part of the URL."""
    url = secret.get_secret_value().strip()
    parts = _split(url)
    if parts is None or not re.match("postgres(ql)?://", url):
        raise ValueError(_DATABASE_RULE)
    hosts = parts.netloc.rpartition("@")[2]
    # A raw @ / ? # in a password cuts the URL in the wrong place; all that follows would be
    # understood wrongly, and parts of the password be taken for names.
    if url.count("@") != parts.netloc.count("@") or parts.netloc.count("@") > 1 or "#" in url:
        raise ValueError(_DATABASE_RULE)
    if hosts and not all(_is_host(host) for host in hosts.split(",")):
        raise ValueError(_DATABASE_RULE)
    _check_parameters(parts.query)
    return SecretStr(url)


def service_base_url(url: str) -> str:
    """Return the service's base, which /health and /api/v1 follow; ValueError: the rule.

    Whatever is returned can be called: the gateway relies on it.
    """
    base = urlsplit(web_url(url))
    path = base.path.removesuffix("/api/v1").rstrip("/")
    return f"{base.scheme}://{base.netloc}{path}"


def web_url(url: str) -> str:
    """Return a server's base without a trailing `/`; ValueError: the rule."""
    parts = _split(url.strip())
    if (
        parts is None
        or parts.scheme not in {"http", "https"}
        or not (url.isascii() and _is_host(parts.netloc) and _is_address(parts.hostname or ""))
        or set(url) & set("@?#\\")
    ):
        raise ValueError(_SERVICE_RULE)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def bind_host(host: str) -> str:
    """Return an address to listen at, or a name of one; ValueError: the rule."""
    host = host.strip()
    if not (host.isascii() and _is_address(host)):
        raise ValueError("must be an IP address or a host's name, without a port")
    return host


def _split(url: str) -> SplitResult | None:
    """None: not a URL. The parser's own error would quote it."""
    if not url.isprintable() or " " in url:
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and 0 < int(match["port"] or _TOP_PORT) <= _TOP_PORT


def _is_address(host: str) -> bool:
    """A name that can be looked up, or an IP address, which is what ends in a number."""
    if ":" not in host and not host.rpartition(".")[2].isdigit():
        return _NAME.fullmatch(host) is not None
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_parameters(query: str) -> None:
    try:
        parameters = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        parameters = {"host": ""}
    hosts = parameters.get("host", "/").split(",")
    if not all(host.startswith("/") or _is_host(host) for host in hosts):
        raise ValueError(_DATABASE_RULE)
    if not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", parameters.get("port", "0")):
        raise ValueError(_DATABASE_RULE)
    unknown = sorted(parameters.keys() - DRIVER_PARAMETERS)
    if unknown and parameters.keys() & {"password", "sslpassword"}:
        # After a raw & in it, the rest of the password would be the "name".
        raise ValueError("has parameters that the driver does not know, or a raw & in a password")
    if unknown:
        raise ValueError(f"has parameters that the driver does not know: {', '.join(unknown)}")
    for name, words in _WORDS.items():
        if name in parameters and parameters[name] not in words:
            raise ValueError(f"parameter {name} must be one of {', '.join(words)}")
