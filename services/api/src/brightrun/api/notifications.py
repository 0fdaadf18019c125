"""Notifications, which the notifier owns."""

from uuid import UUID

from fastapi import APIRouter

from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.http.bodies import JsonObject, Passed
from brightrun.api.http.parameters import Clients, Limit
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=BoundedRoute)


class Notifications(Passed):
    """The newest notifications, and how many are unread in all."""

    notifications: list[JsonObject]
    unread_count: int


@router.get("", summary="Your notifications, newest first")
async def list_notifications(
    user: Reader, clients: Clients, unread: bool = False, limit: Limit = 20
) -> Envelope[Notifications]:
    """All of them, or the unread ones."""
    found = await clients.notifier.get("/notifications", user.id, unread=unread, limit=limit)
    for notification in found["notifications"]:
        notification["user_id"] = str(user.id)
    return Envelope(data=found)


@router.patch("/{notification_id}/read", summary="Mark a notification as read")
async def read_notification(notification_id: UUID, user: Trainer, clients: Clients) -> Envelope[JsonObject | None]:
    """Idempotent."""
    return Envelope(data=await clients.notifier.send("PATCH", f"/notifications/{notification_id}/read", user.id))


@router.post("/read-all", summary="Mark all notifications as read")
async def read_all_notifications(user: Trainer, clients: Clients) -> Envelope[JsonObject | None]:
    """All that exist now."""
    return Envelope(data=await clients.notifier.send("POST", "/notifications/read-all", user.id))
