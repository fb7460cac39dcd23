"""A library in another language accepts our tokens: jose, run by Node, which knows the issuer's address alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from jwt_tools.keys import ALGORITHMS
from tests.conftest import Serving
from tests.support.users.people import Walker, new_person

pytestmark = pytest.mark.system

PROGRAM = Path(__file__).parent / "jose"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where jose is installed beside the program, in the version of its package.json."""
    assert shutil.which("node"), "Debian's package nodejs is needed"
    assert shutil.which("npm"), "Debian's package npm is needed"
    folder = tmp_path_factory.mktemp("node") / "jose"
    shutil.copytree(PROGRAM, folder)
    install = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=120)
    pinned = json.loads((PROGRAM / "package.json").read_text())["dependencies"]["jose"]
    installed = json.loads((folder / "node_modules" / "jose" / "package.json").read_text())["version"]
    assert installed == pinned
    return folder


def verified(folder: Path, issuer: str, audience: str, token: str) -> dict[str, Any]:
    """What the program in Node says of a token."""
    ran = subprocess.run(
        ["node", "verify.js", issuer, audience, token],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_jose_accepts_a_token_with_the_keys_at_the_address_and_no_other(
    folder: Path, serving: Serving, stack: Stack, algorithm: str
) -> None:
    with serving(KEY_ALGORITHM=algorithm) as service, service.client() as client:
        walk, person = Walker(client, stack.mailbox), new_person("verified")
        user = walk.register(person)
        token = walk.log_in(person)

        said = verified(folder, service.url, service.url, token)
        assert said["algorithm"] == algorithm
        assert {name: said["claims"][name] for name in ("sub", "login", "roles", "permissions")} == {
            "sub": user["id"],
            "login": user["login"],
            "roles": user["roles"],
            "permissions": user["permissions"],
        }

        signed, _, signature = token.rpartition(".")
        forged = f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
        refused = verified(folder, service.url, service.url, forged)
        assert refused == {"refused": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"}
        refused = verified(folder, service.url, "https://other.example.com", token)
        assert refused == {"refused": "ERR_JWT_CLAIM_VALIDATION_FAILED"}
