"""Dependencies of routes are coroutines: FastAPI would run a plain function in a thread."""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

SERVICES = ("api", "artifacts", "cluster", "notifier", "scheduler", "tracker", "web")


def _routes(service: str) -> Iterator[APIRoute]:
    package = import_module(f"brightrun.{service}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".routes" in module.name:
            for router in vars(import_module(module.name)).values():
                if isinstance(router, APIRouter):
                    yield from (route for route in router.routes if isinstance(route, APIRoute))


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for dependency in dependant.dependencies:
        yield from _calls(dependency)


def _is_asynchronous(call: Any) -> bool:
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (call, getattr(call, "__call__", None))  # noqa: B004 - a security scheme is called as an object
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_dependency_needs_a_thread(service: str) -> None:
    calls = {call for route in _routes(service) for call in _calls(route.dependant)}

    assert calls
    assert [call for call in calls if not _is_asynchronous(call)] == []
