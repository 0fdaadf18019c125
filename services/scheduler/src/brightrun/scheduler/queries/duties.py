"""What one scheduler at a time does."""

from datetime import timedelta
from uuid import UUID

from brightrun.runtime.database import Pool


async def hold(pool: Pool, name: str, holder: UUID, lease: timedelta) -> bool:
    """Take the duty, or keep it for longer; False while another holds it."""
    held = await pool.fetchval(
        """
        INSERT INTO duties (name, holder, held_until) VALUES ($1, $2, now() + $3::interval)
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
        WHERE duties.holder = $2 OR duties.held_until < now() RETURNING true
        """,
        name, holder, lease,
    )  # fmt: skip
    return bool(held)


async def release(pool: Pool, holder: UUID) -> None:
    """Let others have all duties of this holder at once."""
    await pool.execute("DELETE FROM duties WHERE holder = $1", holder)
