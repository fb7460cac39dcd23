"""Metrics for Prometheus. Counters and thermostats live in Valkey, so that every process reports the same values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from database.engine import Database
from database.mail.outbox import MailStats
from models.context.counters import Counter
from models.errors import Unavailable
from redis_tools import counters
from redis_tools.pipeline import Valkey
from redis_tools.thermostat import Thermostat, ThermostatState

_THERMOSTAT = (
    (GaugeMetricFamily, "auth_code_floor_digits", "Least digits of a code for unknown devices."),
    (GaugeMetricFamily, "auth_code_floor_raised", "1 while the floor is higher than as configured: an alert."),
    (CounterMetricFamily, "auth_code_floor_raises", "How often the floor was raised."),
    (GaugeMetricFamily, "auth_wrong_guesses_left", "Wrong guesses that the floor still bears; none has no bound."),
    (GaugeMetricFamily, "auth_wrong_guesses_unresolved", "Wrong guesses that no success has explained, ever since."),
    (CounterMetricFamily, "auth_flows_succeeded", "Flows of unknown devices that succeeded."),
    (GaugeMetricFamily, "auth_flows_succeeded_a_day", "The same, as a daily mean of the last seven days."),
)
_COUNTERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    Counter.REQUESTS: (
        "auth_requests",
        "Requests answered; the outcome is a refusal's code, or the status.",
        ("method", "route", "outcome"),
    ),
    Counter.HASHES: ("auth_hashes", "Passwords hashed.", ()),
    Counter.HASHES_REFUSED: ("auth_hashes_refused", "Hashes refused because too many waited.", ()),
    Counter.HASH_SECONDS: ("auth_hash_seconds", "Seconds spent hashing, on all threads.", ()),
    Counter.HASH_WAIT_SECONDS: ("auth_hash_wait_seconds", "Seconds that hashes waited for a thread.", ()),
    Counter.MAILS: ("auth_mails", "Attempts to hand a mail to SMTP, by what came of it.", ("kind", "outcome")),
}
_MAIL = (
    ("auth_mails_waiting", "Mails in the outbox that are still to leave."),
    ("auth_mail_oldest_seconds", "Age of the oldest of them."),
    ("auth_mails_dead", "Mails given up, kept for the operator to see."),
)


def _values(lowest: int, reading: ThermostatState) -> tuple[float, ...]:
    return (
        reading.digits,
        float(reading.digits > lowest),
        reading.epoch,
        float("inf") if reading.left is None else reading.left,
        reading.wrong,
        reading.won,
        reading.won_a_day,
    )


def _thermostat_families(values: Mapping[str, tuple[float, ...]]) -> Iterator[Metric]:
    for index, (kind, name, description) in enumerate(_THERMOSTAT):
        family = kind(name, description, labels=["purpose"])
        for purpose, readings in values.items():
            family.add_metric([purpose], readings[index])
        yield family


def _counter_families(counts: Mapping[str, float]) -> Iterator[Metric]:
    for counter, (name, description, labels) in _COUNTERS.items():
        family = CounterMetricFamily(name, description, labels=labels)
        for field, number in counts.items():
            counted, *values = field.split("|")
            if counted == counter and len(values) == len(labels):
                family.add_metric(values, number)
        yield family


def _mail_families(states: Sequence[MailStats]) -> Iterator[Metric]:
    for index, (name, description) in enumerate(_MAIL):
        family = GaugeMetricFamily(name, description, labels=["kind"])
        for state in states:
            family.add_metric([state.kind], (state.waiting, state.oldest.total_seconds(), state.dead)[index])
        yield family


@dataclass(frozen=True, slots=True)
class _Collected:
    """Metric families with the method that `generate_latest` calls."""

    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


@dataclass(frozen=True, slots=True)
class MetricsService:
    """Reads counters, thermostats and the outbox.

    Each method raises `Unavailable` while a server that it needs cannot be reached.
    """

    database: Database
    valkey: Valkey
    thermostats: Mapping[str, Thermostat]

    async def readings(self) -> dict[str, ThermostatState]:
        """Return the state of each purpose's thermostat."""
        answers = await self.valkey.pipeline(*(thermostat.get_state() for thermostat in self.thermostats.values()))
        return dict(zip(self.thermostats, answers, strict=True))

    async def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format; those of the mail are missing while PostgreSQL is away."""
        readings = await self.readings()
        counts = await self.valkey.execute(counters.read())
        values = {purpose: _values(self.thermostats[purpose].lowest, reading) for purpose, reading in readings.items()}
        up = GaugeMetricFamily("auth_postgresql_up", "Whether PostgreSQL answers.")
        mail: Sequence[MailStats] = ()
        try:
            async with self.database.statement() as db:
                mail = await db.outbox.list_stats()
            up.add_metric([], 1)
        except Unavailable:
            up.add_metric([], 0)
        return generate_latest(
            _Collected((*_thermostat_families(values), *_counter_families(counts), *_mail_families(mail), up))
        )
