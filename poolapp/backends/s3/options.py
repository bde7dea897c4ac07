"""What may be wrong with an S3 alias, found without connecting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolapp.backends.hints import option_hint
from poolapp.backends.s3.place import PARAMETERS, SCHEMES, Place
from poolapp.core.backend import Problem
from poolapp.core.config import Location, PoolConfig

SESSION = frozenset({"profile_name"})
"""Options of ``aioboto3.Session``."""

CLIENT = frozenset(
    {
        "api_version", "aws_access_key_id", "aws_account_id", "aws_secret_access_key",
        "aws_session_token", "endpoint_url", "region_name", "use_ssl", "verify",
    }
)  # fmt: skip
"""Options of ``session.client("s3", ...)``."""

_CONFIG = frozenset(
    {
        "account_id_endpoint_mode", "auth_scheme_preference", "client_cert",
        "client_context_params", "connect_timeout", "connector_args", "defaults_mode",
        "disable_request_compression", "endpoint_discovery_enabled",
        "ignore_configured_endpoint_urls", "inject_host_prefix", "max_pool_connections",
        "parameter_validation", "proxies", "proxies_config", "read_timeout",
        "request_checksum_calculation", "request_min_compression_size_bytes",
        "response_checksum_validation", "retries", "s3", "signature_version",
        "sigv4a_signing_region_set", "tcp_keepalive", "use_dualstack_endpoint",
        "use_fips_endpoint", "user_agent", "user_agent_appid", "user_agent_extra",
    }
)  # fmt: skip
"""Options of ``AioConfig``. What is not here is looked up in the installed driver, whose import
takes a quarter of a second."""

_RENAMED = {
    "access_key": "use 'aws_access_key_id', or the user of LOCATION",
    "addressing_style": "use 's3': {'addressing_style': ...}",
    "bucket": "name the bucket in LOCATION",
    "bucket_name": "name the bucket in LOCATION",
    "config": "put its arguments straight into OPTIONS",
    "endpoint": "use 'endpoint_url', or an http URL as LOCATION",
    "http_session_cls": "the sockets are the pool's own",
    "location": "give the URL as LOCATION",
    "max_attempts": "use 'retries': {'max_attempts': ...}",
    "max_connections": "use MAX_SIZE of the alias",
    "max_retries": "use 'retries': {'max_attempts': ...}",
    "profile": "use 'profile_name'",
    "region": "use 'region_name', or ?region= in LOCATION",
    "secret_key": "use 'aws_secret_access_key', or the password of LOCATION",
    "service_name": "it is always 's3'",
    "session_profile": "use 'profile_name'",
    "session_token": "use 'aws_session_token'",
    "timeout": "use 'connect_timeout' and 'read_timeout'",
    "verify_ssl": "use 'verify'",
}
"""Names that users of other libraries reach for."""

_EXAMPLE = (
    "Write 's3://bucket?region=eu-west-1', or 'https://KEY:SECRET@host:9000/bucket' for a server "
    "of your own."
)


def problems(config: PoolConfig) -> Iterator[Problem]:
    locations = config.where()
    unknown_yet = callable(config.locations) and not locations
    if len(locations) != 1 and not unknown_yet:
        yield Problem(
            setting="LOCATION",
            message="is missing" if not locations else "is a list of several URLs",
            hint=_EXAMPLE,
        )
    for location in locations[:1]:
        yield from _location_problems(location)
        yield from _conflicts(location, config.options)
    yield from _credential_problems(config.options)
    yield from _option_problems(config.options)


def _location_problems(location: Location) -> Iterator[Problem]:
    try:
        Place.of(location)
    except ValueError as error:
        yield Problem(setting="LOCATION", message=f"can't be read: {error}", hint=_EXAMPLE)
    if location.scheme in SCHEMES:
        known = PARAMETERS[location.scheme]
        for name in location.query:
            if name not in known:
                yield Problem(
                    setting="LOCATION",
                    message=f"has the parameter {name!r}",
                    hint=f"Known are {' and '.join(map(repr, sorted(known)))}; the rest belongs "
                    "into OPTIONS.",
                )


def _conflicts(location: Location, options: Mapping[str, Any]) -> Iterator[Problem]:
    """What is said both in LOCATION and in OPTIONS."""
    twice = [("region_name", "region" in location.query, "the region")]
    own = location.scheme != "s3" or "endpoint" in location.query
    twice.append(("endpoint_url", own, "the endpoint"))
    signed = location.username is not None
    twice += [(name, signed, "the keys") for name in ("aws_access_key_id", "profile_name")]
    for name, said, what in twice:
        if said and options.get(name) is not None:
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message=f"contradicts LOCATION, which says {what} too",
                hint="Keep one of them.",
            )
    if options.get("aws_session_token") and not (signed or options.get("aws_access_key_id")):
        yield Problem(
            setting="OPTIONS['aws_session_token']",
            message="belongs to keys, and there are none",
            hint="Give 'aws_access_key_id' and 'aws_secret_access_key' with it.",
        )


def _credential_problems(options: Mapping[str, Any]) -> Iterator[Problem]:
    key, secret = "aws_access_key_id", "aws_secret_access_key"
    for given, missing in ((key, secret), (secret, key)):
        if options.get(given) and not options.get(missing):
            yield Problem(
                setting=f"OPTIONS[{given!r}]",
                message=f"stands without {missing!r}",
                hint="An access key and a secret key go together.",
            )
    if options.get(key) and options.get("profile_name"):
        yield Problem(
            setting="OPTIONS",
            message=f"signs in in more than one way: {key} and profile_name",
            hint="Keep one of them.",
        )


def _option_problems(options: Mapping[str, Any]) -> Iterator[Problem]:
    known = SESSION | CLIENT | _CONFIG
    for name in options:
        if name in known or (name not in _RENAMED and name in _installed_options()):
            continue
        yield Problem(
            setting=f"OPTIONS[{name!r}]",
            message='is not an option of session.client("s3") or AioConfig',
            hint=option_hint(name, known, _RENAMED),
        )
    size = options.get("max_pool_connections", 1)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        yield Problem(
            setting="OPTIONS['max_pool_connections']",
            message="must be a number of sockets, 1 or more",
            hint="Leave it out: it is MAX_SIZE then.",
        )
    for name in ("retries", "s3"):
        if options.get(name) is not None:
            fault = _fault(name, options[name])
            if fault:
                yield Problem(
                    setting=f"OPTIONS[{name!r}]",
                    message=fault,
                    hint="See the documentation of botocore.config.Config.",
                )


def _installed_options() -> frozenset[str]:
    try:
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError:  # whoever asks reports a missing driver by itself
        return frozenset()
    return frozenset(Config.OPTION_DEFAULTS)


def _fault(name: str, value: object) -> str:
    """What the driver has against a mapping of its own, ``""`` when nothing."""
    if not isinstance(value, Mapping):
        return "must be a dict"
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
    except ImportError:
        return ""
    try:
        Config(**{name: dict(value)})
    except (BotoCoreError, TypeError, ValueError) as error:
        return f"can't be used: {' '.join(str(error).split())}"
    return ""
