"""Warns the operator, when the service starts, of settings that no longer fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from backend.operations.metrics import MetricsService
from models.errors import Unavailable

log = logging.getLogger(__name__)

_MANY_RECOVERIES = 1_000
"""A day: with more, codes of four digits allow more than one takeover a year by a spray (service.md, section 4)."""

_LONG_ENOUGH = 6

_CATCHER = "mailpit"
"""The host that docker-compose.yaml sends mail to until `SMTP_URL` is set."""


def warn_of_caught_mail(domain: str | None, servers: Sequence[str]) -> None:
    """Warn when a public service sends its mail to the catcher of docker-compose.yaml: no user can register there."""
    if domain and any(urlsplit(server).hostname == _CATCHER for server in servers):
        log.warning("DOMAIN is set, and mail still goes to %s, which delivers nothing: set SMTP_URL", _CATCHER)


async def advise_length(metrics: MetricsService, least_digits: Mapping[str, int]) -> None:
    """Advise longer codes at /recover when there are many recoveries; while Valkey is away, their number is unknown."""
    try:
        readings = await metrics.readings()
    except Unavailable:
        return
    a_day = readings["recover"].won_a_day
    if a_day > _MANY_RECOVERIES and least_digits["recover"] < _LONG_ENOUGH:
        log.warning("%d recoveries a day: set RECOVER_CODE_DIGITS=%d, see docs/security.md", a_day, _LONG_ENOUGH)
