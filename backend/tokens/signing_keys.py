"""The key ring of the service: kept in PostgreSQL, read again and again by every process, rotated on schedule.

A key is published first and signs later, when every verifier must have seen it; it is superseded by the next one and
stays published until the last token that it may have signed has expired. So nobody ever meets a good token whose key
he cannot know.
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
from backend.keys import Encryptor
from database.engine import Database, Db
from database.signing_keys import NewKey, StoredKey
from jwt_tools.keys import KeyRing, SigningKey, VerifyingKey
from models.context.audit import COMMAND_LINE, SCHEDULE, Event
from models.errors import Unavailable
from models.settings.groups import LONGEST_TOKEN, KeySettings

log = logging.getLogger(__name__)

_RETRY = 1.0
"""Seconds until the ring is read again when PostgreSQL was away."""

_EAGER = 5.0
"""Seconds between two readings for unknown names; whoever makes names up costs no more."""

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
    """The ring as this process knows it."""

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
        """The key that signs now.

        Raises:
            Unavailable: PostgreSQL has not been read for so long that another key may have to sign by now.
        """
        if self._signing is None or self.is_out_of_date:
            raise Unavailable("The signing keys cannot be read.")
        return self._signing

    @property
    def is_out_of_date(self) -> bool:
        """Whether the ring was not read for so long that it may lack a key, or have one too many."""
        return monotonic() - self._read_at > 2 * self._settings.refresh_interval + _RETRY

    async def find(self, kid: str) -> VerifyingKey | None:
        """The key of that name; the ring is read again for a name that it does not have, but not for each of them.

        Raises:
            Unavailable: there is no such key in a ring that is out of date; it may be a new one.
        """
        if kid not in self.ring:
            await self._try_to_refresh(unless_tried_for=min(_EAGER, self._settings.refresh_interval))
        key = await self.ring.find(kid)
        if key is None and self.is_out_of_date:
            raise Unavailable("The signing keys cannot be read.")
        return key

    async def run(self) -> None:
        """Keep reading until cancelled."""
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
        """Read the ring, and make its next key if it is time; the very first one is made here, too.

        Raises:
            Unavailable: PostgreSQL is away.
            cryptography.fernet.InvalidToken: no secret key of ours opens the key that has to sign.
        """
        async with self._reading:
            if monotonic() - self._tried_at < unless_tried_for:
                return
            began = self._tried_at = monotonic()
            async with self._database.statement() as db:
                stored = await db.signing_keys.all()
            if needs_next_key(stored, self._settings):
                stored = await self._rotate_if_due()
            await self._install(stored)
            self._read_at = began

    async def _rotate_if_due(self) -> list[StoredKey]:
        """Add a key, unless another process was quicker; return the ring as it is then."""
        # An RSA key takes a second to make: on a thread, and before the lock.
        key = await asyncio.to_thread(SigningKey.generate, self._settings.algorithm)
        async with self._database.transaction() as db:
            await db.signing_keys.lock()
            stored = await db.signing_keys.all()
            if not needs_next_key(stored, self._settings):
                return stored
            # Before the first key there are no tokens, and nobody has to be told.
            await self._publish(db, key, self._activation_delay if stored else _NOW)
            await audit(db, Event.KEYS_ROTATED, SCHEDULE, key=key.kid)
            await db.signing_keys.drop(expired_keys(stored, self._settings))
            return await db.signing_keys.all()

    async def rotate(self, *, leaked: bool) -> tuple[str, timedelta]:
        """Publish the next key before its time, if none is waiting already; return its name and when it will sign.

        When the old ones have leaked it signs at once, and none of them is published any more: what they have signed
        is refused by whoever has read the ring, or the list, again.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        key = await asyncio.to_thread(SigningKey.generate, self._settings.algorithm)
        async with self._database.transaction() as db:
            await db.signing_keys.lock()
            stored = await db.signing_keys.all()
            if stored and stored[0].signs_for < _NOW and not leaked:
                return stored[0].kid, -stored[0].signs_for
            activation_delay = _NOW if leaked or not stored else self._activation_delay
            await self._publish(db, key, activation_delay)
            await audit(db, Event.KEYS_ROTATED, COMMAND_LINE, key=key.kid, leaked=leaked)
            if leaked:
                await db.signing_keys.drop([old.kid for old in stored])
        return key.kid, activation_delay

    async def _publish(self, db: Db, key: SigningKey, activation_delay: timedelta) -> None:
        sealed = self._encryptor.encrypt(key.to_der())
        await db.signing_keys.add(NewKey(key.kid, key.algorithm, key.verifying.jwk, sealed), activation_delay)
        log.info("signing key %s published", key.kid)

    async def _install(self, stored: Sequence[StoredKey]) -> None:
        """Publish what is to be published, and sign with what is to sign."""
        withdrawn = expired_keys(stored, self._settings)
        published = [key for key in stored if key.kid not in withdrawn]
        if [key.kid for key in published] != self.ring.kids:
            self.ring = KeyRing([VerifyingKey.from_jwk(key.public_jwk) for key in published])
        # There is always one; should the clock of PostgreSQL go back, it is the oldest that signs.
        current = next((key for key in published if key.signs_for >= _NOW), published[-1])
        if self._signing is None or self._signing.kid != current.kid:
            self._signing = SigningKey.from_der(self._encryptor.decrypt(current.private_key))
        await self._reencrypt(published)

    async def _reencrypt(self, published: Sequence[StoredKey]) -> None:
        """Encrypt with the newest secret what rests under an older one, so that the older one can be dropped."""
        for key in published:
            with suppress(InvalidToken):
                anew = self._encryptor.reencrypt(key.private_key)
                if anew is not None:
                    async with self._database.statement() as db:
                        await db.signing_keys.seal(key.kid, key.private_key, anew)
