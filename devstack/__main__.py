"""`python -m devstack run` and `python -m devstack mailbox`."""

import argparse
import sys
import time
from pathlib import Path

from devstack.mailbox import Mailbox
from devstack.ports import PORTS
from devstack.processes import DevstackError
from devstack.run import StopSignals, run, say, show


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) not in PORTS:
        raise argparse.ArgumentTypeError("must be a number from 1 to 65535")
    return int(text)


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="PostgreSQL, Valkey, a mailbox and the service, until Ctrl-C")
    running.add_argument("--port", type=_port, default=8000)
    running.add_argument("--data", type=Path, default=Path(".data"))
    running.add_argument("--workers", type=int, default=1)
    catching = commands.add_parser("mailbox", help="an SMTP server that keeps every mail, until Ctrl-C")
    catching.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    catching.add_argument("--folder", type=Path, required=True)
    wish = parser.parse_args()
    if wish.command == "run":
        return run(wish.port, wish.data, wish.workers)
    return catch_mail(wish.folder, wish.port)


def catch_mail(folder: Path, port: int) -> int:
    """Run the mailbox alone until Ctrl-C or SIGTERM."""
    mailbox = Mailbox(folder, port, on_mail=show)
    with StopSignals():
        try:
            mailbox.start()
            say(f"{mailbox.url} keeps its mail in {mailbox.folder}. Ctrl-C stops it.")
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            mailbox.stop()
        except DevstackError as problem:
            print(problem, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
