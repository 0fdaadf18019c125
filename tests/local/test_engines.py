"""The embedded engines are durable, isolate the services, and run side by side with others."""

import asyncio
import socket
import subprocess
from io import BytesIO
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from minio import Minio
from minio.error import S3Error

from brightrun.local.engines import ROLES, ApacheKafka, ObjectStore, Postgres, TansuBroker
from brightrun.local.engines.object_store import _weed
from brightrun.local.errors import StartError
from brightrun.local.installation import Installation
from tests.waiting import GENEROUS_SECONDS


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


async def test_rows_outlive_a_crash_of_postgres(home: Installation) -> None:
    with Postgres(home) as engine:
        await run_sql(engine, "tracker", "CREATE TABLE points (step int); INSERT INTO points VALUES (7)")
        engine.kill()
        engine.start()
        assert await read_value(engine, "tracker", "SELECT step FROM points") == 7


def test_objects_outlive_a_restart_of_the_store(home: Installation) -> None:
    with ObjectStore(home) as engine:
        client_of(engine).put_object("lora-models", "adapter", BytesIO(b"weights"), 7)
    with ObjectStore(Installation(home.home)) as engine:
        assert client_of(engine).get_object("lora-models", "adapter").read() == b"weights"


def test_a_stranger_reads_and_changes_nothing_in_the_store(object_store: ObjectStore) -> None:
    client_of(object_store).put_object("lora-models", "private/adapter", BytesIO(b"weights"), 7)
    folder = "/buckets/lora-models/private"
    for part, path in (("filer", f"{folder}/"), ("filer", f"{folder}/adapter"), ("master", "/dir/assign")):
        with httpx.Client(base_url=f"http://127.0.0.1:{object_store._ports[part]}") as stranger:
            answers = [stranger.request(method, path).status_code for method in ("GET", "PUT", "POST", "DELETE")]
        assert set(answers) <= {401, 404, 405}, (path, answers)
    with httpx.Client(base_url=object_store.endpoint) as stranger:
        assert stranger.get("/lora-models/private/adapter").status_code == 403
    shell = [_weed(), "shell", *(f"-{part}=127.0.0.1:{object_store._ports[part]}" for part in ("master", "filer"))]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as stranger_shell:
        try:
            output, _ = stranger_shell.communicate(f"fs.ls {folder}\nfs.rm {folder}/adapter\nexit\n", timeout=5)
            assert "adapter" not in output
        except subprocess.TimeoutExpired:
            stranger_shell.kill()  # it waits for a master that speaks to strangers
    assert client_of(object_store).get_object("lora-models", "private/adapter").read() == b"weights"


def test_only_the_account_of_the_platform_enters_its_folders(home: Installation) -> None:
    with ObjectStore(home):
        pass
    folders = [path for path in home.home.iterdir() if path.is_dir()]
    files = [path for path in home.home.rglob("*") if path.is_file()]
    assert len(folders) > 2
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert not [path for path in files if path.parent == home.home and path.stat().st_mode & 0o077]


async def test_messages_outlive_a_crash_of_the_embedded_broker(home: Installation) -> None:
    with ObjectStore(home) as store, TansuBroker(home, store) as engine:
        await send(engine, b"fact")
        engine.kill()
        engine.start()
        assert await receive(engine) == b"fact"


@pytest.mark.parametrize("role", ROLES)
async def test_a_service_owns_the_schema_of_its_name(postgres: Postgres, role: str) -> None:
    assert await read_value(postgres, role, "SELECT current_schema()") == role


async def test_a_service_cannot_read_the_tables_of_another(postgres: Postgres) -> None:
    await run_sql(postgres, "api", "CREATE TABLE IF NOT EXISTS secrets (word text)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await read_value(postgres, "tracker", "SELECT word FROM api.secrets")
    await run_sql(postgres, "api", "DROP TABLE secrets")


async def test_no_service_can_use_the_public_schema(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run_sql(postgres, "scheduler", "CREATE TABLE public.notes (word text)")


async def test_the_database_rejects_a_wrong_password(postgres: Postgres) -> None:
    url = postgres.url("api").replace(":", ":x", 2).replace(":x//", "://", 1)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


def test_the_store_rejects_a_wrong_key(object_store: ObjectStore) -> None:
    stranger = Minio(object_store.address, object_store.access_key, "guessed", secure=False, region=object_store.region)
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        stranger.list_buckets()


async def test_two_installations_run_side_by_side(tmp_path: Path) -> None:
    first_home, second_home = Installation(tmp_path / "first"), Installation(tmp_path / "second")
    with (
        Postgres(first_home) as first,
        Postgres(second_home) as second,
        ObjectStore(first_home) as store,
        ObjectStore(second_home) as empty,
    ):
        await run_sql(first, "api", "CREATE TABLE mine (n int)")
        client_of(store).put_object("lora-datasets", "mine", BytesIO(b"x"), 1)
        assert await read_value(second, "api", "SELECT to_regclass('api.mine')") is None
        assert list(client_of(empty).list_objects("lora-datasets")) == []


def test_ports_and_secrets_are_kept_over_restarts(home: Installation) -> None:
    again = Installation(home.home)
    assert (again.port("x"), again.secret("x")) == (home.port("x"), home.secret("x"))
    assert (home.home / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_port_that_is_in_use_is_replaced(home: Installation) -> None:
    port = home.port("x")
    with socket.create_server(("127.0.0.1", port)):
        assert Installation(home.home).port("x") != port


def test_an_engine_that_cannot_start_reports_the_cause(home: Installation) -> None:
    engine = Postgres(home)
    with (
        socket.create_server(("127.0.0.1", engine.port)),
        pytest.raises(StartError, match="postgres ended while starting"),
    ):
        engine.start()


def test_a_folder_without_apache_kafka_is_rejected(home: Installation, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no bin/kafka-server"):
        ApacheKafka(home, tmp_path)


async def run_sql(engine: Postgres, role: str, sql: str) -> None:
    connection = await asyncpg.connect(engine.url(role))
    await connection.execute(sql)
    await connection.close()


async def read_value(engine: Postgres, role: str, sql: str) -> object:
    connection = await asyncpg.connect(engine.url(role))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def client_of(store: ObjectStore) -> Minio:
    return Minio(store.address, store.access_key, store.secret_key, secure=False, region=store.region)


async def send(engine: TansuBroker, body: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=engine.bootstrap, acks="all") as producer:
        await producer.send_and_wait("facts", body)


async def receive(engine: TansuBroker) -> bytes | None:
    consumer = AIOKafkaConsumer("facts", bootstrap_servers=engine.bootstrap, auto_offset_reset="earliest")
    async with consumer:
        record = await asyncio.wait_for(consumer.getone(), GENEROUS_SECONDS)
    body: bytes | None = record.value
    return body
