"""A small WebSocket server: what one client says all hear, and once a second the machine's load.

Run as `python -m poolapp.devservices.feed --port P --password-file F`; its user is `poolapp`.
Every message is a JSON object with a `topic`: `load` are its own, the rest are the clients'.
A client of the path `/publish` speaks and hears nothing.
"""

import argparse
import asyncio
import json
import logging
import signal
from pathlib import Path

import psutil
from websockets.asyncio.server import ServerConnection, basic_auth, broadcast, serve
from websockets.exceptions import ConnectionClosed

from poolapp.devservices.services.feed import USER

EVERY = 1.0
PUBLISH = "/publish"
LONGEST_MESSAGE = 64 * 1024

logger = logging.getLogger("poolapp.devservices.feed")


class Feed:
    def __init__(self) -> None:
        self._clients: set[ServerConnection] = set()

    async def serve_client(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.path != PUBLISH:
            self._clients.add(connection)
        try:
            async for message in connection:
                if _has_topic(message):
                    broadcast(self._clients, message)
                else:
                    await connection.close(1003, "a message is a JSON object with a topic")
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(connection)

    async def tell_load(self) -> None:
        psutil.cpu_percent()  # the first answer, of no time at all, means nothing
        while True:
            await asyncio.sleep(EVERY)
            broadcast(self._clients, json.dumps(_load()))


def _has_topic(message: str | bytes) -> bool:
    try:
        found = json.loads(message)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("topic"), str)


def _load() -> dict[str, object]:
    """Shares in percent."""
    return {
        "topic": "load",
        "cpu": psutil.cpu_percent(),
        "memory": psutil.virtual_memory().percent,
        "one_minute": round(psutil.getloadavg()[0], 2),
    }


async def run(port: int, password: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    feed = Feed()
    async with serve(
        feed.serve_client,
        "127.0.0.1",
        port,
        max_size=LONGEST_MESSAGE,
        process_request=basic_auth("feed", credentials=(USER, password)),
    ):
        logger.info("Listening on port %d", port)
        telling = asyncio.create_task(feed.tell_load())
        await stopping.wait()
        telling.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password-file", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    # A client that goes while it shakes hands, or a probe that only knocks, is no error of ours.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    asyncio.run(run(options.port, options.password_file.read_text()))


if __name__ == "__main__":
    main()
