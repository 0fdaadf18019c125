"""What the operator of the gateway sets."""

from datetime import timedelta

from pydantic import Field

from brightrun.runtime.settings import SliceSettings


class Settings(SliceSettings):
    """The gateway's settings: where its neighbours are, and who may sign up.

    `signup_open`: whether anybody may open an account. `session_days`: how long a sign-in lasts.
    """

    artifacts_url: str
    tracker_url: str
    notifier_url: str
    signup_open: bool = True
    session_days: int = Field(30, ge=1, le=365)

    @property
    def session_lifetime(self) -> timedelta:
        """How long a bearer token is valid after sign-in."""
        return timedelta(days=self.session_days)
