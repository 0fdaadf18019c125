"""The price table."""

from decimal import Decimal

from brightrun.api.models import GpuPrice
from brightrun.runtime.database import Connection, Pool


async def list_gpus(conn: Connection | Pool) -> list[GpuPrice]:
    """The GPU types that can be asked for."""
    rows = await conn.fetch(
        "SELECT type, price_per_hour, tokens_per_second FROM gpu_prices WHERE active ORDER BY price_per_hour, type"
    )
    return [GpuPrice(*row) for row in rows]


async def storage_fee(conn: Connection) -> Decimal:
    """What storing a job's model costs, once."""
    amount: Decimal = await conn.fetchval("SELECT amount FROM fees WHERE name = 'storage'")
    return amount
