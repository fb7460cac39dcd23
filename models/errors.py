"""Every refusal of the service, one line each; `api/problems.py` turns them into HTTP answers (RFC 9457)."""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """A refusal that the client may read; its subclasses are all refusals of the service."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    advice: ClassVar[str | None]
    """What the client can do, where that is the same in every case."""

    def __init_subclass__(cls, *, status: int, code: str, title: str, advice: str | None = None) -> None:
        cls.status, cls.code, cls.title, cls.advice = status, code, title, advice

    def __init__(self, detail: str | None = None, *, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.advice
        self.headers = headers or {}
        self.members = members


# Steps of a flow.
class WrongCode(ServiceError, status=400, code="wrong_code", title="The code is wrong."): ...


class CodeReplaced(ServiceError, status=400, code="code_replaced", title="Another code is on its way."): ...


class StepOutOfOrder(ServiceError, status=409, code="step_out_of_order", title="This step is not the next one."): ...


class LoginTaken(ServiceError, status=409, code="login_taken", title="This login is taken."): ...


class FlowGone(ServiceError, status=410, code="flow_gone", title="This session key is no longer valid."): ...


# Authentication.
class BadCredentials(ServiceError, status=401, code="bad_credentials", title="The login or the password is wrong."): ...


class WrongPassword(ServiceError, status=403, code="wrong_password", title="The current password is wrong."): ...


class AccountBlocked(ServiceError, status=403, code="account_blocked", title="This account is blocked."): ...


class InvalidAccessToken(ServiceError, status=401, code="invalid_token", title="The access token is not valid."): ...


class InvalidGrant(
    ServiceError,
    status=400,
    code="invalid_grant",
    title="This refresh token is no longer valid.",
    advice="Log in again.",
): ...


class InvalidClient(
    ServiceError, status=401, code="invalid_client", title="The service's name or secret is wrong."
): ...


class InvalidForm(ServiceError, status=400, code="invalid_request", title="The form is not valid."): ...


class SessionNotFound(
    ServiceError,
    status=404,
    code="session_not_found",
    title="This session does not exist.",
    advice="GET /me/sessions lists the active ones.",
): ...


# Administration.
class UserNotFound(ServiceError, status=404, code="user_not_found", title="This user does not exist."): ...


class LastAdministrator(
    ServiceError,
    status=409,
    code="last_administrator",
    title="This is the last administrator.",
    advice="Assign the role admin to another user first.",
): ...


class EmailTaken(ServiceError, status=409, code="email_taken", title="This e-mail address has an account."): ...


class MailNotFound(
    ServiceError,
    status=404,
    code="mail_not_found",
    title="This mail does not exist.",
    advice="It was sent meanwhile, or its dead letter was deleted after two weeks.",
): ...


class RoleNotFound(
    ServiceError,
    status=404,
    code="role_not_found",
    title="This role does not exist.",
    advice="GET /admin/roles lists the existing ones.",
): ...


class PermissionNotFound(
    ServiceError,
    status=404,
    code="permission_not_found",
    title="This permission does not exist.",
    advice="GET /admin/permissions lists the existing ones.",
): ...


class UnknownPermission(
    ServiceError,
    status=422,
    code="unknown_permission",
    title="One of the permissions does not exist.",
    advice="Create it first with POST /admin/permissions.",
): ...


class RoleExists(ServiceError, status=409, code="role_exists", title="A role with this name exists already."): ...


class PermissionExists(
    ServiceError, status=409, code="permission_exists", title="A permission with this name exists already."
): ...


class BuiltIn(ServiceError, status=409, code="built_in", title="This is built in and cannot be changed."): ...


class TooManyPermissions(
    ServiceError, status=409, code="too_many_permissions", title="A token cannot hold more permissions."
): ...


class TooManyRoles(ServiceError, status=409, code="too_many_roles", title="A token cannot hold more roles."): ...


class InsufficientScope(
    ServiceError,
    status=403,
    code="insufficient_scope",
    title="A permission is missing.",
    advice="You lack the permission, the target user is more privileged than you, or you tried to grant something you "
    "do not have.",
): ...


# Requests.
class InvalidRequest(ServiceError, status=422, code="invalid_request", title="The request is not valid."): ...


class WeakPassword(ServiceError, status=422, code="weak_password", title="This password is too easy to guess."): ...


class UnsupportedMediaType(
    ServiceError, status=415, code="unsupported_media_type", title="The body must be application/json."
): ...


class BodyTooLarge(ServiceError, status=413, code="body_too_large", title="The body is larger than 16 kB."): ...


# Limits and availability.
class TooSoon(ServiceError, status=429, code="too_soon", title="It is too early for another code."): ...


class TooManyRequests(ServiceError, status=429, code="too_many_requests", title="Too many requests."):
    """A limit is reached; the answer depends neither on the account nor on whether the password was right."""

    def __init__(self, detail: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(detail or "Wait for Retry-After seconds.", headers={"Retry-After": str(retry_after)})


class Unavailable(ServiceError, status=503, code="unavailable", title="The service cannot answer at the moment."):
    """A server that we depend on is unavailable, or a queue is full; the client should try again."""

    def __init__(self, detail: str | None = None, *, retry_after: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})
