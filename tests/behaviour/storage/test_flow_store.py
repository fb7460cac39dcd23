"""What a flow's record decides by itself; what is seen over HTTP is tested there."""

from __future__ import annotations

import secrets

import pytest

from models.values.flow import RECOVER, Step
from models.values.flow_data import RecoverData
from redis_tools.flow_store import CodeOutdated, FlowKey, FlowStore, MintedCode, NewFlow, Proof
from redis_tools.pipeline import Valkey


@pytest.fixture
def store(valkey: Valkey) -> FlowStore:
    return FlowStore(valkey)


async def opened(valkey: Valkey, store: FlowStore, device: str = "") -> FlowKey[RecoverData]:
    key = FlowKey(secrets.token_bytes(16), RECOVER, secrets.token_bytes(32))
    flow = NewFlow(RecoverData(email="alice@example.com"), subject="a subject", device=device, epoch=0)
    await valkey.execute(store.create(key, flow, ttl=60, resend_after=60))
    return key


async def mint(store: FlowStore, key: FlowKey[RecoverData], *, serial: int, epoch: int) -> bool:
    return await store.set_code(key.flow_id, MintedCode("a mac", serial, rung=4, epoch=epoch), ttl=60)


async def test_a_code_chosen_before_a_rise_is_refused_once_its_flow_is_in_the_new_epoch(
    valkey: Valkey, store: FlowStore
) -> None:
    key = await opened(valkey, store)
    with pytest.raises(CodeOutdated) as told:
        await store.claim(key, Step.CODE, tries=3, epoch=1, proof=Proof(["another mac"]))
    assert not await mint(store, key, serial=0, epoch=0)
    # Not the serial alone: a job for another code may have read the floor before it rose, too.
    assert not await mint(store, key, serial=told.value.serial, epoch=0)
    assert await mint(store, key, serial=told.value.serial, epoch=1)


async def test_the_code_of_a_known_device_is_accepted_in_any_epoch(valkey: Valkey, store: FlowStore) -> None:
    key = await opened(valkey, store, device="a known one")
    assert await mint(store, key, serial=0, epoch=0)
    claim = await store.claim(key, Step.CODE, tries=3, epoch=9, proof=Proof(["a mac"]))
    assert claim.tries_left == 2
