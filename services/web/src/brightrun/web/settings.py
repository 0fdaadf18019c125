"""What the operator of the pages sets."""

from pydantic import Field, SecretStr

from brightrun.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """`web_secret` signs the session cookie; `web_https` says that browsers come over HTTPS, and only so.

    `metrics_token`: the bearer token that `/metrics` needs; without one nobody can read it.
    """

    api_url: str
    web_secret: SecretStr = Field(min_length=32)
    web_https: bool = False
    metrics_token: SecretStr = SecretStr("")
