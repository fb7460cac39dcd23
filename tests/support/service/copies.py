"""Two copies of the service that share everything but the address they serve on, as --scale makes them."""

from __future__ import annotations

from pathlib import Path

from devstack.stack import Stack
from tests.support.service.process import Service


class Copies:
    """Real app processes, each on a loopback address of its own, all on one port."""

    def __init__(self, stack: Stack, database: str, folder: Path, settings: dict[str, str]) -> None:
        self.addresses = ["127.1.0.1", "127.1.0.2"]
        self.services: list[Service] = []
        for address in self.addresses:
            copy = Service(stack, database, 251, folder)
            copy.environment |= {"HOST": address, "TRUSTED_PROXIES": "127.0.0.1/32"} | settings
            copy.environment = {name: value for name, value in copy.environment.items() if value}
            if self.services:
                first = self.services[0]
                copy.port = first.port
                copy.environment |= {name: first.environment[name] for name in ("SECRET_KEYS", "ISSUER")}
            copy.url = f"http://{address}:{copy.port}"
            copy.log_file = folder / f"copy-{address}.log"
            self.services.append(copy)

    @property
    def port(self) -> int:
        return self.services[0].port

    def start(self) -> None:
        for copy in self.services:
            copy.start(wait=False)
        for copy in self.services:
            copy.wait_until_ready()

    def kill(self) -> None:
        for copy in self.services:
            copy.kill()
