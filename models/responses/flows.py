"""Responses of the steps of a flow."""

from __future__ import annotations

from pydantic import Field

from models.responses.common import Answer

SESSION_KEY_EXAMPLE = "AZqqPhxTen2aLl1PDBsqOQswVXqfxOkOM1h9osfsETZbgKXK7xQ5XoOozfIXPGGG"


class FlowOpened(Answer):
    """A flow is open; a code is mailed if the address is to get one."""

    session_key: str = Field(description="Names the flow; send it with the next step.", examples=[SESSION_KEY_EXAMPLE])
    expires_in: int = Field(description="Seconds until the flow expires.", examples=[1800])
    resend_after: int = Field(description="Seconds until another code may be requested.", examples=[60])
    next: str = Field(description="Path of the next request.", examples=["/login/confirm"])


class NextStep(Answer):
    """The step succeeded; the next step needs the new session key, and the old one is no longer valid."""

    session_key: str = Field(examples=[SESSION_KEY_EXAMPLE])
    expires_in: int = Field(description="Seconds until the flow expires.", examples=[1500])
    next: str = Field(description="Path of the next request.", examples=["/recover/password"])
