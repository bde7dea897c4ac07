"""Requests to one index, and the server's refusals as Django's exceptions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from django.db import DataError, NotSupportedError, OperationalError, ProgrammingError

from poolapp.core.exceptions import BackendUnavailable
from poolapp.core.registry import pools
from poolapp.core.resilience import repeat_delay

ATTEMPTS: Final = 6
"""Times that something is sent which the server has no room for (429): five waits, of up to 0.1,
0.2, 0.4, 0.8 and 1.6 s."""

OUTAGES: Final = frozenset({502, 503, 504})
"""Statuses of a server, or of what stands before it, that can't answer now."""

BUSY: Final = 429

Body = dict[str, Any]


class MissingIndex(ProgrammingError):
    """The index is not there yet: ``manage.py poolensure`` makes it."""


class ExpiredSearch(OperationalError):
    """A stream was left alone for longer than the server keeps its place."""


class Index:
    """One index, or alias, in the server of a pool."""

    def __init__(self, alias: str, name: str) -> None:
        self.alias = alias
        self.name = name
        self.path = f"/{quote(name, safe='')}"

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        timeout: float | None = None,
        repeatable: bool = True,
        expected: tuple[int, ...] = (),
    ) -> tuple[int, Any]:
        """The status and the body of an answer; ``path`` is that from the server's root.

        What the server has no room for is sent again after a while. Other refusals raise, unless
        they are ``expected``: MissingIndex, ExpiredSearch, DataError (400), NotSupportedError for
        what this server does not have, OperationalError, BackendUnavailable.
        """
        attempt = 1
        while True:
            pool: Any = pools[self.alias]
            answer = await pool.ask(
                method, path, params=params, body=body, timeout=timeout, repeatable=repeatable
            )
            status = answer.status
            if status != BUSY:
                break
            if attempt == ATTEMPTS:
                raise BackendUnavailable(
                    f"pool {self.alias!r}: Elasticsearch has had no room for a request for "
                    f"{ATTEMPTS} times: {reason_of(answer.body)}"
                )
            await asyncio.sleep(repeat_delay(attempt, random.random))
            attempt += 1
        if not 200 <= status < 300 and status not in expected:
            raise self.refusal(status, answer.body)
        return status, answer.body

    async def search(self, body: Body, **how: Any) -> Any:
        """The answer to a search. Half an answer, of some of the shards, is none."""
        params = {"allow_partial_search_results": "false", **how.pop("params", {})}
        path = "/_search" if "pit" in body else f"{self.path}/_search"
        _, found = await self.ask("POST", path, params=params, body=body, **how)
        if found.get("timed_out"):
            raise BackendUnavailable(f"pool {self.alias!r}: Elasticsearch ran out of time")
        return found

    def refusal(self, status: int, body: Any) -> Exception:
        """What to raise for an answer that is none."""
        kind, reason = type_of(body), reason_of(body)
        where = f"Elasticsearch {self.name!r}"
        if kind == "index_not_found_exception":
            return self.missing()
        if kind == "search_context_missing_exception":
            return ExpiredSearch(
                f"{where}: the place in a long result was given up by the server, because nobody "
                "asked for more for minutes; begin again, and do the slow work elsewhere"
            )
        if status in OUTAGES:
            return BackendUnavailable(
                f"pool {self.alias!r}: Elasticsearch can't answer ({status}): {reason}"
            )
        if "nknown aggregation type" in reason or "nknown query [" in reason:
            return NotSupportedError(f"{where}: this server lacks something: {reason}")
        if status in (401, 403):
            return OperationalError(f"{where}: not allowed ({status}): {reason}")
        if status == 400:
            return DataError(f"{where}: {reason}")
        return OperationalError(f"{where}: refused ({status}): {reason}")

    def missing(self) -> MissingIndex:
        return MissingIndex(
            f"there is no Elasticsearch index {self.name!r} in pool {self.alias!r}; make it with "
            f"'manage.py poolensure {self.alias}'"
        )


def type_of(body: Any) -> str:
    """The server's own name of what is wrong: that of the cause, where it tells one."""
    error = _error_of(body)
    causes = error.get("root_cause") or [error]
    cause = error.get("caused_by", {})
    return str(cause.get("type") or causes[0].get("type") or error.get("type") or "")


def reason_of(body: Any) -> str:
    """The server's own words, the innermost last."""
    error = _error_of(body)
    words: list[str] = []
    causes = error.get("root_cause") or [{}]
    each: Any = {**causes[0], **error}
    while isinstance(each, dict) and len(words) < 5:
        reason = each.get("reason")
        if reason and reason not in ("all shards failed", *words):
            words.append(str(reason))
        each = each.get("caused_by")
    return ": ".join(words)[:1000] or str(error.get("type") or body)[:300]


def _error_of(body: Any) -> dict[str, Any]:
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {"reason": str(error or body)}
