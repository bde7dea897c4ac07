"""What may be wrong with a MongoDB alias, found without connecting."""

from __future__ import annotations

import asyncio
import difflib
import warnings
from collections.abc import Iterator

from poolapp.backends.mongodb.options import arguments
from poolapp.core.backend import Problem
from poolapp.core.config import Location, PoolConfig

DEFAULT_PORT = 27017

_IN_URL = (
    "appname", "authMechanism", "authMechanismProperties", "authSource", "compressors", "connect",
    "connectTimeoutMS", "datetime_conversion", "directConnection", "driver", "fsync",
    "heartbeatFrequencyMS", "journal", "loadBalanced", "localThresholdMS", "maxConnecting",
    "maxIdleTimeMS", "maxPoolSize", "maxStalenessSeconds", "minPoolSize", "readConcernLevel",
    "readPreference", "readPreferenceTags", "replicaSet", "retryReads", "retryWrites",
    "serverMonitoringMode", "serverSelectionTimeoutMS", "server_api", "socketTimeoutMS",
    "srvMaxHosts", "srvServiceName", "ssl", "timeoutMS", "tls", "tlsAllowInvalidCertificates",
    "tlsAllowInvalidHostnames", "tlsCAFile", "tlsCRLFile", "tlsCertificateKeyFile",
    "tlsCertificateKeyFilePassword", "tlsDisableOCSPEndpointCheck", "tlsInsecure", "tz_aware",
    "unicode_decode_error_handler", "uuidRepresentation", "w", "wTimeoutMS", "waitQueueMultiple",
    "waitQueueTimeoutMS", "zlibCompressionLevel",
)  # fmt: skip
"""As the driver's documentation writes them; it takes them in any case. What is not here is looked
up in the installed driver, whose import takes a tenth of a second."""

_IN_OPTIONS = (
    *_IN_URL, "authOIDCAllowedHosts", "auto_encryption_opts", "document_class", "event_listeners",
    "password", "read_preference", "server_selector", "type_registry", "tzinfo", "username",
)  # fmt: skip

_ELSEWHERE = {
    "connect_timeout": "CONNECT_TIMEOUT of the alias bounds a connect",
    "host": "give the URL as LOCATION",
    "io_loop": "each event loop has a client of its own",
    "j": "use 'journal'",
    "max_pool_size": "use MAX_SIZE of the alias",
    "min_pool_size": "use MIN_SIZE of the alias",
    "port": "write the port into LOCATION",
    "ssl_ca_certs": "use 'tlsCAFile'",
    "ssl_cert_reqs": "use 'tlsAllowInvalidCertificates'",
    "ssl_certfile": "use 'tlsCertificateKeyFile'",
    "ssl_crlfile": "use 'tlsCRLFile'",
    "ssl_keyfile": "put key and certificate into one file and use 'tlsCertificateKeyFile'",
    "ssl_match_hostname": "use 'tlsAllowInvalidHostnames'",
    "ssl_pem_passphrase": "use 'tlsCertificateKeyFilePassword'",
    "wtimeout": "use 'wTimeoutMS'",
}
"""Names that users of older drivers and other pools reach for."""


def problems(config: PoolConfig) -> Iterator[Problem]:
    locations = config.where()
    if len(locations) != 1:
        yield Problem(
            setting="LOCATION",
            message="is missing" if not locations else "is a list of several URLs",
            hint="Give one URL, such as 'mongodb://user:password@host:27017/name'; several hosts "
            "stand in it with commas between them.",
        )
        return
    found = [*_location_problems(locations[0]), *_option_problems(config, locations[0])]
    yield from found
    if not found:
        yield from _driver_problems(config)


def _location_problems(location: Location) -> Iterator[Problem]:
    if location.scheme not in ("mongodb", "mongodb+srv"):
        yield Problem(
            setting="LOCATION",
            message=f"has the scheme {location.scheme!r}",
            hint="A MongoDB URL starts with 'mongodb://' or 'mongodb+srv://'.",
        )
        return
    try:
        empty = not all(host for host, _ in location.hosts(DEFAULT_PORT))
    except ValueError as error:
        yield Problem(
            setting="LOCATION",
            message=f"can't be read: {error}",
            hint="Several hosts are written 'host1:27017,host2:27017', the path of a socket with "
            "'%2F' for each '/'. Percent-encode '/', '?' and '#' in a password.",
        )
    else:
        if empty:
            yield Problem(
                setting="LOCATION",
                message="has an empty host",
                hint="Write 'mongodb://host:27017/name'.",
            )
        elif location.scheme == "mongodb+srv" and {",", ":"} & set(location.address):
            yield Problem(
                setting="LOCATION",
                message="names several hosts or a port, which 'mongodb+srv' finds by DNS",
                hint="Give one host name without a port, or write 'mongodb://'.",
            )
    for name in location.query:
        if not _knows(_IN_URL, "URI_OPTIONS_VALIDATOR_MAP", name):
            yield Problem(
                setting="LOCATION",
                message=f"has the parameter {name!r}, which is none of a MongoDB URL",
                hint=_hint(name, _IN_URL),
            )


def _option_problems(config: PoolConfig, location: Location) -> Iterator[Problem]:
    in_url = {name.lower() for name in location.query}
    in_url |= {name for name in ("username", "password") if getattr(location, name) is not None}
    for name in config.options:
        if name.lower() in in_url:
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message="stands in LOCATION too",
                hint="Keep one of them.",
            )
        elif not _knows(_IN_OPTIONS, "VALIDATORS", name):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message="is not an option of AsyncMongoClient",
                hint=_hint(name, _IN_OPTIONS),
            )


def _knows(names: tuple[str, ...], table: str, name: str) -> bool:
    if name.lower() in (known.lower() for known in names):
        return True
    try:
        from pymongo import common
    except ImportError:  # whoever asks reports a missing driver by itself
        return True
    return name.lower() in getattr(common, table, ())


def _hint(name: str, names: tuple[str, ...]) -> str:
    hint = _ELSEWHERE.get(name)
    if hint is None:
        spelled = {known.lower(): known for known in names}
        close = difflib.get_close_matches(name.lower(), spelled, n=1)
        hint = f"did you mean {spelled[close[0]]!r}?" if close else "remove it"
    return f"{hint[0].upper()}{hint[1:]}{'' if hint.endswith('?') else '.'}"


def _driver_problems(config: PoolConfig) -> Iterator[Problem]:
    """What the driver itself has against the values: it says so when a client is made, which
    connects to nothing."""
    if asyncio._get_running_loop() is not None:
        return  # importing the driver and reading certificates would hold it up; a connect tells
    try:
        import pymongo
    except ImportError:
        return
    url, given = arguments(config)
    # These may need a running loop, or start a process.
    for name in ("event_listeners", "auto_encryption_opts"):
        given.pop(name, None)
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            pymongo.AsyncMongoClient(url, **given)
        except Exception as error:
            said.append(str(error))
    # A bad value in the URL is told as a warning, and ignored.
    said += [str(each.message) for each in warned if issubclass(each.category, UserWarning)]
    for text in said:
        yield Problem(
            setting=_setting(text, config),
            message=f"is refused by the driver: {config.scrub(text)}",
            hint="See AsyncMongoClient in PyMongo's documentation.",
        )


def _setting(text: str, config: PoolConfig) -> str:
    """What the driver's words are about."""
    values = [(name, name) for name in config.options]
    values += [(name, str(value)) for name, value in config.options.items()]
    named = [name for name, value in values if value and value.lower() in text.lower()]
    return f"OPTIONS[{max(named, key=len)!r}]" if named else "LOCATION"
