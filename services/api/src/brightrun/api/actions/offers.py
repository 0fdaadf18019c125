"""What can be had at this moment."""

from brightrun.api.errors import Invalid, Untrainable
from brightrun.api.price_table import Offer
from brightrun.api.queries import prices
from brightrun.api.rules import feasibility
from brightrun.api.rules.prices import problems
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.runtime.database import Connection


async def take_offer(
    conn: Connection,
    gpu: GpuConfig,
    spec: TrainingSpec,
    others: dict[str, list[str]],
    examples: int | None = None,
) -> Offer:
    """The prices of now, read once; refuses what cannot be had, together with the `others` of the order's problems.

    `examples`: how many the data set has, where that is known.
    """
    offer = await prices.read_offer(conn, gpu.type, spec.base_model)
    gpus = [] if offer.gpu else await prices.list_gpus(conn)
    found = others | problems(offer, gpus)
    untrainable = feasibility.problems(spec, gpu, offer.shape_of(spec.base_model), examples)
    if found:
        raise Invalid(untrainable | found)
    if untrainable:
        raise Untrainable(untrainable)
    return offer
