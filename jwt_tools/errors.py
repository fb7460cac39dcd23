"""What can be wrong with a caller."""

from __future__ import annotations


class TokenError(Exception):
    """The caller may not do this."""


class InvalidToken(TokenError):
    """There is no bearer token, or it was not made by our issuer, for us, for now (RFC 6750: ``invalid_token``)."""


class MissingPermission(TokenError):
    """The token is good and does not allow this (RFC 6750: ``insufficient_scope``)."""

    def __init__(self, needed: str, subject: str = "") -> None:
        super().__init__(needed)
        self.needed = needed
        self.subject = subject
        """Whose token it is."""


class UnmarkedRoute(TokenError):
    """A route in a guarded room says neither what it requires nor that it requires nothing; it stays closed."""


class KeysUnavailable(TokenError):
    """The issuer's keys cannot be had at the moment, so that no token can be told from a forged one."""
