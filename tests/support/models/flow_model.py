"""What the service must answer, in plain objects: which session key may do what, and what then becomes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

GONE = (410, "flow_gone")
OUT_OF_ORDER = (409, "step_out_of_order")
WRONG_CODE = (400, "wrong_code")
LOGIN_TAKEN = (409, "login_taken")
WEAK = (422, "weak_password")

Verdict = tuple[int, str]
"""Status, and the code of a refusal; a success has none."""

PURPOSES = ("register", "login", "recover")

EVERY_OUTCOME: set[tuple[str, Verdict]] = {
    *((f"/{purpose}/confirm", WRONG_CODE) for purpose in PURPOSES),
    *((f"/{purpose}/{step}", GONE) for purpose in PURPOSES for step in ("confirm", "resend")),
    *((path, GONE) for path in ("/register/login", "/recover/password")),
    *(
        (path, OUT_OF_ORDER)
        for path in ("/register/login", "/register/confirm", "/recover/password", "/recover/confirm")
    ),
    *((f"/{purpose}/resend", (202, "")) for purpose in PURPOSES),
    ("/register/confirm", (201, "")),
    ("/register/confirm", LOGIN_TAKEN),
    ("/register/login", (201, "")),
    ("/register/login", LOGIN_TAKEN),
    ("/login/confirm", (200, "")),
    ("/recover/confirm", (200, "")),
    ("/recover/password", (204, "")),
    ("/recover/password", WEAK),
}
"""What the steps may answer; a run that missed one of these would have proved less than it says."""

COMMON_PASSWORD = "password1"
"""Refused whatever the key is, before the flow is looked at."""

TRIES = {"code": 3, "login": 5, "password": 5}
RESENDS = 5


@dataclass(slots=True, eq=False)
class Account:
    """An account, as its row should be."""

    email: str
    login: str
    password: str
    version: int = 1


@dataclass(slots=True, eq=False)
class Flow:
    """One run of /register, /login or /recover."""

    purpose: str
    email: str
    key: str
    login: str = ""
    password: str = ""
    version: int = 0
    step: str = "code"
    code: str | None = None
    resends: int = 0
    spent: Counter[str] = field(default_factory=Counter)

    def spend(self) -> None:
        """Use up a try of the step; the last one ends the flow."""
        self.spent[self.step] += 1
        if self.spent[self.step] >= TRIES[self.step]:
            self.step = "gone"


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A session key that somebody holds: the right one of a flow, an older one, or one that was made up."""

    text: str
    flow: Flow | None = None

    def opens(self, purpose: str) -> Flow | None:
        """The flow that this key may act on at the calls of a purpose."""
        flow = self.flow
        living = flow is not None and flow.purpose == purpose and flow.key == self.text and flow.step != "gone"
        return flow if living else None


class FlowModel:
    """All accounts; each method foretells one answer and does what the call does."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def is_taken(self, login: str) -> bool:
        return any(account.login.lower() == login.lower() for account in self.accounts.values())

    def by_identifier(self, identifier: str) -> Account | None:
        found = (a for a in self.accounts.values() if identifier.lower() in (a.email, a.login.lower()))
        return next(found, None)

    def gets_a_code(self, flow: Flow) -> bool:
        """Whether the flow's address is one that a code is mailed to."""
        return (flow.email in self.accounts) != (flow.purpose == "register")

    def gets_a_mail(self, flow: Flow) -> bool:
        """Whether it is told of the flow at all: the owner of a taken address is, a stranger at /recover is not."""
        return self.gets_a_code(flow) or flow.purpose == "register"

    def _enter(self, flow: Flow, login: str) -> Verdict:
        flow.step = "gone"
        self.accounts[flow.email] = Account(flow.email, login, flow.password)
        return 201, ""

    def confirm(self, purpose: str, key: Key, code: str) -> Verdict:
        flow = key.opens(purpose)
        if flow is None:
            return GONE
        if flow.step != "code":
            return OUT_OF_ORDER
        if flow.code is None or flow.code != code:
            flow.spend()
            return WRONG_CODE
        return getattr(self, f"_confirm_{purpose}")(flow)  # type: ignore[no-any-return]

    def _confirm_register(self, flow: Flow) -> Verdict:
        if flow.email in self.accounts:
            flow.step = "gone"
            return GONE
        if self.is_taken(flow.login):
            flow.step = "login"
            return LOGIN_TAKEN
        return self._enter(flow, flow.login)

    def _confirm_login(self, flow: Flow) -> Verdict:
        flow.step = "gone"
        # A password changed since the start ends what was opened with the older one.
        return (200, "") if self.accounts[flow.email].version == flow.version else GONE

    def _confirm_recover(self, flow: Flow) -> Verdict:
        flow.step, flow.key = "password", "(told by the answer)"
        flow.version = self.accounts[flow.email].version
        return 200, ""

    def choose_login(self, key: Key, login: str) -> Verdict:
        flow = key.opens("register")
        if flow is None:
            return GONE
        if flow.step != "login":
            return OUT_OF_ORDER
        if flow.email in self.accounts:
            flow.step = "gone"
            return GONE
        if self.is_taken(login):
            flow.spend()
            return LOGIN_TAKEN
        return self._enter(flow, login)

    def choose_password(self, key: Key, password: str) -> Verdict:
        if password == COMMON_PASSWORD:
            return WEAK
        flow = key.opens("recover")
        if flow is None:
            return GONE
        if flow.step != "password":
            return OUT_OF_ORDER
        account = self.accounts[flow.email]
        if account.login in password:
            flow.spend()
            return WEAK
        flow.step = "gone"
        # Another recovery has changed it since the code was given.
        if account.version != flow.version:
            return GONE
        account.password, account.version = password, account.version + 1
        return 204, ""

    def resend(self, purpose: str, key: Key) -> Verdict:
        flow = key.opens(purpose)
        if flow is None:
            return GONE
        if flow.step != "code":
            return OUT_OF_ORDER
        if flow.resends >= RESENDS:
            return 429, "too_soon"
        flow.resends += 1
        return 202, ""
