"""What the gateway asks the notifier: users' notifications and webhooks."""

from fastapi import APIRouter

from brightrun.notifier.routes import notifications, webhooks

router = APIRouter()
router.include_router(notifications.router)
router.include_router(webhooks.router)
