"""The cluster API over HTTP: the original's four endpoints and what this cluster adds."""

from fastapi import APIRouter, Depends

from brightrun.cluster.routes import files, generation, logs, machine, runs
from brightrun.cluster.routes.parameters import check_key

router = APIRouter(prefix="/training", dependencies=[Depends(check_key)])
for part in (runs, files, logs, machine, generation):
    router.include_router(part.router)

open_router = APIRouter()
for opened in (files, machine):
    open_router.include_router(opened.open_router)
