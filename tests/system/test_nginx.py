"""nginx.conf as it is, in front of two real app processes: what it lets through, as what, and what it says itself."""

from __future__ import annotations

import json
import re
import socket
import ssl

import httpx
import pytest

from commands import self_signed_certificate
from tests.support.servers.nginx import Nginx, statuses
from tests.support.service.process import fresh_address
from tests.support.service.slow_limits import RECOVERIES, a_recovery, forwarded
from tests.system.conftest import OUTER_PROXY

pytestmark = pytest.mark.system

OUTSIDE = "127.66.0.1"
OPERATOR = "127.77.3.4"

CLOSED = (
    "/metrics",
    "/metrics/",
    "/%6detrics",
    "/./metrics",
    "/docs/../metrics",
    "/metrics?a=/docs",
    "/health/ready",
    "/health/%72eady",
    "/health%2fready",
    "/admin/roles",
    "/admin",
    "/%61dmin/roles",
    "/x/../admin/roles",
    "/admin%2froles",
)


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal, which must be problem details with the headers that all answers have."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems/{body['code']}"
    return answer.status_code, body["code"]


def raw_get(target: str, *headers: str, host: str = "localhost", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


# Port 80, port 443.


def test_port_80_shows_persons_the_way_and_tells_programs_that_they_were_heard_by_all(
    nginx: Nginx, public: Nginx
) -> None:
    with nginx.client(nginx.http) as client, public.client(public.http) as of_a_domain:
        for method in ("GET", "HEAD"):
            moved = client.request(method, "/docs?a=b", headers={"Host": "localhost"})
            assert (moved.status_code, moved.headers["Location"]) == (308, "https://localhost/docs?a=b")
            moved = of_a_domain.request(method, "/docs?a=b", headers={"Host": "evil.example"})
            assert moved.headers["Location"] == "https://auth.example.com/docs?a=b"
            assert "Strict-Transport-Security" not in moved.headers
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert problem(client.request(method, "/login", json={"password": "x"})) == (403, "forbidden")


def test_port_80_hands_out_what_lets_encrypt_asks_for_and_no_other_file(nginx: Nginx) -> None:
    folder = nginx.folder / "run/acme/.well-known/acme-challenge"
    folder.mkdir(parents=True)
    (folder / "token").write_text("proof")
    with nginx.client(nginx.http) as client:
        assert client.get("/.well-known/acme-challenge/token").text == "proof"
        assert problem(client.get("/.well-known/acme-challenge/other")) == (404, "not_found")
    out = nginx.raw(raw_get("/.well-known/acme-challenge/..%2f..%2f..%2fnginx.pid"))
    assert statuses(out) != [200]


@pytest.mark.parametrize(("version", "is_spoken"), [("TLSv1_1", 0), ("TLSv1_2", 1), ("TLSv1_3", 1)])
def test_tls_is_1_2_or_1_3_with_http_2_and_nothing_older(version: str, is_spoken: int, nginx: Nginx) -> None:
    context = nginx.trust()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", nginx.https), timeout=5) as line:
        if not is_spoken:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(line, server_hostname="localhost")
            return
        with context.wrap_socket(line, server_hostname="localhost") as tls:
            assert tls.selected_alpn_protocol() == "h2"
            assert tls.version() == version.replace("_", ".")


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA"])
def test_no_cipher_without_forward_secrecy_and_none_of_the_old_kind(cipher: str, nginx: Nginx) -> None:
    context = nginx.trust()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", nginx.https), timeout=5) as line,
        pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"),
    ):
        context.wrap_socket(line, server_hostname="localhost")


def test_plain_http_at_the_port_of_https_is_told_so(nginx: Nginx) -> None:
    with nginx.client(nginx.https) as client:
        assert problem(client.get("/docs")) == (400, "bad_request")


def test_a_new_certificate_is_used_from_the_next_handshake_on(nginx: Nginx) -> None:
    before = ssl.get_server_certificate(("127.0.0.1", nginx.https))
    with nginx.client() as client:
        assert client.get("/health/live").status_code == 200
        renewed = self_signed_certificate.make(None)
        for name, pem in (("privkey.pem", renewed.key), ("fullchain.pem", renewed.certificate)):
            (nginx.folder / "new").write_bytes(pem)
            (nginx.folder / "new").replace(nginx.folder / "tls" / name)
        # The connection that is open goes on.
        assert client.get("/health/live").status_code == 200
    assert ssl.get_server_certificate(("127.0.0.1", nginx.https)) == renewed.certificate.decode() != before
    with nginx.client() as client:
        assert client.get("/health/live").status_code == 200


