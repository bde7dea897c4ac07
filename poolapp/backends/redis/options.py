"""What may be wrong with a Redis alias, found without connecting."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from poolapp.backends.hints import option_hint
from poolapp.backends.judging import is_count, is_positive
from poolapp.backends.redis.target import Target, target
from poolapp.core.backend import Problem
from poolapp.core.config import PoolConfig

SENTINEL_OPTIONS = frozenset(
    {"check_connection", "force_master_ip", "is_master", "min_other_sentinels", "sentinel_kwargs"}
)
"""Options of redis-py's Sentinel and of its pool."""

CLUSTER_OPTIONS = frozenset(
    {
        "address_remap", "cluster_error_retry_attempts", "dynamic_startup_nodes",
        "load_balancing_strategy", "policy_resolver", "read_from_replicas", "reinitialize_steps",
        "require_full_coverage",
    }
)  # fmt: skip
"""Options of redis-py's RedisCluster alone."""

_TLS_OPTIONS = frozenset(
    {
        "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
        "ssl_check_hostname", "ssl_ciphers", "ssl_exclude_verify_flags",
        "ssl_include_verify_flags", "ssl_keyfile", "ssl_min_version", "ssl_password",
    }
)  # fmt: skip

_TCP_OPTIONS = frozenset({"socket_keepalive", "socket_keepalive_options", "socket_type"})

_KNOWN = frozenset(
    {
        "client_name", "credential_provider", "db", "decode_responses", "driver_info",
        "encoder_class", "encoding", "encoding_errors", "health_check_interval",
        "legacy_responses", "lib_name",
        "lib_version", "maint_notifications_config", "max_connections", "parser_class", "password",
        "protocol", "redis_connect_func", "retry", "retry_on_error", "retry_on_timeout",
        "socket_connect_timeout", "socket_read_size", "socket_timeout", "username",
        *_TCP_OPTIONS, *_TLS_OPTIONS,
    }
)  # fmt: skip
"""Options of redis-py's connections and their pool, of versions 5.2 to 8. What is not here is
looked up in the installed one, whose import takes a quarter of a second."""

_ELSEWHERE = {
    "auto_close_connection_pool": "the pool closes its client by itself",
    "cache_config": "redis-py's asynchronous client has no client-side cache",
    "connection_class": "the scheme of LOCATION chooses it",
    "connection_pool": "the pool makes its own",
    "connection_pool_class": "the pool makes its own",
    "event_dispatcher": "the pool makes its own",
    "host": "write the host into LOCATION",
    "max_size": "use MAX_SIZE of the alias",
    "path": "write 'unix:///path/of/the.sock' as LOCATION",
    "pool_class": "the pool makes its own",
    "port": "write the port into LOCATION",
    "register": "it is the pool's own",
    "sentinels": "write 'redis+sentinel://host1,host2/service' as LOCATION",
    "service_name": "write 'redis+sentinel://host1,host2/service' as LOCATION",
    "serializer": "it is an option of the cache: write it into CACHES",
    "single_connection_client": "the client is shared: hold what must stay together in a pipeline",
    "ssl": "write 'rediss://' in LOCATION",
    "startup_nodes": "write 'redis+cluster://host1,host2' as LOCATION",
    "timeout": "use 'socket_timeout', or ACQUIRE_TIMEOUT of the alias",
    "unix_socket_path": "write 'unix:///path/of/the.sock' as LOCATION",
    "url": "give the URL as LOCATION",
}
"""Names that belong elsewhere."""

_EXAMPLES = (
    "Write 'redis://host:6379/0', 'rediss://...' for TLS, 'unix:///path/of/the.sock', "
    "'redis+sentinel://host1,host2/service/0' or 'redis+cluster://host1,host2'."
)


def problems(config: PoolConfig) -> Iterator[Problem]:
    try:
        found = target(config)
    except ImportError:  # whoever asks reports a missing driver by itself
        return
    except ValueError as error:
        yield Problem(setting="LOCATION", message=str(error), hint=_location_hint(config, error))
        found = None
    yield from _option_problems(config, found)
    if found is not None:
        yield from _query_problems(found)
        yield from _conflicts(config, found)


def _location_hint(config: PoolConfig, error: ValueError) -> str:
    said = str(error)
    if "differ" in said:
        return "Several URLs name several Sentinels or nodes; the rest is the same in each of them."
    if "more than one server" in said:
        return (
            "Several are written 'redis+sentinel://host1,host2/service' or "
            "'redis+cluster://host1,host2'; servers that know nothing of one another are an alias "
            "each."
        )
    if "port" in said:
        return f"{_EXAMPLES} Percent-encode '/', '?' and '#' in a password."
    return _EXAMPLES


