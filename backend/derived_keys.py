"""Derives every key of the service from its secrets (`SECRET_KEYS`)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Keys:
    """Derives a key per purpose from each secret: the newest signs and encrypts, all of them verify and decrypt."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._code_keys = self._derive("one-time code")
        self._device_keys = self._derive("known device")
        self._refresh_keys = self._derive("refresh token")
        self._subject_key = self._derive("subject")[0]

    def _derive(self, label: str) -> list[bytes]:
        """Return 32 bytes from each secret, newest first: HKDF-SHA256 (RFC 5869) with the label as info."""
        return [
            HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode()).derive(secret)
            for secret in self._secrets
        ]

    def code_macs(self, flow_id: bytes, purpose: str, code: str) -> list[str]:
        """Return the stored form of a code under each key, newest first.

        The MAC is bound to flow and purpose: the code is worth nothing elsewhere. It is keyed: the ten thousand values
        of a code cannot be tried on a stolen copy of Valkey.
        """
        message = b"\x00".join((flow_id.hex().encode(), purpose.encode(), code.encode()))
        return [hmac.new(key, message, sha256).hexdigest() for key in self._code_keys]

    def subject(self, name: str) -> str:
        """Return the pseudonym of an address or login for buckets, ladder and rescue codes: 128 bits in hexadecimal.

        It is keyed, so that an attacker cannot find it by hashing known addresses.
        """
        return hmac.new(self._subject_key, name.encode(), sha256).hexdigest()[:32]

    def device_macs(self, message: bytes) -> list[bytes]:
        """Return the MACs of a device token under each key, newest first."""
        return [hmac.new(key, message, sha256).digest() for key in self._device_keys]

    def refresh_macs(self, message: bytes) -> list[bytes]:
        """Return the MACs that verify a refresh token, or make its successor, under each key, newest first."""
        return [hmac.new(key, message, sha256).digest() for key in self._refresh_keys]

    def encryptor(self, label: str) -> Encryptor:
        """Return an encryptor for values stored in PostgreSQL, with keys of their own."""
        return Encryptor([Fernet(base64.urlsafe_b64encode(key)) for key in self._derive(label)])


class Encryptor:
    """Encrypts with the newest secret, and decrypts under any."""

    def __init__(self, keys: Sequence[Fernet]) -> None:
        self._newest = keys[0]
        self._all = MultiFernet(keys)

    def encrypt(self, content: bytes) -> bytes:
        """Return the ciphertext under the newest secret."""
        return self._newest.encrypt(content)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            cryptography.fernet.InvalidToken: none of the secrets decrypts it.
        """
        return self._all.decrypt(ciphertext)

    def reencrypt(self, ciphertext: bytes) -> bytes | None:
        """Return the ciphertext under the newest secret; None if it already is.

        Raises:
            cryptography.fernet.InvalidToken: see `decrypt`.
        """
        try:
            self._newest.decrypt(ciphertext)
        except InvalidToken:
            return self._all.rotate(ciphertext)
        return None
