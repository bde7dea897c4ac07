"""One statement on one connection."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from poolapp.backends.postgres.native.binding import NULL, bind
from poolapp.backends.postgres.native.rows import as_tuples, decoders
from poolapp.backends.postgres.native.statement import translated


@dataclasses.dataclass(slots=True)
class Result:
    """What a statement gave."""

    rows: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)
    rowcount: int = -1
    description: Any = None


async def run_statement(
    connection: Any, sql: str, params: Sequence[Any] | None, timezone: Any
) -> Result:
    kinds: tuple[str, ...] = ()
    values: list[Any] = []
    if params is not None:
        bound = [bind(each) for each in params]
        kinds = tuple(kind for kind, _ in bound)
        values = [value for kind, value in bound if kind != NULL]
        sql = translated(sql, kinds)
    (records, status, _), statement = await connection._do_execute(
        sql,
        lambda state, timeout: connection._protocol.bind_execute(
            state=state, args=values, portal_name="", limit=0, return_extra=True, timeout=timeout
        ),
        None,
        ignore_custom_codec=True,
    )
    attributes = statement._get_attributes()
    count = status.decode().rpartition(" ")[2] if status else ""
    return Result(
        rows=as_tuples(records, decoders(attributes, timezone)),
        rowcount=int(count) if count.isdigit() else -1,
        description=[(each.name,) for each in attributes] if attributes else None,
    )
