"""``python -m bench.import_users [COUNT]``: users per second of an import, of its repetition, and of an export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.service import BenchService
from devstack.service import ROOT
from devstack.stack import Stack

_HASH = "pbkdf2_sha256$1000000$saltsaltsaltsaltsalt12$" + 43 * "A" + "="


def _write(file: Path, count: int) -> None:
    with file.open("w") as output:
        for number in range(count):
            user = {
                "email": f"user-{number}@example.com",
                "login": f"user-{number}",
                "password_hash": _HASH,
                "created_at": "2020-01-01T00:00:00+00:00",
            }
            output.write(json.dumps(user) + "\n")


def _measure(service: BenchService, count: int, *command: str) -> None:
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "main.py", *command], cwd=ROOT, env=service.environment)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{command[0]} failed")
    print(f"{command[0]}: {took:.1f} s, {count / took:,.0f} users/s, {usage.ru_maxrss / 1024:.0f} MiB at most\n")


def main(count: int) -> None:
    """Run everything and print the figures."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    with Stack(folder) as stack:
        service = BenchService(stack)
        service.migrate()
        moving_in, moved_out = folder / "in.ndjson", folder / "out.ndjson"
        _write(moving_in, count)
        _measure(service, count, "import-users", "--dry-run", str(moving_in))
        _measure(service, count, "import-users", str(moving_in))
        _measure(service, count, "import-users", str(moving_in))
        _measure(service, count, "export-users", str(moved_out))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
