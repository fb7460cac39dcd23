"""``python main.py init``: create the secrets and the certificate that the containers need, once."""

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
from models.settings.loading import check_settings
from models.settings.nginx import EdgeSettings

_ONE_YEAR = 31_536_000
"""Seconds that browsers use only HTTPS (threats.md, section 4)."""


# The users that the containers read their files as, with the numbers of their images.
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
    """The folder that one container sees; only the user of that container can read it."""

    def __init__(self, path: Path, reader: int) -> None:
        self.path, self._reader = path, reader
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        self._give(path)

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._reader, self._reader)

    def write(self, name: str, content: str) -> None:
        """Write the whole file or nothing: a power cut must not leave half a secret."""
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

    def read_or_create(self, name: str, make: Callable[[], str]) -> str:
        """Return the content of a file, which is created once and never changed."""
        found = _read(self.path / name)
        if found is None:
            found = make()
            self.write(name, found)
            click.echo(f"Made {self.path.name}/{name}.")
        return found.strip()


def _make_secrets(into: Path) -> None:
    app, valkey = _Folder(into / "app", _APP), _Folder(into / "valkey", _VALKEY)
    app.read_or_create("secret_keys", lambda: secrets.token_urlsafe(32))
    password = _Folder(into / "postgres", _POSTGRES).read_or_create("password", lambda: secrets.token_urlsafe(32))
    app.write("database_url", f"postgresql://auth:{password}@postgres:5432/auth")
    url = app.read_or_create("redis_url", lambda: f"redis://:{secrets.token_urlsafe(32)}@redis:6379/0")
    known = re.fullmatch(r"redis://:([^@]+)@.*", url)
    if known is None:
        raise click.ClickException(
            "app/redis_url does not have the form that init writes: redis://:password@redis:6379/0"
        )
    # Valkey stores only the digest of the password, and the app may call no administrative command (threats.md,
    # section 4). The health check has its own user, which can do nothing else.
    digest = hashlib.sha256(known[1].encode()).hexdigest()
    valkey.write(
        "users.acl",
        f"user default on #{digest} ~* &* +@all -@admin -@dangerous\nuser health on nopass resetkeys -@all +ping\n",
    )
    # Valkey runs as this user from the start, so its data must belong to this user.
    _Folder(into / "valkey-data", _VALKEY)


def _make_certificate(into: Path, domain: str | None) -> None:
    found, key = _read(into / "tls/fullchain.pem"), _read(into / "tls/privkey.pem")
    if (found is None) != (key is None):
        raise click.ClickException(
            "tls/ has only one of fullchain.pem and privkey.pem: add the other one, or remove it."
        )
    if found is not None:
        try:
            if not self_signed_certificate.needs_replacement(found.encode(), domain):
                return
        except ValueError as error:
            raise click.ClickException("tls/fullchain.pem is not a certificate in PEM format.") from error
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
    # Without a domain, a redirect goes to the name that the client has used (localhost, an address).
    name = edge.domain or "$host"
    hsts = f"max-age={_ONE_YEAR}; includeSubDomains" if edge.domain else ""
    folder.write("domain.conf", f'map "" $public_name {{ default {name}; }}\nmap "" $hsts {{ default "{hsts}"; }}\n')


@click.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default="/made",
    show_default=True,
    help="The folder with one folder for each container.",
)
@click.option("--check", is_flag=True, help="Check the service's settings as well, and list every problem.")
def init(into: Path, *, check: bool) -> None:
    """Create secrets, a certificate and nginx's settings where they are missing; a second run changes no secret.

    A certificate that this command has created is replaced 30 days before its end, or when DOMAIN has changed; any
    other certificate stays.
    """
    if check:
        # The settings name files that are created here.
        _make_secrets(into)
        check_settings(load_edge_settings, load_settings)
    edge = load_edge_settings()
    _make_secrets(into)
    _make_certificate(into, edge.domain)
    _configure_nginx(into, edge)
