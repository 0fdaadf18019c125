"""Notifications: passed on to the notifier, which owns them."""

from uuid import UUID

from fastapi import APIRouter

from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Limit, Others, Reader, Trainer
from brightrun.api.schemas.body import JsonObject
from brightrun.api.schemas.passed import Notifications
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=BoundedRoute)


@router.get("", summary="Your notifications, newest first")
async def list_notifications(
    user: Reader, others: Others, unread: bool = False, limit: Limit = 20
) -> Envelope[Notifications]:
    """All of them, or the unread ones."""
    return Envelope(data=await others.notifier.get("/notifications", user.id, unread=unread, limit=limit))


@router.patch("/{notification_id}/read", summary="Mark a notification as read")
async def read_notification(notification_id: UUID, user: Trainer, others: Others) -> Envelope[JsonObject | None]:
    """Marking it twice is as good as once."""
    return Envelope(data=await others.notifier.send("PATCH", f"/notifications/{notification_id}/read", user.id))


@router.post("/read-all", summary="Mark all notifications as read")
async def read_all_notifications(user: Trainer, others: Others) -> Envelope[JsonObject | None]:
    """Those that there are by now."""
    return Envelope(data=await others.notifier.send("POST", "/notifications/read-all", user.id))
