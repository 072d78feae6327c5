"""URLs as settings hold them: taken apart, their passwords quoted, and what cannot be used refused.

Every refusal says what is wrong and quotes nothing that may be part of a password.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from ibutsu_tasks.settings.values import MAX_PORT, SSL_MODES, UnusableError, count, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")

_HEAD = r"(?P<head>[a-z][a-z0-9+.-]*://[^:@/?#\s]*:)"
_PROPER_URL = re.compile(
    _HEAD + r"(?P<password>[^@/?#]+)(?P<tail>@(?:[^@/?#]+(?:/[^@?#]*)?|/[^@?#]*)(?:\?[\w.-]+=.*)?)$",
    re.IGNORECASE,
)
_ODD_URL = re.compile(_HEAD + r"(?P<password>.*)(?P<tail>@[^@/?#]*(?:[/?#].*)?)$", re.IGNORECASE)
_UNQUOTED = "%!$&'()*+,=~._-:"
_STRAY_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_OPTION_NAME = re.compile(r"[A-Za-z_]{1,40}")
HINT_ENCODE = ". Percent-encode what is special in a user or password: @ is %40, / %2F, ? %3F, # %23, : %3A"


class Url(NamedTuple):
    """A URL taken apart, everything decoded; None and the empty string are what it does not say."""

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    path: str
    options: tuple[tuple[str, str], ...]


def split_urls(value: str) -> list[str]:
    """Split several URLs separated by `;`, which a password may hold as well."""
    return re.split(r";(?=[a-z+]+://)", value, flags=re.IGNORECASE)


def split_password(url: str) -> tuple[str, str, str] | None:
    """Give what stands before the password of a URL, the password and the rest; None when it has none."""
    match = _PROPER_URL.match(url) or _ODD_URL.match(url)
    return (match["head"], match["password"], match["tail"]) if match else None


def quote_password(url: str) -> str:
    """Percent-encode what a password may hold raw (`@`, `/`, `#`, `%`); a proper URL stays as it is."""
    parts = split_password(url)
    if parts is None:
        return url
    head, password, tail = parts
    return f"{head}{quote(_STRAY_PERCENT.sub('%25', password), safe=_UNQUOTED)}{tail}"


def take_apart(value: str, schemes: tuple[str, ...], example: str) -> tuple[str, Url]:
    """Give a URL with its scheme in lower case and its password quoted, and the same taken apart.

    Raises UnusableError for another scheme and for what is no URL.
    """
    scheme, separator, rest = value.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise UnusableError(f"is not a URL (expected something like {example})")
    if scheme not in schemes:
        starts = " or ".join(f"{known}://" for known in schemes)
        shown = f"{scheme}://" if re.fullmatch(r"[a-z][a-z0-9+.-]{0,19}", scheme) else None
        raise UnusableError(f"must begin with {starts}", shown)
    url = quote_password(f"{scheme}://{rest}")
    with said_of(url):
        if not url.isprintable() or " " in url:
            raise UnusableError("holds a space or a control character")
        # No client of a server takes one, encoded or not.
        if "%00" in url:
            raise UnusableError("holds a NUL character (%00)")
        return url, _parts(url)


@contextmanager
def said_of(url: str) -> Iterator[None]:
    """Add to a refusal within the block that something should be encoded, when that may be the cause."""
    try:
        yield
    except UnusableError as error:
        rest = url.partition("://")[2]
        login = rest.rpartition("@")[0]
        is_cut = "#" in rest or any(sign in login for sign in "@/?")
        raise UnusableError(f"{error.what}{HINT_ENCODE}") if is_cut else error from None


def _parts(url: str) -> Url:
    if "#" in url:
        raise UnusableError("holds a #")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnusableError("has a bracket in its host that encloses no IPv6 address") from None
    if "@" in parts.path:
        raise UnusableError("holds an @ behind its host")
    login, _, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return Url(
        parts.scheme,
        unquote(user) or None,
        unquote(password) or None,
        *_host_and_port(place),
        unquote(parts.path),
        tuple(_option(pair) for pair in parts.query.split("&") if pair),
    )


def _host_and_port(place: str) -> tuple[str, int | None]:
    """Take `host:port` apart. Only brackets may hold more colons, and only an IPv6 address."""
    host, _, port = place.partition(":")
    if place.startswith("["):
        host, closing, rest = place[1:].partition("]")
        if not closing or not _is_ipv6(host) or (rest and not rest.startswith(":")):
            raise UnusableError("has a bracket in its host that encloses no IPv6 address")
        port, place = rest[1:], rest
    return host_name(unquote(host)), port_number(port) if ":" in place else None


def host_name(host: str) -> str:
    """Check that a host can be looked up: Python encodes its labels, and fails at empty and at long ones."""
    if host.startswith("/"):
        return host
    try:
        host.encode("idna")
    except UnicodeError:
        raise UnusableError("has a host that cannot be a name: a part of it is empty or too long") from None
    return host


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6  # noqa: PLR2004
    except ValueError:
        return False


def port_number(text: str) -> int:
    """Read the port of a URL. Raises UnusableError for what is none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not 1 <= number <= MAX_PORT:
        raise UnusableError(f"has a port that is no number from 1 to {MAX_PORT}")
    return number


