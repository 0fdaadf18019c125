"""What a cluster's responses mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from brightrun.contracts.training import JobError
from brightrun.contracts.values import Value

MAX_QUOTE_LENGTH = 200
ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE, HTTPStatus.NOT_IMPLEMENTED)
"""A cluster has no such thing, has it no more, or has no such endpoint."""

M = TypeVar("M", bound=BaseModel)


class ClusterError(Exception):
    """The cluster did not respond, or not as its API says.

    `str` is for users: it shows no address, which may carry a signature. `detail`, in `repr`, is for operators.
    `status` is the response's, if there was one.
    """

    def __init__(self, message: str, detail: str = "", status: int | None = None) -> None:
        super().__init__(message, *([detail] if detail else []))
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cluster has a run of the attempt, new or from an earlier submission."""

    external_job_id: str


@dataclass(frozen=True, slots=True)
class Busy:
    """The cluster has no free GPUs; nothing runs."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The attempt can never run as it is."""

    error: JobError


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The cluster certainly does not have the run: it cannot be reached, or it denies access."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No usable response; after a submission the cluster may have the run or not."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A run's status as the cluster reports it, unchecked."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """The cluster does not know the run."""


Submission = Accepted | Busy | Rejected | Undelivered | Unanswered
StatusResponse = Reported | Missing | Unanswered


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response of any status."""

    status: int
    content: bytes

    @property
    def ok(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def quote(self) -> str:
        """The beginning of the body, for logs and messages."""
        return self.content[: 4 * MAX_QUOTE_LENGTH].decode(errors="replace")[:MAX_QUOTE_LENGTH]

    def checked(self) -> "Response":
        """Itself, if it is a success. Raises ClusterError."""
        if not self.ok:
            raise ClusterError(f"the cluster answered {self.status}", self.quote, self.status)
        return self

    def read(self, model: type[M]) -> M:
        """The body of a success. Raises ClusterError."""
        try:
            return model.model_validate_json(self.checked().content)
        except ValidationError as error:
            message = f"the cluster's {model.__name__} has {error.error_count()} errors"
            raise ClusterError(message, self.quote) from error


class ErrorBody(Value):
    """Why the cluster rejects a job, as our clusters say it; other clusters may say less."""

    error: str
    code: str = "rejected_by_cluster"
    details: Any = None


class SubmittedBody(Value):
    """The response to a submission, as far as every cluster gives it."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    external_job_id: str


def submission_of(response: Response) -> Submission:
    """What the response means. A server error may come after the server took the run; a client error does not."""
    if response.ok:
        return Accepted(response.read(SubmittedBody).external_job_id)
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Busy()
    if response.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        return Rejected(_job_error(response))
    reason = f"{response.status}: {response.quote}"
    denied = HTTPStatus.BAD_REQUEST <= response.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Undelivered(reason) if denied else Unanswered(reason)


def code_of(response: Response) -> str | None:
    """The error code in the body, if there is one."""
    try:
        return ErrorBody.model_validate_json(response.content).code
    except ValidationError:
        return None


def _job_error(response: Response) -> JobError:
    try:
        body = ErrorBody.model_validate_json(response.content)
    except ValidationError:
        body = ErrorBody(error=f"The cluster refused the job: {response.quote}")
    message = f"{body.error} {_sentence(body.details)}".strip()
    return JobError(code=body.code, message=message, advice="Change the job's configuration and submit it again.")


def _sentence(details: Any) -> str:
    """`{"gpu_config.type": ["this cluster has CPU"]}` as a sentence; any other details as they are."""
    if not isinstance(details, dict):
        return str(details or "")
    problems = {path: messages if isinstance(messages, list) else [messages] for path, messages in details.items()}
    return "; ".join(f"{path}: {', '.join(map(str, messages))}" for path, messages in problems.items())
