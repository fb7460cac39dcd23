"""What a service costs while it runs: processor time, and the most memory that any of its workers held."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.service.process import Service

_TICKS = os.sysconf("SC_CLK_TCK")


def processes_of(service: Service) -> list[int]:
    """The process that was started, and its workers if it has any."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    return [service.pid, *map(int, children)]


def cpu_seconds(service: Service) -> float:
    """What all processes of the service have computed so far, on whichever thread."""
    spent = 0
    for pid in processes_of(service):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS


def _megabytes(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


class Memory:
    """How much more memory each process of a service has held at most, since this was made."""

    def __init__(self, service: Service) -> None:
        self._before = {pid: _megabytes(pid, "VmRSS") for pid in processes_of(service)}
        for pid in self._before:
            # proc_pid_clear_refs(5): 5 sets the peak back to what is held now.
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def grown_by(self) -> float:
        """Megabytes at the worst moment, in the process that grew most."""
        return max(_megabytes(pid, "VmHWM") - before for pid, before in self._before.items())
