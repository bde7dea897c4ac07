"""What may be wrong with an Elasticsearch alias, found without connecting."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from poolapp.backends.exposing import is_loose, plaintext, unverified
from poolapp.backends.hints import option_hint
from poolapp.core.backend import Exposure, Problem
from poolapp.core.config import Location, PoolConfig

DEFAULT_PORT = 9200

_CREDENTIALS = ("api_key", "basic_auth", "bearer_auth")

_RENAMED = {
    "bearer_token": "use 'bearer_auth'",
    "connection_class": "use 'node_class'",
    "connection_pool_class": "use 'node_pool_class'",
    "dead_timeout": "use 'dead_node_backoff_factor' and 'max_dead_node_backoff'",
    "host_info_callback": "use 'sniffed_node_callback'",
    "hosts": "give the URLs as LOCATION",
    "http_auth": "use 'basic_auth'",
    "maxsize": "use 'connections_per_node'",
    "port": "write the port into the URLs of LOCATION",
    "randomize_hosts": "use 'randomize_nodes_in_pool'",
    "retries": "use 'max_retries'",
    "selector_class": "use 'node_selector_class'",
    "sniff_on_connection_fail": "use 'sniff_on_node_failure'",
    "sniffer_timeout": "use 'min_delay_between_sniffing'",
    "timeout": "use 'request_timeout'",
    "url_prefix": "write the path into the URLs of LOCATION",
    "use_ssl": "write 'https://' in LOCATION",
}
"""What the client was told under these names before version 8, and where that went."""

_KNOWN = frozenset(
    {
        "api_key", "basic_auth", "bearer_auth", "ca_certs", "client_cert", "client_key", "cloud_id",
        "connections_per_node", "dead_node_backoff_factor", "default_mimetype", "headers",
        "http_compress", "max_dead_node_backoff", "max_retries", "meta_header",
        "min_delay_between_sniffing", "node_class", "node_pool_class", "node_selector_class",
        "opaque_id", "randomize_nodes_in_pool", "request_timeout", "retry_on_status",
        "retry_on_timeout", "serializer", "serializers", "sniff_before_requests",
        "sniff_on_node_failure", "sniff_on_start", "sniff_timeout", "sniffed_node_callback",
        "ssl_assert_fingerprint", "ssl_assert_hostname", "ssl_context", "ssl_show_warn",
        "ssl_version", "transport_class", "verify_certs",
    }
)  # fmt: skip
"""Options of both major versions. What is not here is looked up in the installed client, whose
import takes a third of a second."""


def problems(config: PoolConfig) -> Iterator[Problem]:
    yield from _location_problems(config)
    yield from _option_problems(config)


def _location_problems(config: PoolConfig) -> Iterator[Problem]:
    locations = config.where()
    if bool(locations) == ("cloud_id" in config.options):
        yield Problem(
            setting="LOCATION",
            message="excludes OPTIONS['cloud_id']" if locations else "is missing",
            hint="Give the URL of each node, such as 'https://es1:9200', or a 'cloud_id'.",
        )
    for location in locations:
        if location.scheme not in ("http", "https"):
            yield Problem(
                setting="LOCATION",
                message=f"has the scheme {location.scheme!r}",
                hint="An Elasticsearch URL starts with 'https://' or 'http://'.",
            )
        if location.query:
            yield Problem(
                setting="LOCATION",
                message=f"has the parameters {', '.join(map(repr, location.query))} in a URL",
                hint="Move them to OPTIONS.",
            )
        try:
            empty = not all(host for host, _ in location.hosts(DEFAULT_PORT))
        except ValueError as error:
            yield Problem(
                setting="LOCATION",
                message=f"can't be read: {error}",
                hint="Write 'https://host:9200'. Percent-encode '/', '?' and '#' in a password.",
            )
        else:
            if empty:
                yield Problem(
                    setting="LOCATION",
                    message="has a URL without a host",
                    hint="Write 'https://host:9200'.",
                )
    if any(credentials(each) != credentials(locations[0]) for each in locations[1:]):
        yield Problem(
            setting="LOCATION",
            message="has URLs with different users or passwords",
            hint="The client signs in to all nodes alike: write the same in each URL, or use "
            "OPTIONS['basic_auth'].",
        )


def _option_problems(config: PoolConfig) -> Iterator[Problem]:
    for name in config.options:
        if name in _KNOWN:
            continue
        if name not in _RENAMED and name in _client_options():
            continue
        yield Problem(
            setting=f"OPTIONS[{name!r}]",
            message="is not an option of AsyncElasticsearch",
            hint=option_hint(name, _KNOWN, _RENAMED),
        )
    given = [name for name in _CREDENTIALS if config.options.get(name) is not None]
    if any(location.username is not None for location in config.where()):
        given.append("the user in LOCATION")
    if len(given) > 1:
        yield Problem(
            setting="OPTIONS",
            message=f"signs in in more than one way: {' and '.join(given)}",
            hint="Keep one of them.",
        )


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    given = config.options
    signs_in = any(given.get(name) is not None for name in _CREDENTIALS)
    for location in config.where():
        secret = signs_in or location.password is not None
        if location.scheme == "http" and secret and not location.is_local:
            yield plaintext(
                "Write 'https://', and give the authority's file as OPTIONS['ca_certs'].",
                to=location.address,
            )
    if given.get("ssl_assert_fingerprint") is not None:
        return  # it is the certificate itself that is asked for then
    context = given.get("ssl_context")
    if is_loose(context):
        name = "ssl_context"
    elif context is None and given.get("verify_certs") is False:
        name = "verify_certs"
    elif context is None and given.get("ssl_assert_hostname") is False:
        name = "ssl_assert_hostname"
    else:
        return
    yield unverified(name, "Leave it out, and give the authority's file as OPTIONS['ca_certs'].")


def _client_options() -> frozenset[str]:
    try:
        from elasticsearch import AsyncElasticsearch
    except ImportError:  # whoever asks reports a missing driver by itself
        return frozenset()
    parameters = inspect.signature(AsyncElasticsearch).parameters
    return frozenset(parameters) - {"hosts", "_transport"}


def credentials(location: Location) -> tuple[str | None, str | None]:
    """The user and the password of a URL."""
    password = location.password
    return location.username, None if password is None else password.reveal()
