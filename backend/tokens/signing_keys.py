"""The signing keys: stored in PostgreSQL, reread by every process at intervals, rotated on schedule.

A key is published first and signs only later, when every verifier must have fetched it. After the next key has replaced
it, it stays published until the last token that it may have signed has expired. So no verifier ever meets a valid token
whose key it cannot know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from time import monotonic

from cryptography.fernet import InvalidToken

from backend.audit import audit
from backend.derived_keys import Encryptor
from database.engine import Database
from database.repositories import Db
from database.signing_keys import NewKey, StoredKey
from jwt_tools.keys import KeyRing, SigningKey, VerifyingKey
from models.context.audit import COMMAND_LINE, SCHEDULE, Event
from models.errors import Unavailable
from models.settings.rules import LONGEST_TOKEN, KeySettings

log = logging.getLogger(__name__)

_RETRY = 1.0
"""Seconds until the next attempt when the keys could not be read."""

_EAGER = 5.0
"""Least seconds between two reads for unknown key ids: invented ids cause no more reads than that."""

_NOW = timedelta()


def needs_next_key(stored: Sequence[StoredKey], settings: KeySettings) -> bool:
    """Return whether it is time to publish the next key: the newest one signs already, and will soon be replaced."""
    if not stored:
        return True
    newest = stored[0]
    lead_time = timedelta(seconds=settings.life - settings.activation_delay)
    is_ending = newest.signs_for >= lead_time or newest.algorithm != settings.algorithm
    return newest.signs_for >= _NOW and is_ending


def expired_keys(stored: Sequence[StoredKey], settings: KeySettings) -> list[str]:
    """Return the keys whose last token has expired: each was superseded when the next newer one began to sign."""
    retention = timedelta(seconds=LONGEST_TOKEN + settings.activation_delay)
    return [key.kid for newer, key in pairwise(stored) if newer.signs_for > retention]


class SigningKeys:
    """The keys as this process last read them."""

    def __init__(self, database: Database, encryptor: Encryptor, settings: KeySettings) -> None:
        self._database = database
        self._encryptor = encryptor
        self._activation_delay = timedelta(seconds=settings.activation_delay)
        self._settings = settings
        self._signing: SigningKey | None = None
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()
        self.ring = KeyRing(())

    @property
    def signing_key(self) -> SigningKey:
        """Return the key that signs now; read it before a code or a refresh token is spent.

        Raises:
            Unavailable: the last read is so long ago that another key may have to sign by now.
        """
        if self._signing is None or self.is_out_of_date:
            raise Unavailable("The signing keys cannot be read.")
        return self._signing

    @property
    def is_out_of_date(self) -> bool:
        """Return whether the last read is so long ago that keys may have been published or withdrawn since."""
        return monotonic() - self._read_at > 2 * self._settings.refresh_interval + _RETRY

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the published key of that id; an unknown id causes a new read, but not every time.

        Raises:
            Unavailable: the id is unknown, but the keys are out of date: it may belong to a new key.
        """
        if kid not in self.ring:
            await self._try_to_refresh(unless_tried_for=min(_EAGER, self._settings.refresh_interval))
        key = await self.ring.find_key(kid)
        if key is None and self.is_out_of_date:
            raise Unavailable("The signing keys cannot be read.")
        return key

    async def run(self) -> None:
        """Refresh at intervals until cancelled."""
        while True:
            done = await self._try_to_refresh()
            await asyncio.sleep(self._settings.refresh_interval if done else _RETRY)

    async def _try_to_refresh(self, *, unless_tried_for: float = 0) -> bool:
        try:
            await self.refresh(unless_tried_for=unless_tried_for)
        except Unavailable:
            return False
        except Exception:
            log.exception("the signing keys could not be read")
            return False
        return True

    async def refresh(self, *, unless_tried_for: float = 0) -> None:
        """Read the keys, and create the next one if it is due; the very first key is created here as well.

        Raises:
            Unavailable: PostgreSQL is unavailable.
            cryptography.fernet.InvalidToken: none of ``SECRET_KEYS`` decrypts the key that has to sign.
        """
        async with self._reading:
            if monotonic() - self._tried_at < unless_tried_for:
                return
            began = self._tried_at = monotonic()
            async with self._database.statement() as db:
                stored = await db.signing_keys.list()
            if needs_next_key(stored, self._settings):
                stored = await self._rotate_if_due()
            await self._install(stored)
            self._read_at = began

    async def _rotate_if_due(self) -> Sequence[StoredKey]:
        """Add the next key unless another process has just done so; return the keys as they are then."""
        # Generating an RSA key takes a second: in a thread, and before taking the lock.
        key = await asyncio.to_thread(SigningKey.generate, self._settings.algorithm)
        async with self._database.transaction() as db:
            await db.signing_keys.lock()
            stored = await db.signing_keys.list()
            if not needs_next_key(stored, self._settings):
                return stored
            # Before the first key no verifier has fetched a list, so that key may sign at once.
            await self._publish(db, key, self._activation_delay if stored else _NOW)
            await audit(db, Event.KEYS_ROTATED, SCHEDULE, key=key.kid)
            await db.signing_keys.delete(expired_keys(stored, self._settings))
            return await db.signing_keys.list()

    async def rotate(self, *, leaked: bool) -> tuple[str, timedelta]:
        """Publish the next key ahead of schedule, unless one waits to sign already; return its id and its delay.

        If the old keys have leaked, the new key signs at once and the old keys are withdrawn: every process and every
        verifier that reads the keys again refuses what the old ones have signed.

        Raises:
            Unavailable: PostgreSQL is unavailable.
        """
        key = await asyncio.to_thread(SigningKey.generate, self._settings.algorithm)
        async with self._database.transaction() as db:
            await db.signing_keys.lock()
            stored = await db.signing_keys.list()
            if stored and stored[0].signs_for < _NOW and not leaked:
                return stored[0].kid, -stored[0].signs_for
            activation_delay = _NOW if leaked or not stored else self._activation_delay
            await self._publish(db, key, activation_delay)
            await audit(db, Event.KEYS_ROTATED, COMMAND_LINE, key=key.kid, leaked=leaked)
            if leaked:
                await db.signing_keys.delete([old.kid for old in stored])
        return key.kid, activation_delay

    async def _publish(self, db: Db, key: SigningKey, activation_delay: timedelta) -> None:
        sealed = self._encryptor.encrypt(key.to_der())
        await db.signing_keys.create(NewKey(key.kid, key.algorithm, key.verifying.jwk, sealed), activation_delay)
        log.info("signing key %s published", key.kid)

    async def _install(self, stored: Sequence[StoredKey]) -> None:
        """Publish and sign with the keys that were read."""
        withdrawn = expired_keys(stored, self._settings)
        published = [key for key in stored if key.kid not in withdrawn]
        if [key.kid for key in published] != self.ring.kids:
            self.ring = KeyRing([VerifyingKey.from_jwk(key.public_jwk) for key in published])
        # One key always signs: if the clock of PostgreSQL goes back before all of them, it is the oldest.
        current = next((key for key in published if key.signs_for >= _NOW), published[-1])
        if self._signing is None or self._signing.kid != current.kid:
            self._signing = SigningKey.from_der(self._encryptor.decrypt(current.private_key))
        await self._reencrypt(published)

    async def _reencrypt(self, published: Sequence[StoredKey]) -> None:
        """Encrypt with the newest secret what an older one has encrypted, so that the older one can be removed."""
        for key in published:
            with suppress(InvalidToken):
                anew = self._encryptor.reencrypt(key.private_key)
                if anew is not None:
                    async with self._database.statement() as db:
                        await db.signing_keys.reencrypt(key.kid, key.private_key, anew)