def _query_problems(found: Target) -> Iterator[Problem]:
    known = _allowed(found)
    for name in found.query:
        if name not in known and not _is_elsewhere_known(name, found):
            yield Problem(
                setting="LOCATION",
                message=f"has the parameter {name!r}, which {_refusal(name, found)}",
                hint=_hint(name, known),
            )


def _option_problems(config: PoolConfig, found: Target | None) -> Iterator[Problem]:
    known = _KNOWN | SENTINEL_OPTIONS | CLUSTER_OPTIONS if found is None else _allowed(found)
    for name, value in config.options.items():
        if name in _ELSEWHERE or (name not in known and not _is_elsewhere_known(name, found)):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message=_refusal(name, found),
                hint=_hint(name, known),
            )
        elif name in _EXPECTED and value is not None and not _EXPECTED[name][0](value):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message=f"must be {_EXPECTED[name][1]}",
                hint=f"It is {type(value).__name__!r} now, or out of range.",
            )


def _is_elsewhere_known(name: str, found: Target | None) -> bool:
    """Whether the installed driver has an option that this module was written without."""
    if name in _KNOWN | SENTINEL_OPTIONS | CLUSTER_OPTIONS:
        return found is None
    return name in _client_options()


def _refusal(name: str, found: Target | None) -> str:
    if found is not None:
        if name in _TLS_OPTIONS:
            return "says how to speak TLS, which this LOCATION does not"
        if name in SENTINEL_OPTIONS:
            return "is for a LOCATION of Sentinels"
        if name in CLUSTER_OPTIONS:
            return "is for a LOCATION of a cluster"
        if name in _KNOWN:
            return f"has no meaning for a LOCATION of this kind ({found.kind})"
    return "is not an option of redis.asyncio.Redis"


def _allowed(found: Target) -> frozenset[str]:
    known = _KNOWN
    if not found.tls:
        known -= _TLS_OPTIONS
    if found.kind == "unix":
        known -= _TCP_OPTIONS
    if found.kind == "sentinel":
        known |= SENTINEL_OPTIONS
    if found.kind == "cluster":
        known = (known | CLUSTER_OPTIONS) - {
            "db", "encoder_class", "parser_class", "redis_connect_func", "retry_on_timeout",
            "socket_type",
        }  # fmt: skip
    return known


def _hint(name: str, known: frozenset[str]) -> str:
    if name in _TLS_OPTIONS and name not in _ELSEWHERE:
        return "Write 'rediss://' in LOCATION, or remove it."
    return option_hint(name, known, _ELSEWHERE)


def _conflicts(config: PoolConfig, found: Target) -> Iterator[Problem]:
    options = config.options
    for name in ("username", "password", "db"):
        in_url = {"username": found.username, "password": found.password, "db": found.db}[name]
        if options.get(name) is not None and (in_url is not None or name in found.query):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message="stands in LOCATION too",
                hint="Keep one of them.",
            )
    for name in found.query:
        if name in options and name not in ("username", "password", "db"):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message="stands in LOCATION too",
                hint="Keep one of them.",
            )
    given = [name for name in ("username", "password") if options.get(name) is not None]
    if found.username is not None or found.password is not None:
        given.append("the user or password in LOCATION")
    if options.get("credential_provider") is not None and given:
        yield Problem(
            setting="OPTIONS['credential_provider']",
            message=f"excludes {' and '.join(given)}",
            hint="Keep one of them.",
        )
    most = {**options, **found.query}.get("max_connections")
    if isinstance(most, int) and most < config.max_size:
        yield Problem(
            setting="OPTIONS['max_connections']",
            message=f"is {most}, below MAX_SIZE ({config.max_size})",
            hint="Remove it: redis-py would refuse connections to those who hold a lease.",
        )


def _client_options() -> frozenset[str]:
    try:
        from redis.asyncio import Redis
    except ImportError:
        return frozenset()
    own = {"self", *_ELSEWHERE}
    return frozenset(inspect.signature(Redis).parameters) - own


def _is_interval(value: object) -> bool:
    return is_positive(value) or value == 0


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "db": (is_count, "the number of a database, 0 or more"),
    "decode_responses": (lambda value: isinstance(value, bool), "True or False"),
    "health_check_interval": (_is_interval, "a number of seconds, or 0 for never"),
    "max_connections": (is_count, "a number of connections"),
    "protocol": (lambda value: value in (2, 3), "2 or 3"),
    "sentinel_kwargs": (_is_dict, "a dict of options for the connections to Sentinels"),
    "socket_connect_timeout": (is_positive, "a number of seconds above 0"),
    "socket_timeout": (is_positive, "a number of seconds above 0, or None for no limit"),
}
