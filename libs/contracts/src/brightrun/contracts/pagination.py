"""Pages of a list, as the cluster API and the public API number them."""

from math import ceil

from brightrun.contracts.values import Value


class Pagination(Value):
    """Which page of a list this is."""

    page: int
    limit: int
    total: int
    totalPages: int  # noqa: N815 - the name in the cluster API

    @classmethod
    def of(cls, page: int, limit: int, total: int) -> "Pagination":
        """Page `page` of `total` items, `limit` on each."""
        return cls(page=page, limit=limit, total=total, totalPages=ceil(total / limit))
