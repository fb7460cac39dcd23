"""How settings are written: lists, addresses, rates and budgets, each with the error for a wrong one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from models.values.code_length_ladder import Budget
from models.values.rate import Rate


def split(value: object) -> object:
    """Turn a comma-separated text into a list; anything else goes to the validator as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def parsed(parse: Callable[[str], object]) -> BeforeValidator:
    """Parse a value with its own notation, such as ``20/60``."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def split_url(url: SecretStr, *schemes: str) -> SplitResult:
    """Split the URL of a server; the error shows no part of it, because one part is a password."""
    try:
        parts = urlsplit(url.get_secret_value())
        known = parts.scheme in schemes and (parts.port is None or parts.port > 0) and parts.netloc.count("@") <= 1
    except ValueError:
        known = False
    if not known:
        names = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(
            f"must be an address such as {schemes[0]}://user:password@host (or {names}); inside a user name "
            "or password write / as %2F, @ as %40 and : as %3A"
        )
    return parts


def is_host(name: str | None) -> bool:
    """Return whether a name can be looked up in DNS, or is an address."""
    with suppress(UnicodeError):
        return bool(name and name.encode("idna"))
    return False


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise ValueError("must be IP addresses or networks, such as 10.0.0.0/8") from None
    return values


def _host_name(value: str | None) -> str | None:
    """Refuse anything but a name: it is written into a certificate, into URLs and into nginx's configuration."""
    label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if value and (not re.fullmatch(rf"{label}(\.{label})*", value) or len(value) > 253):  # noqa: PLR2004 - RFC 1035
        raise ValueError("must be a name such as auth.example.com, in small letters, without https:// and port")
    return value


def whole(value: object) -> object:
    """Parse a number where only some numbers are allowed."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _rates(value: object) -> object:
    """Parse several rates; all of them apply."""
    return tuple(Rate.parse(part) for part in value.split(",")) if isinstance(value, str) else value


def secrets_by_name(value: object) -> object:
    """Parse ``reports:9f86d0…,billing:60303a…``; the error shows no value, because it may be a secret."""
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) for name, _, _ in pairs) or not all(
        re.fullmatch("[0-9A-Fa-f]{64}", digest) for _, _, digest in pairs
    ):
        raise ValueError("must be name:digest, the SHA-256 of a service's secret in 64 hexadecimal digits")
    if len({name for name, _, _ in pairs}) != len(pairs):
        raise ValueError("has one name twice")
    return {name: digest.lower() for name, _, digest in pairs}


Rates = Annotated[tuple[Rate, ...], NoDecode, BeforeValidator(_rates)]
OneRate = Annotated[Rate, NoDecode, parsed(Rate.parse)]
Guesses = Annotated[Budget, NoDecode, parsed(Budget.parse)]
Caps = Annotated[tuple[int, int, int], NoDecode]
Digits = Literal[4, 6, 8, 12]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split), AfterValidator(_networks)]
HostName = Annotated[str | None, AfterValidator(_host_name)]
