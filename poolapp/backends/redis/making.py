"""From an alias's configuration to its client."""

from __future__ import annotations

import os
import random
import re
from typing import Any

from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import FullJitterBackoff, NoBackoff

from poolapp.backends.redis.clients import Client, PooledCluster, PooledRedis
from poolapp.backends.redis.connections import (
    Register,
    SentinelTcpConnection,
    SentinelTlsConnection,
    TcpConnection,
    TlsConnection,
    UnixConnection,
)
from poolapp.backends.redis.options import CLUSTER_OPTIONS, SENTINEL_OPTIONS
from poolapp.backends.redis.target import Target, target
from poolapp.core.config import PoolConfig
from poolapp.core.resilience import RetryBudget

try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:  # before redis-py 7
    MaintNotificationsConfig = None  # type: ignore[assignment,misc]

SOCKET_TIMEOUT = 5.0
"""Seconds without an answer after which a command fails; redis-py's default from version 8 on."""

HEALTH_CHECK_INTERVAL = 30
"""Seconds of silence after which a connection is asked for a PONG before it is used."""

CLUSTER_RETRIES = 3


def make(config: PoolConfig) -> Client:
    """The client of an alias; connects to nothing. May take a while: it loads certificates."""
    where = target(config)
    arguments = _arguments(config, where)
    if where.kind == "cluster":
        return _cluster(where, arguments)
    if where.kind == "sentinel":
        return _behind_sentinels(where, arguments)
    return _alone(where, arguments)


def make_for_messages(config: PoolConfig) -> PooledRedis:
    """A client with one connection, for pub/sub; of a cluster, to one of its nodes at random, since
    a message reaches all of them."""
    where = target(config)
    arguments = _arguments(config, where)
    # Silence is what is expected there: the reader looks after the connection by itself.
    arguments |= {"max_connections": 1, "socket_timeout": None, "health_check_interval": 0}
    # Without it redis-py connects again before it tells of a loss.
    arguments["retry"] = Retry(NoBackoff(), 0, supported_errors=())
    for name in ("retry_on_error", "retry_on_timeout"):
        arguments.pop(name, None)
    if where.kind == "sentinel":
        return _behind_sentinels(where, arguments)
    if where.kind == "cluster":
        for name in CLUSTER_OPTIONS:
            arguments.pop(name, None)
        where = where.replace(hosts=(random.choice(where.hosts),))
    return _alone(where, arguments)


def _arguments(config: PoolConfig, where: Target) -> dict[str, Any]:
    given = {**config.options, **where.query}
    arguments: dict[str, Any] = {
        # redis-py refuses spaces, and the server all that is not printable.
        "client_name": re.sub(r"[^!-~]", "_", f"poolapp:{config.alias}:{os.getpid()}"),
        "health_check_interval": HEALTH_CHECK_INTERVAL,
        "max_connections": config.max_size,
        "socket_connect_timeout": config.connect_timeout
        / (len(where.hosts) if where.kind == "cluster" else 1),
        "socket_timeout": SOCKET_TIMEOUT,
    }
    if where.db is not None:
        arguments["db"] = where.db
    if where.kind != "unix":
        arguments["socket_keepalive"] = True
    if where.tls:
        arguments["ssl_check_hostname"] = True  # redis-py before version 6 did not
    if MaintNotificationsConfig is not None:
        # With them on, redis-py does not notice that an idle connection was closed.
        arguments["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    if where.username is not None:
        arguments["username"] = where.username
    if where.password is not None:
        arguments["password"] = where.password.reveal()
    return {**arguments, **given}


def _client(pool: ConnectionPool, register: Register, *others: Register) -> PooledRedis:
    client: Any = PooledRedis.from_pool(pool)
    client.registers = (register, *others)
    if not {"retry", "retry_on_error", "retry_on_timeout"} & pool.connection_kwargs.keys():
        client.repeats = RetryBudget(capacity=max(10.0, pool.max_connections))
    made: PooledRedis = client
    return made


def _alone(where: Target, arguments: dict[str, Any]) -> PooledRedis:
    register = Register()
    if where.kind == "unix":
        place: dict[str, Any] = {"connection_class": UnixConnection, "path": where.path}
    else:
        ((host, port),) = where.hosts
        kind = TlsConnection if where.tls else TcpConnection
        place = {"connection_class": kind, "host": host, "port": port}
    pool = ConnectionPool(register=register, **place, **arguments)
    client = _client(pool, register)
    _load_certificates(pool.connection_class, pool.connection_kwargs, register)
    return client


def _behind_sentinels(where: Target, arguments: dict[str, Any]) -> PooledRedis:
    register, sentinels = Register(), Register()
    own = {name: arguments.pop(name) for name in SENTINEL_OPTIONS if name in arguments}
    alike = ("socket_", "ssl_")
    asking = {name: value for name, value in arguments.items() if name.startswith(alike)}
    kind = TlsConnection if where.tls else TcpConnection
    # Each is asked once, and has its share of the time, so that one that is silent leaves some to
    # the others and to the server.
    share = arguments["socket_connect_timeout"] / (len(where.hosts) + 1)
    asking |= {"socket_connect_timeout": share, "socket_timeout": share}
    asking |= {"retry": Retry(NoBackoff(), 0), "ssl": where.tls}
    asking |= own.pop("sentinel_kwargs", None) or {}
    if not asking["ssl"]:
        kind = TcpConnection
        asking = {name: value for name, value in asking.items() if not name.startswith("ssl")}
    manager = Sentinel(  # type: ignore[no-untyped-call]
        where.hosts,
        sentinel_kwargs=asking,
        min_other_sentinels=own.pop("min_other_sentinels", 0),
        force_master_ip=own.pop("force_master_ip", None),
    )
    for each in manager.sentinels:
        each.connection_pool.connection_class = kind
        each.connection_pool.connection_kwargs["register"] = sentinels
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        where.service,
        manager,
        connection_class=SentinelTlsConnection if where.tls else SentinelTcpConnection,
        register=register,
        **own,
        **arguments,
    )
    client = _client(pool, register, sentinels)
    _load_certificates(pool.connection_class, pool.connection_kwargs, register)
    if asking.get("ssl"):
        asked = manager.sentinels[0].connection_pool
        _load_certificates(asked.connection_class, asked.connection_kwargs, sentinels)
    return client


def _cluster(where: Target, arguments: dict[str, Any]) -> PooledCluster:
    register = Register()
    if not {"retry", "cluster_error_retry_attempts"} & arguments.keys():
        # The client finds its way to a new primary by trying again.
        arguments["retry"] = Retry(FullJitterBackoff(cap=1.0, base=0.05), CLUSTER_RETRIES)
    client = PooledCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in where.hosts],
        ssl=where.tls,
        **arguments,
    )
    kind = TlsConnection if where.tls else TcpConnection
    manager = client.nodes_manager
    manager.connection_kwargs |= {"connection_class": kind, "register": register}
    for node in manager.startup_nodes.values():
        node.connection_class = kind
        node.connection_kwargs["register"] = register
    client.registers = (register,)
    first = next(iter(manager.startup_nodes.values()))
    _load_certificates(kind, first.connection_kwargs, register)
    return client


def _load_certificates(kind: Any, arguments: dict[str, Any], register: Register) -> None:
    """Have the TLS context made here, which is no event loop's thread."""
    if issubclass(kind, SSLConnection):
        kind(**arguments)
        register.tls.get()
