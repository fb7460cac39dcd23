"""What the containers need before they start: made once, never overwritten, and read by nobody else."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from commands import self_signed_certificate
from tests.support.service.process import ROOT

SECRETS = ("app/secret_keys", "app/database_url", "app/redis_url", "postgres/password", "valkey/users.acl")


def init(into: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "main.py", "init", "--into", str(into), *options],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def contents(made: Path) -> dict[str, str]:
    return {str(path.relative_to(made)): path.read_text() for path in made.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("made")
    done = init(into)
    assert done.returncode == 0, done.stderr
    return into


def names(made: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate((made / "tls/fullchain.pem").read_bytes())
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in named]


def test_every_secret_is_made_and_fits_the_others(made: Path) -> None:
    found = contents(made)
    assert set(found) == {
        *SECRETS,
        "tls/fullchain.pem",
        "tls/privkey.pem",
        "nginx/trusted_proxies.conf",
        "nginx/operators.conf",
        "nginx/domain.conf",
    }
    assert found["app/database_url"] == f"postgresql://auth:{found['postgres/password']}@postgres:5432/auth"
    valkey_password = found["app/redis_url"].split(":")[2].partition("@")[0]
    assert hashlib.sha256(valkey_password.encode()).hexdigest() in found["valkey/users.acl"]
    assert valkey_password not in found["valkey/users.acl"]
    assert len({found["app/secret_keys"], found["postgres/password"], valkey_password}) == 3
    assert min(map(len, (found["app/secret_keys"], found["postgres/password"], valkey_password))) == 43
    assert names(made) == ["localhost", "127.0.0.1", "::1"]
    ssl.create_default_context(cafile=str(made / "tls/fullchain.pem")).load_cert_chain(
        made / "tls/fullchain.pem", made / "tls/privkey.pem"
    )


def test_nobody_reads_what_is_not_his(made: Path) -> None:
    for path in made.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o400), path


def test_run_again_it_changes_nothing_and_says_nothing(made: Path) -> None:
    before = contents(made)
    done = init(made)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert contents(made) == before


def test_another_domain_changes_what_is_public_and_no_secret(made: Path, tmp_path: Path) -> None:
    assert init(tmp_path).returncode == 0
    before = contents(tmp_path)
    done = init(tmp_path, DOMAIN="auth.example.com", ADMIN_ALLOW="10.0.0.0/8,::1", TRUSTED_PROXIES="192.0.2.1")
    assert done.returncode == 0, done.stderr
    after = contents(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {
        "tls/fullchain.pem",
        "tls/privkey.pem",
        "nginx/domain.conf",
        "nginx/operators.conf",
        "nginx/trusted_proxies.conf",
    }
    assert names(tmp_path) == ["auth.example.com"]
    assert after["nginx/operators.conf"] == "10.0.0.0/8 1;\n::1 1;\n"
    assert "set_real_ip_from 192.0.2.1;" in after["nginx/trusted_proxies.conf"]


def test_a_certificate_of_our_own_is_renewed_thirty_days_before_its_end(tmp_path: Path) -> None:
    assert init(tmp_path).returncode == 0
    for days in (31, 29):
        ours = self_signed_certificate.make(None, timedelta(days=days))
        for name, pem in (("fullchain.pem", ours.certificate), ("privkey.pem", ours.key)):
            (tmp_path / "tls" / name).unlink()
            (tmp_path / "tls" / name).write_bytes(pem)
        done = init(tmp_path)
        assert done.returncode == 0, done.stderr
        kept = (tmp_path / "tls/fullchain.pem").read_bytes() == ours.certificate
        assert kept == (days == 31)
        assert ((tmp_path / "tls/privkey.pem").read_bytes() == ours.key) == kept


def test_the_operators_certificate_is_left_alone_even_when_it_is_old_and_of_another_name(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old.example.com")])
    now = datetime.now(UTC)
    theirs = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/fullchain.pem").write_bytes(theirs)
    # Half a pair may be a mistake that costs somebody his key: it is told, and nothing is overwritten.
    done = init(tmp_path, DOMAIN="auth.example.com")
    assert done.returncode == 1
    assert "privkey.pem" in done.stderr
    (tmp_path / "tls/privkey.pem").write_text("their key")
    (tmp_path / "tls").chmod(0o755)
    assert init(tmp_path, DOMAIN="auth.example.com").returncode == 0
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "tls").stat().st_uid == tmp_path.stat().st_uid
    assert (tmp_path / "tls/fullchain.pem").read_bytes() == theirs
    assert (tmp_path / "tls/privkey.pem").read_text() == "their key"


def test_what_would_go_into_nginx_is_checked_first_and_told_without_its_value(tmp_path: Path) -> None:
    done = init(
        tmp_path, DOMAIN="https://canary", ADMIN_ALLOW="10.0.0.0/8; canary", TRUSTED_PROXIES="canary } server {"
    )
    assert done.returncode == 2
    for name in ("DOMAIN", "ADMIN_ALLOW", "TRUSTED_PROXIES"):
        assert name in done.stderr
    assert "canary" not in done.stderr
    assert contents(tmp_path) == {}


def test_the_key_that_is_made_is_the_one_of_the_certificate() -> None:
    pair = self_signed_certificate.make("auth.example.com")
    key = load_pem_private_key(pair.key, None)
    assert x509.load_pem_x509_certificate(pair.certificate).public_key() == key.public_key()


def test_all_that_is_wrong_with_any_setting_is_told_at_once(tmp_path: Path) -> None:
    app = tmp_path / "made" / "app"
    good = {
        "DATABASE_URL_FILE": str(app / "database_url"),
        "REDIS_URL_FILE": str(app / "redis_url"),
        "SECRET_KEYS_FILE": str(app / "secret_keys"),
        "SMTP_URL": "smtp://mailpit:1025",
        "MAIL_FROM": "Auth <auth@example.com>",
        "ISSUER": "https://localhost",
    }
    done = init(tmp_path / "made", "--check", **good)
    assert done.returncode == 0, done.stderr
    wrong = {"ADMIN_ALLOW": "canary", "MAIL_FROM": "canary", "CODE_DIGITS": "5", "TOKEN_TTL": "canary"}
    done = init(tmp_path / "made", "--check", **(good | wrong))
    assert done.returncode == 2
    assert [name for name in wrong if f"  {name}: " in done.stderr] == [*wrong]
    assert "canary" not in done.stderr
