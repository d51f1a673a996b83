"""What a client is told when it gets no answer: the error object of the OpenAI protocol. It never holds a text."""

from __future__ import annotations

from typing import Any

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Problem(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        message: one sentence for whoever wrote the client.
        code: a word for programs.
        param: the field that is wrong.
        retry_after: seconds after which the same request may be answered.
    """

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        """The body."""
        kind = _KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
