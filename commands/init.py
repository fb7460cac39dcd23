"""``python main.py init``: make the secrets and the certificate that the containers need, once."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from commands import self_signed_certificate
from config import load_edge_settings, load_settings
from models.settings.edge import EdgeSettings
from models.settings.loading import check_settings

_ONE_YEAR = 31_536_000
"""Seconds that browsers keep to HTTPS (security.md, section 4)."""


# The users that the containers read their files as, by the numbers that their images give them.
_APP = 10001
_POSTGRES = 0  # the image's entry point reads the password before it steps down
_VALKEY = 999
_NGINX = 101


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


class _Folder:
    """The folder that one container sees, and the user who reads it there; nobody else may."""

    def __init__(self, path: Path, reader: int) -> None:
        self.path, self._reader = path, reader
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        self._give(path)

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._reader, self._reader)

    def write(self, name: str, content: str) -> None:
        """Write the file as a whole or not at all: a power cut must not leave half a secret."""
        if _read(self.path / name) == content:
            return
        handle, temporary = tempfile.mkstemp(dir=self.path)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        Path(temporary).chmod(0o400)
        self._give(Path(temporary))
        Path(temporary).replace(self.path / name)

    def once(self, name: str, make: Callable[[], str]) -> str:
        """What stands in the file, which is made if there is none, and never changed."""
        found = _read(self.path / name)
        if found is None:
            found = make()
            self.write(name, found)
            click.echo(f"Made {self.path.name}/{name}.")
        return found.strip()


def _make_secrets(into: Path) -> None:
    app, valkey = _Folder(into / "app", _APP), _Folder(into / "valkey", _VALKEY)
    app.once("secret_keys", lambda: secrets.token_urlsafe(32))
    password = _Folder(into / "postgres", _POSTGRES).once("password", lambda: secrets.token_urlsafe(32))
    app.write("database_url", f"postgresql://auth:{password}@postgres:5432/auth")
    url = app.once("redis_url", lambda: f"redis://:{secrets.token_urlsafe(32)}@redis:6379/0")
    known = re.fullmatch(r"redis://:([^@]+)@.*", url)
    if known is None:
        raise click.ClickException("app/redis_url is not as init has made it: redis://:password@redis:6379/0")
    # Valkey itself knows the password by its digest alone, and the app may do nothing that an operator does
    # (security.md, section 4). The health check has a name of its own, which can do nothing else.
    digest = hashlib.sha256(known[1].encode()).hexdigest()
    valkey.write(
        "users.acl",
        f"user default on #{digest} ~* &* +@all -@admin -@dangerous\nuser health on nopass resetkeys -@all +ping\n",
    )
    # Valkey runs as this user from the start, so that its data must be its own.
    _Folder(into / "valkey-data", _VALKEY)


def _make_certificate(into: Path, domain: str | None) -> None:
    found, key = _read(into / "tls/fullchain.pem"), _read(into / "tls/privkey.pem")
    if (found is None) != (key is None):
        raise click.ClickException("tls/ has one of fullchain.pem and privkey.pem: add the other, or take it away.")
    if found is not None:
        try:
            if not self_signed_certificate.is_worn_out(found.encode(), domain):
                return
        except ValueError as error:
            raise click.ClickException("tls/fullchain.pem is no certificate in PEM.") from error
    made = self_signed_certificate.make(domain)
    folder = _Folder(into / "tls", _NGINX)
    folder.write("privkey.pem", made.key.decode())
    folder.write("fullchain.pem", made.certificate.decode())
    click.echo(f"Made a self-signed certificate for {domain or 'localhost'}.")


def _configure_nginx(into: Path, edge: EdgeSettings) -> None:
    folder = _Folder(into / "nginx", _NGINX)
    proxies = "".join(f"set_real_ip_from {proxy};\n" for proxy in edge.trusted_proxies)
    folder.write("trusted_proxies.conf", f"{proxies}real_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n")
    folder.write("operators.conf", "".join(f"{network} 1;\n" for network in edge.admin_allow))
    # A name that anybody may call us by (localhost, an address) is shown the way to itself.
    name = edge.domain or "$host"
    hsts = f"max-age={_ONE_YEAR}; includeSubDomains" if edge.domain else ""
    folder.write("domain.conf", f'map "" $public_name {{ default {name}; }}\nmap "" $hsts {{ default "{hsts}"; }}\n')


@click.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default="/made",
    show_default=True,
    help="Where each container's folder is.",
)
@click.option("--check", is_flag=True, help="Read the service's settings as well, and tell all that is wrong.")
def init(into: Path, *, check: bool) -> None:
    """Make secrets, a certificate and nginx's settings where there are none; run again, it changes no secret.

    A certificate of its own making is replaced 30 days before its end, or when DOMAIN has changed; any other is left
    alone.
    """
    if check:
        # The settings name files that are made here.
        _make_secrets(into)
        check_settings(load_edge_settings, load_settings)
    edge = load_edge_settings()
    _make_secrets(into)
    _make_certificate(into, edge.domain)
    _configure_nginx(into, edge)
