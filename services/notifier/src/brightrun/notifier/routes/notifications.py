"""Internal reads and marks: a user's notifications."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from brightrun.notifier.queries import notifications as queries
from brightrun.notifier.schemas import MarkedView, NotificationsView, NotificationView
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

router = APIRouter(prefix="/notifications")


@router.get("")
async def list_notifications(
    caller: CallerOf, pool: Db, unread: bool = False, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Envelope[NotificationsView]:
    """The user's newest notifications, or the newest unread ones."""
    async with pool.acquire() as conn:
        newest = await queries.list_newest(conn, caller.user, unread_only=unread, limit=limit)
        unread_count = await queries.count_unread(conn, caller.user)
    views = [NotificationView.model_validate(notification) for notification in newest]
    return Envelope(data=NotificationsView(notifications=views, unread_count=unread_count))


@router.patch("/{notification_id}/read")
async def mark_read(notification_id: UUID, caller: CallerOf, pool: Db) -> Envelope[NotificationView]:
    """Mark one as read; once more changes nothing."""
    async with transaction(pool) as conn:
        notification = await queries.mark_read(conn, caller.user, notification_id)
    if notification is None:
        raise NotFound
    return Envelope(data=NotificationView.model_validate(notification))


@router.post("/read-all")
async def mark_all_read(caller: CallerOf, pool: Db) -> Envelope[MarkedView]:
    """Mark all of the user's notifications as read."""
    async with transaction(pool) as conn:
        marked = await queries.mark_all_read(conn, caller.user)
    return Envelope(data=MarkedView(marked=marked))
