"""Changes of the price table."""

from uuid import UUID

from brightrun.api.errors import Invalid
from brightrun.api.price_table import BaseModelTerms, Kind, PriceChange, Terms
from brightrun.api.queries import prices
from brightrun.api.rules.prices import taken_names
from brightrun.runtime.database import Connection


async def set_terms(
    conn: Connection, admin_id: UUID, kind: Kind, name: str, terms: Terms, *, active: bool = True
) -> PriceChange:
    """Let the terms hold from now on; jobs keep what they were promised. Terms that hold already change nothing."""
    await prices.change_one_at_a_time(conn)
    if isinstance(terms, BaseModelTerms) and active:
        await _refuse_taken_names(conn, name, terms)
    current = await prices.find_current(conn, kind, name)
    if current and (current.active, type(terms).model_validate(current.terms)) == (active, terms):
        return current
    return await prices.insert_change(conn, kind, name, terms, admin_id, active=active)


async def _refuse_taken_names(conn: Connection, name: str, terms: BaseModelTerms) -> None:
    if taken := taken_names(name, terms, await prices.list_base_models(conn)):
        raise Invalid({"aliases": [f"another base model is called {taken_name}" for taken_name in taken]})
