"""What a cluster's answers mean."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from brightrun.contracts.training import JobError
from brightrun.contracts.values import Value
from brightrun.scheduler.models import Accepted, Busy, Rejected, Silent, Submission, Unsent

MAX_QUOTE_LENGTH = 200

M = TypeVar("M", bound=BaseModel)


class NoGoodAnswer(Exception):
    """The cluster did not answer, or not with what was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever it means."""

    status: int
    content: bytes

    @property
    def good(self) -> bool:
        """Whether it is a success."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def quote(self) -> str:
        """Its beginning, for logs and messages."""
        return self.content[: 4 * MAX_QUOTE_LENGTH].decode(errors="replace")[:MAX_QUOTE_LENGTH]

    def checked(self) -> "Answer":
        """Itself, if it is a success. Raises NoGoodAnswer."""
        if not self.good:
            raise NoGoodAnswer(f"{self.status}: {self.quote}")
        return self

    def read(self, model: type[M]) -> M:
        """The body of a success. Raises NoGoodAnswer."""
        try:
            return model.model_validate_json(self.checked().content)
        except ValidationError as error:
            raise NoGoodAnswer(f"{model.__name__}: {error.error_count()} faults in {self.quote}") from error


class Refusal(Value):
    """Why the cluster does not take a job, in the house's shape; clusters of others may say less."""

    error: str
    code: str = "rejected_by_cluster"
    details: Any = None


class Taken(Value):
    """The answer to a submission; that other clusters give it a status cannot be relied on."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    external_job_id: str


def submission_of(answer: Answer) -> Submission:
    """What the answer means. A server's own failure may have come after it took the run; a refusal did not."""
    if answer.good:
        return Accepted(answer.read(Taken).external_job_id)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Busy()
    if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        return Rejected(_refusal(answer))
    words = f"{answer.status}: {answer.quote}"
    refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Unsent(words, of_cluster=True) if refused else Silent(words)


def code_of(answer: Answer) -> str | None:
    try:
        return Refusal.model_validate_json(answer.content).code
    except ValidationError:
        return None


def _refusal(answer: Answer) -> JobError:
    try:
        refusal = Refusal.model_validate_json(answer.content)
    except ValidationError:
        refusal = Refusal(error=f"The cluster refused the job: {answer.quote}")
    message = f"{refusal.error} {_in_words(refusal.details)}".strip()
    return JobError(code=refusal.code, message=message, advice="Change the job's configuration and submit it again.")


def _in_words(details: Any) -> str:
    """`{"gpu_config.type": ["this cluster has CPU"]}` as a sentence; any other details as they are."""
    if not isinstance(details, dict):
        return str(details or "")
    problems = {path: said if isinstance(said, list) else [said] for path, said in details.items()}
    return "; ".join(f"{path}: {', '.join(map(str, said))}" for path, said in problems.items())
