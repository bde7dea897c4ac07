"""The SMTP backend of docs/backends.md, as it stands there, on a real SMTP server."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

import aiosmtpd.smtp
import aiosmtplib
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from poolapp import BackendUnavailable, InvalidPoolError, pools
from tests.real import eventually, heard

DOC = Path(__file__).resolve().parents[2] / "docs/backends.md"
MODULE = "shop_mail"
PASSWORD = "p@ss:/#w%41rd"
MESSAGE = b"Subject: Hello\r\n\r\nHow are you?"


def blocks() -> list[str]:
    """The section's Python code."""
    section = DOC.read_text().partition("\n## Anything else\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


class MailServer:
    """Takes mail, and refuses wrong passwords."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.sessions: list[aiosmtpd.smtp.SMTP] = []
        self.commands: list[str] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def _session(self) -> aiosmtpd.smtp.SMTP:
        session = aiosmtpd.smtp.SMTP(
            self,
            authenticator=self._authenticate,
            auth_require_tls=False,
            hostname="localhost",
        )
        self.sessions.append(session)
        return session

    def _authenticate(
        self, server: object, session: object, envelope: object, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        good = data == LoginPassword(b"shop", PASSWORD.encode())
        return AuthResult(success=good, handled=False)

    @property
    def open(self) -> int:
        return sum(each.transport is not None for each in self.sessions)

    def cut(self) -> None:
        for each in self.sessions:
            if each.transport is not None:
                each.transport.abort()

    # What aiosmtpd calls.

    async def handle_NOOP(self, *details: object) -> str:  # noqa: N802
        self.commands.append("NOOP")
        return "250 OK"

    async def handle_RSET(self, *details: object) -> str:  # noqa: N802
        self.commands.append("RSET")
        return "250 OK"

    async def handle_QUIT(self, *details: object) -> str:  # noqa: N802
        self.commands.append("QUIT")
        return "221 Bye"

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as made:
        yield made


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The dotted path of the documented class."""
    module = types.ModuleType(MODULE)
    exec(blocks()[0], module.__dict__)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return f"{MODULE}.SmtpBackend"


@pytest.fixture
async def mail(settings: Any, backend: str, server: MailServer) -> AsyncIterator[Any]:
    """``mail(password=...)``: the pool, declared in the settings."""

    def declare(password: str = PASSWORD, **changes: object) -> Any:
        settings.POOLS = {
            "mail": {
                "BACKEND": backend,
                "LOCATION": f"smtp://shop:{password.replace('%', '%25')}@127.0.0.1:{server.port}",
                "MAX_SIZE": 2,
                "OPTIONS": {"timeout": 5},
                **changes,
            }
        }
        return pools["mail"]

    yield declare
    await pools.remove("mail")


async def send(pool: Any, number: int) -> None:
    async with pool.acquire() as smtp:
        await smtp.sendmail(f"shop{number}@example.com", ["ann@example.com"], MESSAGE)


def test_the_documented_backend_is_as_short_as_it_says() -> None:
    code = blocks()[0].partition("class SmtpBackend")[2]
    statements = [line for line in code.splitlines() if line.strip()]
    assert len(statements) <= 30


async def test_mails_are_sent_over_a_few_connections(mail: Any, server: MailServer) -> None:
    pool = mail()
    await asyncio.gather(*(send(pool, number) for number in range(20)))
    assert len(server.mails) == 20
    assert len(server.sessions) == 2
    await pools.remove("mail")
    assert (server.commands.count("RSET"), server.commands.count("QUIT")) == (20, 2)

    async def closed() -> bool:
        return server.open == 0

    await eventually(closed)


async def test_what_idled_is_checked_and_what_is_dead_replaced(
    mail: Any, server: MailServer
) -> None:
    pool = mail(CHECK_AFTER=0, MAX_SIZE=1)

    async def idle() -> bool:
        return bool(pool.idle)

    await send(pool, 1)
    await eventually(idle)
    await send(pool, 2)
    await eventually(idle)
    assert server.commands == ["RSET", "NOOP", "RSET"]
    server.cut()
    await send(pool, 3)
    assert len(server.mails) == 3
    assert len(server.sessions) == 2


async def test_a_borrower_who_is_cancelled_leaves_no_reply_to_the_next(
    mail: Any, server: MailServer
) -> None:
    pool = mail(MAX_SIZE=1)
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def slow(*details: object) -> str:
        arrived.set()
        await answer.wait()
        return "250 slow"

    server.handle_NOOP = slow  # type: ignore[method-assign]

    async def borrow() -> None:
        async with pool.acquire() as smtp:
            await smtp.noop()

    with heard("mail") as events:
        borrower = asyncio.create_task(borrow())
        await arrived.wait()
        borrower.cancel()
        await events.until(lambda: events.lost_count)
        answer.set()
    await send(pool, 1)
    assert len(server.mails) == 1


async def test_a_wrong_password_is_told_at_once_and_not_shown(mail: Any) -> None:
    pool = mail("hunter2", ACQUIRE_TIMEOUT=60)
    with pytest.raises(BackendUnavailable, match="SMTPAuthenticationError") as caught:
        await send(pool, 1)
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_is_gone_is_an_outage(mail: Any, server: MailServer) -> None:
    pool = mail(ACQUIRE_TIMEOUT=0.2, BREAKER={"FAILURES": 1})
    await server.__aexit__()
    with pytest.raises(BackendUnavailable, match="SMTPConnectError"):
        await send(pool, 1)


async def test_a_url_of_something_else_is_a_fault(mail: Any) -> None:
    with pytest.raises(InvalidPoolError, match=r"starts with smtp:// or smtps://"):
        mail(LOCATION="http://shop@127.0.0.1")


def test_loops_that_end_without_a_close_leave_no_connection(settings: Any, backend: str) -> None:
    """Scenario 31: twenty times ``asyncio.run``, against a server on a loop of its own."""
    server = MailServer()
    with asyncio.Runner() as runner:
        runner.run(server.__aenter__())
        location = f"smtp://shop:{PASSWORD.replace('%', '%25')}@127.0.0.1:{server.port}"
        settings.POOLS = {"mail": {"BACKEND": backend, "LOCATION": location, "MAX_SIZE": 2}}

        async def visit() -> None:
            await send(pools["mail"], 1)

        async def visits() -> None:
            for _ in range(20):
                await asyncio.to_thread(asyncio.run, visit())

            async def gone() -> bool:
                return server.open == 0

            await eventually(gone)

        runner.run(visits())
        assert len(server.mails) == 20
        runner.run(server.__aexit__())


# -- by plain functions ----------------------------------------------------------------------------


async def test_the_documented_functions_are_enough(server: MailServer) -> None:
    code = next(block for block in blocks() if "pools.register(" in block)
    code = code.replace('"mail.example.com", port=587', f'"127.0.0.1", port={server.port}')
    code = code.replace(
        "aiosmtplib.SMTP(", f"aiosmtplib.SMTP(username='shop', password={PASSWORD!r}, "
    )
    exec(code, {"aiosmtplib": aiosmtplib, "pools": pools})
    try:
        await asyncio.gather(*(send(pools["mail"], number) for number in range(20)))
        assert len(server.mails) == 20
        assert len(server.sessions) == 4
    finally:
        await pools.remove("mail")
    assert (server.commands.count("RSET"), server.commands.count("QUIT")) == (20, 4)


async def test_a_keyword_that_means_nothing_is_an_invalid_pool() -> None:
    with pytest.raises(InvalidPoolError, match="did you mean 'max_size'"):
        pools.register("mail", create=aiosmtplib.SMTP().connect, maxsize=4)
    assert "mail" not in pools
