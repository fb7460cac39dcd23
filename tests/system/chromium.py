"""Debian's chromium, headless and cut off from every network but this machine's, driven by the DevTools protocol.

The protocol goes over two pipes, so that it needs neither a port nor a library.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.ports import free_port

_FLAGS = (
    "--headless",
    "--no-sandbox",  # chromium's sandbox refuses root, which CI containers are
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en",
    "--hide-scrollbars",
    "--window-size=1200,1000",
    "--remote-debugging-pipe",
    # No name can be looked up, and whatever does not go to this machine goes to a proxy that is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--proxy-bypass-list=127.0.0.1",
)

_REPORT_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
    window.violations.push(`${event.violatedDirective} refused ${event.blockedURI}`));
"""


class BrowserError(Exception):
    """The browser is missing, silent, or not of our opinion."""


class Pipe:
    """JSON messages to and from the browser, a NUL byte after each."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._unread = b""

    def send(self, message: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(message).encode() + b"\0")
        while rest:
            rest = rest[os.write(self._writing, rest) :]

    def receive(self, deadline: float) -> dict[str, Any] | None:
        """The next message, or None when none has come in time."""
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._reading], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            part = os.read(self._reading, 1 << 20)
            if not part:
                raise BrowserError("chromium has gone")
            self._unread += part
        raw, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        return message


class Page:
    """One tab: what a person can do with it, and what it did on the side."""

    def __init__(self, pipe: Pipe, artifacts: Path) -> None:
        self._pipe = pipe
        self._artifacts = artifacts
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.requests: list[str] = []
        """Address of every request that the page, or anything it started, wanted to send."""
        self.complaints: list[str] = []
        """Everything that the console shows as a warning or an error."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=_REPORT_VIOLATIONS)

    def _call(self, method: str, seconds: float = 15, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._pipe.send(message if self._session is None else {**message, "sessionId": self._session})
        deadline = time.monotonic() + seconds
        while (received := self._pipe.receive(deadline)) is not None:
            if received.get("id") != number:
                self._note(received)
            elif "error" in received:
                raise BrowserError(f"{method}: {received['error']['message']}")
            else:
                result: dict[str, Any] = received["result"]
                return result
        raise BrowserError(f"{method} was not answered within {seconds:g} s")

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(told["url"])
            case "Log.entryAdded" if told["entry"]["level"] in ("warning", "error"):
                self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}".strip())
            case "Runtime.consoleAPICalled" if told["type"] in ("warning", "error", "assert"):
                self.complaints.append(" ".join(str(part.get("value", part)) for part in told["args"]))
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))

    def open(self, url: str) -> None:
        """Go to an address."""
        answer = self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = 15) -> Any:
        """The first value of an expression that is not empty."""
        deadline = time.monotonic() + seconds
        while not (value := self.ask(script)):
            if time.monotonic() > deadline:
                self.photograph("gave-up")
                raise BrowserError(f"after {seconds:g} s there is still nothing in: {script}")
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """Press the mouse button in the middle of an element, once the page has come to rest."""
        place = f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            if (!element) return null;
            element.scrollIntoView({{block: "center", behavior: "instant"}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        before, now = None, self.wait_for(place)
        while now != before:
            time.sleep(0.1)
            before, now = now, self.wait_for(place)
        for act in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=act, x=now[0], y=now[1], button="left", clickCount=1)

    def fill(self, selector: str, text: str) -> None:
        """Replace what a field holds, by the keyboard."""
        self.click(selector)
        self.ask(f"document.querySelector({json.dumps(selector)}).select()")
        self._call("Input.insertText", text=text)

    def read(self, selector: str) -> str:
        """The text of an element, as it is shown."""
        text: str = self.wait_for(f"document.querySelector({json.dumps(selector)})?.innerText.trim()")
        return text

    def photograph(self, name: str, selector: str = "body") -> Path:
        """Keep a picture of an element, or of the whole page, from top to bottom."""
        box = self.ask(f"""(() => {{
            const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
            return {{x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1}};
        }})()""")
        picture = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=box)["data"]
        self._artifacts.mkdir(parents=True, exist_ok=True)
        file = self._artifacts / f"{name}.png"
        file.write_bytes(base64.b64decode(picture))
        return file


@contextmanager
def chromium(profile: Path, artifacts: Path) -> Iterator[Page]:
    """A new browser with an empty profile, and its one page; without chromium this fails, it does not skip."""
    program = shutil.which("chromium")
    if program is None:
        raise BrowserError("chromium is missing. On Debian: apt-get install chromium")
    our_reading, its_writing = os.pipe()
    its_reading, our_writing = os.pipe()
    # Chromium reads commands from descriptor 3 and writes answers to 4, wherever ours happen to be.
    command = f'exec "$0" "$@" 3<&{its_reading} 4>&{its_writing}'
    browser = subprocess.Popen(
        [
            "/bin/bash",  # dash redirects single digits only
            "-c",
            command,
            program,
            *_FLAGS,
            f"--proxy-server=127.0.0.1:{free_port()}",
            f"--user-data-dir={profile}",
        ],
        pass_fds=(its_reading, its_writing),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_reading)
    os.close(its_writing)
    try:
        yield Page(Pipe(our_reading, our_writing), artifacts)
    finally:
        # At the end of its commands chromium ends, with all its processes.
        os.close(our_writing)
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
        os.close(our_reading)
