"""Runs servers and service until Ctrl-C: `python -m devstack run`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack.run import run


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError("must be a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("command", choices=["run"])
    parser.add_argument("--port", type=_port, default=8000)
    parser.add_argument("--data", type=Path, default=Path(".data"))
    chosen = parser.parse_args()
    sys.exit(run(chosen.port, chosen.data))
