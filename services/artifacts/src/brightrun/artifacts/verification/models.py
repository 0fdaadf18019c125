"""What of a stored model its verification needs."""

from dataclasses import dataclass
from uuid import UUID

from brightrun.artifacts.leases import Lease


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model whose files were stored; `status`: what the last verification found, `stored` or `damaged`."""

    id: UUID
    user_id: UUID
    status: str
    fence: int

    @property
    def lease(self) -> Lease:
        """The lease under which this row was read."""
        return Lease(self.id, self.fence)
