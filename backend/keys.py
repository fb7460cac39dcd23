"""Every key of the service, derived from the one secret it is given."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Keys:
    """Derives a key for each purpose from each secret; the newest secret makes, all of them check."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._code_keys = self._derive("one-time code")
        self._device_keys = self._derive("known device")
        self._refresh_keys = self._derive("refresh token")
        self._subject_key = self._derive("subject")[0]

    def _derive(self, label: str) -> list[bytes]:
        """HKDF-SHA256 (RFC 5869) with the label as info: 32 bytes from each secret, newest first."""
        return [
            HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode()).derive(secret)
            for secret in self._secrets
        ]

    def code_macs(self, flow_id: bytes, purpose: str, code: str) -> list[str]:
        """What a code is stored as, under each key, newest first.

        Bound to the flow and its purpose, a code is worth nothing elsewhere; keyed, its ten thousand values cannot be
        tried on a stolen copy of Valkey.
        """
        message = b"\x00".join((flow_id.hex().encode(), purpose.encode(), code.encode()))
        return [hmac.new(key, message, sha256).hexdigest() for key in self._code_keys]

    def subject(self, name: str) -> str:
        """How an address or a login is called where it must not stand in clear: buckets, ladder, rescue codes.

        Keyed, so that nobody finds it by hashing addresses. 128 bits, in hexadecimal.
        """
        return hmac.new(self._subject_key, name.encode(), sha256).hexdigest()[:32]

    def device_macs(self, message: bytes) -> list[bytes]:
        """What a known device's card is signed with, under each key, newest first."""
        return [hmac.new(key, message, sha256).digest() for key in self._device_keys]

    def refresh_macs(self, message: bytes) -> list[bytes]:
        """What a refresh token is told by, and its successor made with, under each key, newest first."""
        return [hmac.new(key, message, sha256).digest() for key in self._refresh_keys]

    def encryptor(self, label: str) -> Encryptor:
        """Encrypts what rests in PostgreSQL."""
        return Encryptor([Fernet(base64.urlsafe_b64encode(key)) for key in self._derive(label)])


class Encryptor:
    """Encrypts with the newest secret, and decrypts under any."""

    def __init__(self, keys: Sequence[Fernet]) -> None:
        self._newest = keys[0]
        self._all = MultiFernet(keys)

    def encrypt(self, content: bytes) -> bytes:
        """What may rest in PostgreSQL."""
        return self._newest.encrypt(content)

    def decrypt(self, sealed: bytes) -> bytes:
        """What was encrypted.

        Raises:
            cryptography.fernet.InvalidToken: under none of our secrets.
        """
        return self._all.decrypt(sealed)

    def reencrypt(self, sealed: bytes) -> bytes | None:
        """The same under the newest secret; None when it is so already.

        Raises:
            cryptography.fernet.InvalidToken: see `decrypt`.
        """
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return self._all.rotate(sealed)
        return None
