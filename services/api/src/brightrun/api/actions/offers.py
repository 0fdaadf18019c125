"""What can be had at this moment."""

from brightrun.api.errors import Invalid
from brightrun.api.price_table import Offer
from brightrun.api.queries import prices
from brightrun.api.rules.prices import problems
from brightrun.contracts.training import GpuConfig
from brightrun.runtime.database import Connection


async def take_offer(conn: Connection, gpu: GpuConfig, base_model: str, others: dict[str, list[str]]) -> Offer:
    """The prices of now, read once; refuses what cannot be had, together with the `others` of the order's problems."""
    offer = await prices.read_offer(conn, gpu.type, base_model)
    gpus = [] if offer.gpu else await prices.list_gpus(conn)
    if found := others | problems(offer, gpus):
        raise Invalid(found)
    return offer
