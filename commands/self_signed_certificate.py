"""A self-signed certificate, so that nginx has TLS before the operator installs a better one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_MAKER = "Self-signed by init"
"""The organisation in our certificates: only these are ever replaced."""

_LIFE = timedelta(days=825)
"""The longest life that Apple's systems accept, even of a certificate that the user trusts."""

_RENEW_BEFORE = timedelta(days=30)

_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, each as PEM."""

    certificate: bytes
    key: bytes


def _names(domain: str | None) -> tuple[str, ...]:
    return (domain,) if domain else _LOCAL


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make(domain: str | None, life: timedelta = _LIFE) -> Certificate:
    """Return a new key and its certificate, for a domain or, without one, for this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = _names(domain)
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, _MAKER), x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]
    )
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A client whose clock is a little slow must not find it to be not valid yet.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + life - timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def needs_replacement(pem: bytes, domain: str | None) -> bool:
    """Return whether this is one of our certificates, and it ends soon or is for another name."""
    certificate = x509.load_pem_x509_certificate(pem)
    makers = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if certificate.issuer != certificate.subject or [maker.value for maker in makers] != [_MAKER]:
        return False
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if list(named) != [_alternative(name) for name in _names(domain)]:
        return True
    return certificate.not_valid_after_utc - datetime.now(UTC) < _RENEW_BEFORE
