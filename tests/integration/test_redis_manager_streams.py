"""RedisManager: a long stream takes little memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.valkey import Valkey

FOLDER = Path(__file__).parents[2]

# As the manager writes them, and a hundred times as fast.
FILL = """
local text = '"' .. string.rep('x', 100) .. '"'
for number = 1, ARGV[1] do
  local digits = string.format('%.0f', number)
  local first = string.gsub(digits, '0+$', '')
  local head = string.format('12%010.0f', 5000000000 + #digits - 1) .. first
  redis.call('HSET', '{authors}:d:' .. digits, 'id', digits, 'name', text, '', 'version')
  redis.call('ZADD', '{authors}:p', 0, head .. '\\0' .. head .. '\\0' .. digits)
end
redis.call('SET', '{authors}:c', '=')
"""


def megabytes(url: str, count: int) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.stream_redis", url, str(count)],
        cwd=FOLDER,
        env={**os.environ, "PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


async def test_a_stream_of_200_000_documents_takes_less_than_100_megabytes(tmp_path: Path) -> None:
    async with Valkey(tmp_path) as server:
        few = await asyncio.to_thread(megabytes, server.url, 0)
        await server.admin.eval(FILL, 0, 200_000)
        many = await asyncio.to_thread(megabytes, server.url, 200_000)
    # What the imports of the tests take is no part of it.
    assert many < 100 or many - few < 25, f"{few} MB before, {many} MB with them"
