"""What the operator of the gateway sets."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator

from brightrun.runtime.settings import SliceSettings

ORIGIN = r"https?://[^/,*\s]+"
SECURE_URL = r"^(|https://.+|http://(localhost|127\.0\.0\.1)(:\d+)?(/.*)?)$"
"""Nothing, or a URL that nobody on the way can answer for: HTTPS, or this machine."""


class Settings(SliceSettings):
    """The gateway's settings: where its peer services are, and who may sign up.

    `default_gpu`: the GPU type of jobs that name none, as the OpenAI face has no word for it; the cheapest if not set.

    `signup_open`: whether anybody may open an account. `session_days`: how long a sign-in lasts. `cors_origins`: other
    sites whose pages may call the API, such as `https://lab.example.com`, separated by commas; `*` for all.

    `rate_limit_…`: requests a minute, for each session or key (reads, changes) or address (calls without one), counted
    by each gateway process for itself; 0 is no limit. `trusted_proxies`: addresses and networks, separated by commas,
    whose `X-Forwarded-For` tells the caller's address. `metrics_token`: the bearer token that `/metrics` needs; without
    one nobody can read it.

    `keep_checkpoint_copy_days`: how long a copy of a checkpoint is kept after its last download or submission.

    `oidc_issuer`: the OpenID provider's issuer URL; empty for none. `oidc_client_id`, `oidc_client_secret`: how it
    knows this gateway. `oidc_return_url`: the page that gets the sign-in's code. `oidc_email_domains`: whose addresses
    may sign in, separated by commas; they may open accounts even where sign-up is closed. `oidc_name`: the button.
    """

    artifacts_url: str
    tracker_url: str
    notifier_url: str
    scheduler_url: str
    default_gpu: str = ""
    signup_open: bool = True
    session_days: int = Field(30, ge=1, le=365)
    cors_origins: str = Field("", pattern=rf"^(\*|{ORIGIN}(, *{ORIGIN})*)?$")
    rate_limit_reads: int = Field(3000, ge=0)
    rate_limit_changes: int = Field(600, ge=0)
    rate_limit_anonymous: int = Field(120, ge=0)
    trusted_proxies: str = ""
    metrics_token: SecretStr = SecretStr("")
    oidc_issuer: str = Field("", pattern=SECURE_URL)
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_return_url: str = Field("", pattern=SECURE_URL)
    oidc_email_domains: str = ""
    oidc_name: str = "single sign-on"
    keep_checkpoint_copy_days: float = Field(30.0, gt=0, le=3650)

    @model_validator(mode="after")
    def _complete_provider(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_return_url):
            raise ValueError("oidc_issuer needs oidc_client_id and oidc_return_url")
        return self

    @property
    def email_domains(self) -> frozenset[str]:
        """Whose addresses may sign in with the identity provider; empty for all."""
        return frozenset(filter(None, (domain.strip().lower() for domain in self.oidc_email_domains.split(","))))

    @property
    def session_lifetime(self) -> timedelta:
        """How long a bearer token is valid after sign-in."""
        return timedelta(days=self.session_days)

    @property
    def copy_lifetime(self) -> timedelta:
        """How long a copy of a checkpoint is kept after its last use."""
        return timedelta(days=self.keep_checkpoint_copy_days)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Whose pages may call the API."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one account, network or stream may use at most; tests set less.

    `keys`: of one account, revoked ones not counted. `account_attempts`, `network_attempts`: wrong passwords without a
    pause. `file_bytes`: of a file of `/v1` in one request. A stream sends progress at most each `progress_seconds`,
    asks the tracker each `keepalive_seconds`, or `retry_seconds` after an error, and ends after `stream_seconds`.
    """

    keys: int = 100
    account_attempts: int = 5
    network_attempts: int = 50
    file_bytes: int = 512 * 1024**2
    streams: int = 2000
    streams_per_user: int = 20
    stream_seconds: float = 600.0
    keepalive_seconds: float = 15.0
    retry_seconds: float = 5.0
    progress_seconds: float = 0.1
