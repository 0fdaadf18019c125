"""HTTP in."""

from fastapi import APIRouter

from brightrun.scheduler.routes import admin, callbacks, queue

router = APIRouter()
router.include_router(callbacks.router)
router.include_router(queue.router)
router.include_router(admin.router)
