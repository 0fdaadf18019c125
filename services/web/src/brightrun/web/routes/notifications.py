"""Notifications: read them and mark them as read."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from brightrun.web import pages
from brightrun.web.api import SignedIn

router = APIRouter(prefix="/notifications")


@router.get("")
async def show_notifications(request: Request, api: SignedIn) -> Response:
    """The newest ones."""
    page = await api.get("/api/notifications", limit=50)
    return pages.render(request, "notifications.html", notifications=page["notifications"], unread=page["unread_count"])


@router.post("/read-all")
async def read_all(api: SignedIn) -> Response:
    """Mark all as read."""
    await api.send("POST", "/api/notifications/read-all")
    return pages.go("/notifications")


@router.post("/{notification_id}/read")
async def read_one(api: SignedIn, notification_id: UUID) -> Response:
    """Mark one as read."""
    await api.send("PATCH", f"/api/notifications/{notification_id}/read")
    return pages.go("/notifications")
