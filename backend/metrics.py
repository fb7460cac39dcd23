"""What an operator's Prometheus reads: how the thermostats stand; they live in Valkey, every process says the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from redis_tools.exchange import Valkey
from redis_tools.thermostat import Reading, Thermostat

_FAMILIES = (
    (GaugeMetricFamily, "auth_code_floor_digits", "Least digits of a code for unknown devices."),
    (GaugeMetricFamily, "auth_code_floor_raised", "1 while the floor is higher than as configured: an alert."),
    (CounterMetricFamily, "auth_code_floor_raises", "How often the floor was raised."),
    (GaugeMetricFamily, "auth_wrong_guesses_left", "Wrong guesses that the floor still bears; none has no bound."),
    (GaugeMetricFamily, "auth_wrong_guesses_unresolved", "Wrong guesses that no success has explained, ever since."),
    (CounterMetricFamily, "auth_flows_succeeded", "Flows of unknown devices that succeeded."),
    (GaugeMetricFamily, "auth_flows_succeeded_a_day", "The same, as a daily mean of the last seven days."),
)


def _values(lowest: int, reading: Reading) -> tuple[float, ...]:
    return (
        reading.digits,
        float(reading.digits > lowest),
        reading.epoch,
        float("inf") if reading.left is None else reading.left,
        reading.wrong,
        reading.won,
        reading.won_a_day,
    )


class _Collected:
    """The readings in the shape that the library writes out."""

    def __init__(self, values: Mapping[str, tuple[float, ...]]) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        for place, (kind, name, description) in enumerate(_FAMILIES):
            family = kind(name, description, labels=["purpose"])
            for purpose, values in self._values.items():
                family.add_metric([purpose], values[place])
            yield family


class MetricsService:
    """Reads the thermostats and writes them down."""

    def __init__(self, valkey: Valkey, thermostats: Mapping[str, Thermostat]) -> None:
        self._valkey = valkey
        self._thermostats = thermostats

    async def readings(self) -> dict[str, Reading]:
        """How the thermostat of each purpose stands.

        Raises:
            Unavailable: Valkey is away.
        """
        answers = await self._valkey.ask_all(*(thermostat.read() for thermostat in self._thermostats.values()))
        return dict(zip(self._thermostats, answers, strict=True))

    async def exposition(self) -> bytes:
        """Everything in Prometheus' text format.

        Raises:
            Unavailable: Valkey is away.
        """
        readings = await self.readings()
        values = {purpose: _values(self._thermostats[purpose].lowest, reading) for purpose, reading in readings.items()}
        return generate_latest(_Collected(values))
