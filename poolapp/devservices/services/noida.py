import http.client
import json
import signal
from pathlib import Path

from poolapp.devservices.exceptions import MissingWheel
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service, package_folder


class Elasticsearch(Service):
    """noida-db, a stand-in that speaks the Elasticsearch API. It knows no passwords."""

    name = "elasticsearch"
    title = "Elasticsearch (noida-db, a stand-in)"
    stop_signal = signal.SIGINT

    def command(self, home: Path, record: Record) -> list[str]:
        return [
            *(str(_binary()), "start", "--data-dir", str(home / "data"), "--host", "127.0.0.1"),
            *("--only", "elasticsearch", "--elasticsearch-port", str(record.port)),
        ]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return Path(executable).name == "noida-db"

    def url(self, record: Record) -> str:
        return f"http://127.0.0.1:{record.port}"

    def probe(self, record: Record) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", record.port, timeout=1.0)
        try:
            connection.request("GET", "/")
            json.loads(connection.getresponse().read())["version"]["number"]
        except (http.client.HTTPException, ValueError, KeyError) as error:
            raise ConnectionError(f"no Elasticsearch answer: {error}") from error
        finally:
            connection.close()


def _binary() -> Path:
    package = package_folder("noida_db")
    if package is None or not (package / "noida-db").is_file():
        raise MissingWheel(Elasticsearch.title, "noida-db")
    return package / "noida-db"
