"""Reasons to refuse a request."""

from __future__ import annotations


class TokenError(Exception):
    """The request is refused."""


class InvalidToken(TokenError):
    """The bearer token is missing, or not valid for this issuer, audience and moment (RFC 6750: ``invalid_token``)."""


class MissingPermission(TokenError):
    """The token is valid and does not allow this (RFC 6750: ``insufficient_scope``)."""

    def __init__(self, needed: str, subject: str = "") -> None:
        super().__init__(needed)
        self.needed = needed
        self.subject = subject
        """The user id of the token."""


class UnmarkedRoute(TokenError):
    """A route of a guarded router has none of the decorators; it stays closed."""


class KeysUnavailable(TokenError):
    """The issuer's keys cannot be read at the moment, so that no token can be verified."""
