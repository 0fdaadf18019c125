"""The peer: MLflow's tracking server with the same curve, in an environment that is made for it and thrown away."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from brightrun.local.platform import Platform

PACKAGES = ("mlflow==3.17.2", "psycopg2-binary==2.9.13")
DATABASE = "mlflow"
METRIC = "training_loss"
MAX_PAGE_SIZE = 25_000
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Mlflow:
    """A running server with one run in it."""

    http: httpx.AsyncClient
    run_id: str

    async def sampled(self, max_points: int) -> int:
        """What its own pages ask for: that many points at even distances, without regard to their values."""
        params: dict[str, str | int] = {"run_ids": self.run_id, "metric_key": METRIC, "max_results": max_points}
        answer = await self.http.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", params=params)
        return len(answer.raise_for_status().json()["metrics"])

    async def history(self) -> int:
        """What its API offers programs: every point, page by page."""
        params = {"run_id": self.run_id, "metric_key": METRIC, "max_results": str(MAX_PAGE_SIZE)}
        points = 0
        while True:
            answer = await self.http.get("/api/2.0/mlflow/metrics/get-history", params=params)
            page = answer.raise_for_status().json()
            points += len(page["metrics"])
            if "next_page_token" not in page:
                return points
            params["page_token"] = page["next_page_token"]


@asynccontextmanager
async def mlflow(platform: Platform, losses: Sequence[float]) -> AsyncIterator[Mlflow]:
    """Ready to be measured, in a database of its own on our server; `losses` are of the steps from 1 on."""
    folder = platform.installation.folder("mlflow")
    await _run(sys.executable, "-m", "venv", str(folder / "venv"))
    await _run(str(folder / "venv/bin/pip"), "install", "-qq", *PACKAGES)
    server = f"postgres:{platform.installation.secret('postgres.superuser')}@127.0.0.1:{platform.postgres.port}"
    owner = await asyncpg.connect(f"postgresql://{server}/postgres")
    await owner.execute(f"CREATE DATABASE {DATABASE}")
    await owner.close()
    async with _serving(folder, platform.installation.port("mlflow"), f"{server}/{DATABASE}") as http:
        created = await http.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0", "start_time": 0})
        run_id = created.raise_for_status().json()["run"]["info"]["run_id"]
        await _fill(f"postgresql://{server}/{DATABASE}", run_id, losses)
        yield Mlflow(http, run_id)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")


@asynccontextmanager
async def _serving(folder: Path, port: int, database: str) -> AsyncIterator[httpx.AsyncClient]:
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(folder / "venv/bin/mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"postgresql+psycopg2://{database}", "--artifacts-destination", str(folder),
            env={"PATH": os.environ["PATH"], "HOME": str(folder)}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=300) as http:
            await _answering(http, process)
            yield http
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def _answering(http: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        try:
            (await http.get("/health")).raise_for_status()
        except httpx.HTTPError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            return
    raise RuntimeError(f"mlflow ended with {process.returncode} while it started")


async def _fill(database: str, run_id: str, losses: Sequence[float]) -> None:
    """Write into its table what a million calls of `log_metric` would: they would take ten minutes."""
    conn = await asyncpg.connect(database)
    await conn.copy_records_to_table(
        "metrics",
        records=((METRIC, loss, step, run_id, step, False) for step, loss in enumerate(losses, 1)),
        columns=["key", "value", "timestamp", "run_uuid", "step", "is_nan"],
    )
    await conn.execute("VACUUM ANALYZE metrics")
    await conn.close()