# What answers say.


def test_every_answer_has_the_headers_of_an_api_and_says_nothing_of_what_serves_it(nginx: Nginx, public: Nginx) -> None:
    with nginx.client() as client, public.client(public.local) as of_a_domain:
        for answer in (client.get("/health/live"), client.get("/nowhere"), client.get("/metrics")):
            for name in ("Cache-Control", "Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options"):
                assert len(answer.headers.get_list(name)) == 1, name
            assert answer.headers["Server"] == "nginx"
            assert "Strict-Transport-Security" not in answer.headers
        assert "script-src 'self'" in client.get("/docs").headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in of_a_domain.get("/health/live").headers
    context = ssl.create_default_context(cafile=str(public.folder / "tls/fullchain.pem"))
    with (
        socket.create_connection(("127.0.0.1", public.https), timeout=5) as line,
        context.wrap_socket(line, server_hostname="auth.example.com") as tls,
    ):
        tls.sendall(raw_get("/health/live", host="auth.example.com"))
        received = b"".join(iter(lambda: tls.recv(65_536), b""))
    assert received.lower().count(b"strict-transport-security: max-age=31536000; includesubdomains") == 1


def test_nginx_names_a_request_whatever_the_client_calls_it_and_so_does_the_log(nginx: Nginx) -> None:
    address = fresh_address()
    with nginx.client(address=address) as client:
        answer = client.get("/health/live?token=canary-in-a-query", headers={"X-Request-Id": "a" * 32})
    [name] = answer.headers.get_list("X-Request-Id")
    assert name != "a" * 32
    [line] = nginx.lines(name, 1)
    assert (line["client"], line["path"], line["status"]) == (address, "/health/live", "200")
    assert "canary" not in nginx.log()


def test_what_nginx_refuses_itself_is_told_as_problem_details(nginx: Nginx) -> None:
    with nginx.client() as client:
        assert problem(client.get("/" + "x" * 9_000)) == (414, "uri_too_long")
        assert problem(client.get("/docs", headers={"X-Long": "x" * 9_000})) == (431, "header_too_large")
        assert problem(client.request("TRACE", "/docs")) == (405, "method_not_allowed")
        assert problem(client.get("/of-nginx")) == (404, "not_found")
    for request in (
        raw_get("/docs", host="x/y?z"),
        raw_get("/docs", host="a b"),
        b"GET /docs HTTP/1.1\r\n\r\n",
        b"\x16\x03\r\n\r\n",
    ):
        received = nginx.raw(request)
        assert statuses(received) == [400]
        assert b'"code":"bad_request"' in received


def test_row_54_a_large_body_is_refused_before_it_is_read(nginx: Nginx) -> None:
    large = b"x" * 10_000_000
    with nginx.client() as client:
        assert problem(client.post("/login", content=large)) == (413, "body_too_large")
    chunked = b"POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + b"x" * 20_000
    assert statuses(nginx.raw(chunked)) == [413]


def test_who_calls_too_often_is_told_when_to_come_back(nginx: Nginx) -> None:
    with nginx.client() as client:
        answers = [client.get("/health/live") for _ in range(80)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 1 <= len(refused) < 40
    assert {problem(answer) for answer in refused} == {(429, "too_many_requests")}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}


# Who calls.

LIES = (
    forwarded("198.51.100.7"),
    forwarded("203.0.113.1", "198.51.100.7", "127.0.0.1"),
    forwarded("unknown"),
    forwarded(*(f"10.0.{number}.1" for number in range(250))),
    {"X-Real-IP": "198.51.100.7", "True-Client-IP": "198.51.100.7", "CF-Connecting-IP": "198.51.100.7"},
    {"Forwarded": 'for=198.51.100.7;proto=https, for="[2001:db8::7]"'},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "1"},
    {"x_forwarded_for": "198.51.100.7", "X-Original-Forwarded-For": "198.51.100.7"},
)


