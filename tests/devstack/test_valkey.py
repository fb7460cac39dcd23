"""Valkey: what its object promises to the tests and to `make run`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.valkey import Valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def say(valkey: Valkey, *words: str, timeout: float = 5) -> str:
    """Give one command and return the raw answer."""
    with socket.create_connection(("127.0.0.1", valkey.port), timeout=timeout) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(4096).decode()


def test_data_survive_a_restart_and_a_crash_on_one_port(valkey: Valkey) -> None:
    url = valkey.url(7)
    for count, leave in enumerate((valkey.stop, valkey.kill), start=1):
        assert say(valkey, "INCR", "kept") == f":{count}\r\n"
        leave()
        with pytest.raises(ConnectionRefusedError):
            say(valkey, "PING")
        valkey.start()
    assert say(valkey, "GET", "kept") == "$1\r\n2\r\n"
    assert valkey.url(7) == url == f"redis://127.0.0.1:{valkey.port}/7"


def test_a_paused_server_hangs_until_it_goes_on(valkey: Valkey) -> None:
    valkey.pause()
    with pytest.raises(TimeoutError):
        say(valkey, "PING", timeout=0.2)
    valkey.resume()
    assert say(valkey, "PING") == "+PONG\r\n"


def test_a_paused_server_can_be_stopped(valkey: Valkey) -> None:
    valkey.pause()
    valkey.stop()
    with pytest.raises(ConnectionRefusedError):
        say(valkey, "PING")


def test_the_settings_are_as_promised(valkey: Valkey) -> None:
    for name, value in {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "databases": "256",
        "protected-mode": "yes",
        "bind": "127.0.0.1",
    }.items():
        assert f"\r\n{value}\r\n" in say(valkey, "CONFIG", "GET", name)
