import importlib.util
import os
import sys
from pathlib import Path

from poolapp.devservices.exceptions import MissingWheel
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service, is_python_module

USER = "poolapp"
_MODULE = "poolapp.devservices.feed"


class Feed(Service):
    """A WebSocket server that passes messages on and tells the machine's load."""

    name = "feed"
    title = "Live feed (WebSocket)"
    probe_modules = ("websockets.sync.client",)

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        super().prepare(home, record, log)
        file = home / "password"
        file.unlink(missing_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as opened:
            opened.write(record.password)

    def command(self, home: Path, record: Record) -> list[str]:
        if importlib.util.find_spec("websockets") is None:
            raise MissingWheel(self.title, "websockets")
        return [
            *(sys.executable, "-m", _MODULE),
            *("--port", str(record.port), "--password-file", str(home / "password")),
        ]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return is_python_module(_MODULE, executable, arguments)

    def url(self, record: Record) -> str:
        return f"ws://{USER}:{record.password}@127.0.0.1:{record.port}/"

    def probe(self, record: Record) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        try:
            with connect(self.url(record), open_timeout=1.0, close_timeout=1.0, proxy=None):
                pass
        except WebSocketException as error:
            raise ConnectionError(f"no WebSocket: {error}") from error
