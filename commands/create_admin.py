"""``python main.py create-admin``: create an administrator."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

import click
from pydantic import SecretStr, TypeAdapter, ValidationError

from backend.admin.first_admin import AdministratorService
from backend.passwords.hasher import is_unusable
from backend.sessions.profile import read_signed_in
from commands.shared.errors import exit_when_unavailable
from commands.shared.interruption import Interruption
from config import load_settings
from database.engine import open_database
from models.errors import EmailTaken, LoginTaken, WeakPassword
from models.requests.flows import Password, Printable
from models.values.email import Email
from models.values.login import Login
from redis_tools.connection import open_valkey
from redis_tools.user_cache import UserCache

_EMAIL: TypeAdapter[str] = TypeAdapter(Annotated[Email, Printable])
_LOGIN: TypeAdapter[str] = TypeAdapter(Annotated[Login, Printable])
_PASSWORD: TypeAdapter[SecretStr] = TypeAdapter(Password)


def _checked(form: TypeAdapter[str], text: str) -> str:
    try:
        return form.validate_python(text)
    except ValidationError as error:
        message = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        raise click.BadParameter(message.removeprefix("Value error, ")) from None


def _email(_context: click.Context, _option: click.Parameter, text: str) -> str:
    return _checked(_EMAIL, text)


def _login(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    return None if text is None else _checked(_LOGIN, text)


def _password(text: str) -> str:
    """Return a password that a registration would accept."""
    try:
        return _PASSWORD.validate_python(text).get_secret_value()
    except ValidationError as error:
        message = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        raise click.UsageError(f"The password {message.removeprefix('Value error, ')}.") from None


@asynccontextmanager
async def _administrators() -> AsyncIterator[AdministratorService]:
    settings = load_settings()
    async with open_database(settings.database) as database, open_valkey(settings.redis) as valkey:
        user_cache = UserCache(valkey, partial(read_signed_in, database))
        yield AdministratorService(database, user_cache, settings.hash.iterations, settings.service_name)


@click.command("create-admin")
@click.option("--email", required=True, callback=_email, help="E-mail address for the codes of log-ins.")
@click.option("--login", callback=_login, help="Login name; not needed if the address has an account.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--generate", is_flag=True, help="Generate a password and print it.")
@click.option("--yes", is_flag=True, help="Do not ask before an existing account gets the role.")
@click.option("--if-none", is_flag=True, help="Do nothing if there is an administrator.")
def create_admin(email: str, login: str | None, **how: bool) -> None:
    """Create an administrator, or give the role to the account of the address.

    At a terminal, the command asks for the password. An existing account keeps its password, and the role is effective
    from the next request.
    """
    if how["password_stdin"] and how["generate"]:
        raise click.UsageError("--password-stdin and --generate exclude each other.")
    # Without this, Ctrl-C would not end the wait for a password: asyncio handles it later.
    with (
        Interruption().listening(),
        exit_when_unavailable("PostgreSQL at DATABASE_URL or Valkey at REDIS_URL cannot be reached."),
    ):
        asyncio.run(_create(email, login, how))


async def _create(email: str, login: str | None, how: dict[str, bool]) -> None:
    async with _administrators() as administrators:
        if how["if_none"] and await administrators.exists():
            click.echo("There is an administrator already.", err=True)
            return
        if user := await administrators.find_account(email):
            if user.blocked:
                raise click.ClickException(
                    "The account of this address is blocked. Use another address; that administrator can unblock it."
                )
            if not how["yes"]:
                click.confirm("The address has an account. Give it the role admin?", abort=True, err=True)
            await administrators.promote(user)
            how_to_log_in = (
                "and has to choose a password at /recover"
                if is_unusable(user.password_hash)
                else "with the password of the account"
            )
            click.echo(f"{user.login} is an administrator now, {how_to_log_in}.", err=True)
            return
        if login is None:
            raise click.UsageError("The address has no account yet: --login is needed.")
        password = _choose_password(how)
        try:
            await administrators.create(email, login, password)
        except WeakPassword as refusal:
            raise click.ClickException(str(refusal)) from refusal
        except LoginTaken as refusal:
            raise click.ClickException("The login belongs to another account.") from refusal
        except EmailTaken as refusal:
            raise click.ClickException("The address was registered at this moment. Run it again.") from refusal
    click.echo(f"{login} is an administrator now.", err=True)
    if how["generate"]:
        # Printed once, and only on standard output.
        click.echo(f"login     {login}\npassword  {password}")


def _choose_password(how: dict[str, bool]) -> str:
    if how["generate"]:
        return secrets.token_urlsafe(18)
    if how["password_stdin"]:
        return _password(sys.stdin.readline().rstrip("\r\n"))
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the password: use --password-stdin or --generate.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, value_proc=_password, err=True)
    return password