def _option(pair: str) -> tuple[str, str]:
    # An encoded name would be another one for whoever decodes it, or for nobody: it stays and is unknown.
    name, equals, value = pair.partition("=")
    if not equals:
        raise UnusableError("has an option without a value behind its ?")
    return name, unquote_plus(value)


def read_options(
    options: tuple[tuple[str, str], ...], known: Mapping[str, Callable[[str], Any]]
) -> dict[str, Any]:
    """Give the options behind a URL's `?`, read as `known` says; the first of two of a name holds.

    Raises UnusableError for an option that is not known and for a value of the wrong type.
    """
    read: dict[str, Any] = {}
    for name, value in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (there is {near[0]})" if near else ""
            shown = name if _OPTION_NAME.fullmatch(name) else None
            raise UnusableError(f"has an option that is not known{hint}", shown, ": ")
        try:
            read.setdefault(name, known[name](value))
        except UnusableError as error:
            raise UnusableError(f"has an option {name} that {error.what}") from None
    return read


def _ports(value: str) -> list[int]:
    return [port_number(port) for port in value.split(",")]


def _hosts(value: str) -> str:
    """Check one host, several separated by commas, or the directory of a socket."""
    for host in value.split(","):
        if not host.startswith(("/", "@", "[")) and ":" in host:
            port_number(host.rpartition(":")[2])
    return value


# libpq's, by its documentation; a test asks libpq itself about each.
_DATABASE_OPTIONS: dict[str, Callable[[str], Any]] = {
    "host": _hosts,
    "port": _ports,
    "sslmode": one_of(SSL_MODES),
    "sslcertmode": one_of(("disable", "allow", "require")),
    "load_balance_hosts": one_of(("disable", "random")),
    "target_session_attrs": one_of(
        ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
    ),
    **dict.fromkeys(("channel_binding", "gssencmode"), one_of(("disable", "prefer", "require"))),
    **dict.fromkeys(("keepalives", "sslcompression", "sslsni", "gssdelegation"), one_of(("0", "1"))),
    **dict.fromkeys(("connect_timeout", "tcp_user_timeout"), count),
    **dict.fromkeys(("keepalives_count", "keepalives_idle", "keepalives_interval"), count),
    **dict.fromkeys(("application_name", "client_encoding", "dbname", "fallback_application_name"), str),
    **dict.fromkeys(("gsslib", "hostaddr", "krbsrvname", "options", "passfile", "password"), str),
    **dict.fromkeys(("require_auth", "requirepeer", "service", "sslcert", "sslcrl", "sslcrldir"), str),
    **dict.fromkeys(("sslkey", "sslnegotiation", "sslpassword", "sslrootcert", "user"), str),
    **dict.fromkeys(("ssl_max_protocol_version", "ssl_min_protocol_version"), str),
}


def database_url(value: str) -> str:
    """Check a PostgreSQL URL as SQLAlchemy and libpq would, name its driver, and quote its password."""
    url, parts = take_apart(value, DATABASE_SCHEMES, "postgresql://user:password@host/name")
    with said_of(url):
        read_options(parts.options, _DATABASE_OPTIONS)
    return "postgresql+psycopg2://" + url.partition("://")[2]


def database_host(value: str) -> str:
    """Check the host of a database: a name, an address, several with commas, or a socket's directory."""
    if value.startswith("/"):
        return value
    if ":" in value and not _is_ipv6(value):
        raise UnusableError("must be a host alone (the port has a setting of its own)", value)
    if not value.isprintable() or any(sign in value for sign in "/?#@[] "):
        raise UnusableError("must be a host or the directory of a socket", value)
    return value


def assemble_database_url(
    where: tuple[str, int, str], login: tuple[str | None, str | None], sslmode: str | None
) -> str:
    """Put the URL of a database together: `where` is host, port and name, `login` user and password."""
    (host, port, database), (user, password) = where, login
    hidden = f":{quote(password, safe='')}" if password else ""
    credentials = f"{quote(user, safe='')}{hidden}@" if user else ""
    options = [f"sslmode={sslmode}"] if sslmode else []
    place = f"[{host}]" if ":" in host else host
    if host.startswith("/"):
        options.append(f"host={quote(host)}")
        place = ""
    query = f"?{'&'.join(options)}" if options else ""
    return f"postgresql+psycopg2://{credentials}{place}:{port}/{quote(database, safe='')}{query}"


def web_url(value: str) -> str:
    """Check the address of a web page, and quote its password."""
    url, parts = take_apart(value, ("http", "https"), "http://127.0.0.1:5555")
    if not parts.host:
        raise UnusableError("names no host")
    return url