def test_row_21_no_header_moves_the_429_by_one_and_the_log_has_the_true_address(nginx: Nginx) -> None:
    address = fresh_address()
    with nginx.client(address=address) as client:
        answers = [
            client.post("/recover", json=a_recovery()[1], headers=LIES[number % len(LIES)])
            for number in range(RECOVERIES + 5)
        ]
    assert [answer.status_code for answer in answers] == [202] * RECOVERIES + [429] * 5
    # It is the app that has counted them, all as one caller's.
    assert all(int(answer.headers["Retry-After"]) > 1 for answer in answers[-5:])
    assert len(nginx.lines(f'"client":"{address}"', RECOVERIES + 5)) == RECOVERIES + 5
    assert "198.51.100.7" not in nginx.log()


def test_row_21_of_two_proxies_the_outer_one_is_believed_where_it_is_named_and_nobody_else(public: Nginx) -> None:
    client_address = "203.0.113.77"
    with public.client(public.local, OUTER_PROXY) as proxy, public.client(public.local) as stranger:
        for _ in range(RECOVERIES):
            hops = forwarded("198.51.100.1", client_address)
            assert proxy.post("/recover", json=a_recovery()[1], headers=hops).status_code == 202
        # His bucket is empty, whoever he says has sent him; another client of the proxy has one of his own.
        assert proxy.post("/recover", json=a_recovery()[1], headers=forwarded(client_address)).status_code == 429
        assert proxy.post("/recover", json=a_recovery()[1], headers=forwarded("203.0.113.78")).status_code == 202
        assert stranger.post("/recover", json=a_recovery()[1], headers=forwarded(client_address)).status_code == 202


def test_row_22_one_64_is_one_caller_to_nginx_too(public: Nginx) -> None:
    with public.client(public.local, OUTER_PROXY) as proxy:
        of_one = [
            proxy.get("/health/live", headers=forwarded(f"2001:db8:22:1:{number:x}::1")).status_code
            for number in range(90)
        ]
        of_many = [
            proxy.get("/health/live", headers=forwarded(f"2001:db8:23:{number:x}::1")).status_code
            for number in range(1, 91)
        ]
    assert 429 in of_one
    assert set(of_many) == {200}


def test_row_23_no_other_spelling_of_a_path_is_a_way_around_a_limit(nginx: Nginx) -> None:
    address = fresh_address()

    def recover(target: str, *, host: str = "localhost") -> int:
        body = json.dumps(a_recovery()[1])
        headers = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        request = raw_get(target, *headers, host=host, method="POST") + body.encode()
        [status] = statuses(nginx.raw(request, address=address))
        return status

    for _ in range(RECOVERIES):
        assert recover("/recover") == 202
    for alias in ("/%72ecover", "/./recover", "/x/../recover", "//recover", "/recover/", "/recover?x", "/RECOVER"):
        assert recover(alias) in (404, 429), alias
    assert recover(f"http://localhost:{nginx.local}/recover") in (400, 429)
    for host in ("x/y?z", "localhost/recover?", "a@b", "localhost:99999999"):
        assert recover("/recover", host=host) in (400, 429), host


# What is not for everybody.


@pytest.mark.parametrize("target", CLOSED)
def test_what_is_the_operators_is_closed_from_outside_however_it_is_spelled(target: str, public: Nginx) -> None:
    # By the outer proxy, the way strangers come; the operator's network comes the same way.
    [stranger] = statuses(public.raw(raw_get(target, f"X-Forwarded-For: {OUTSIDE}"), address=OUTER_PROXY))
    assert stranger == 403
    [operator] = statuses(public.raw(raw_get(target, f"X-Forwarded-For: {OPERATOR}"), address=OUTER_PROXY))
    assert operator in (200, 401, 404)


def test_nothing_is_open_to_the_outside_as_shipped(nginx: Nginx) -> None:
    with nginx.client() as client:
        for target in ("/metrics", "/health/ready", "/admin/roles"):
            assert problem(client.get(target)) == (403, "forbidden")
        assert client.get("/health/live").status_code == 200


def test_the_operator_sees_all_on_this_machines_loopback_and_who_was_passed_on_to_it_does_not(nginx: Nginx) -> None:
    with nginx.client(nginx.local) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/health/ready").status_code == 200
        assert client.get("/admin/roles").status_code == 401
        for passed_on in (forwarded("198.51.100.1"), {"Forwarded": "for=198.51.100.1"}):
            assert problem(client.get("/metrics", headers=passed_on)) == (403, "forbidden")
