"""How the adapters say that a configuration leaves something open on the network."""

from __future__ import annotations

from ssl import CERT_NONE, SSLContext

from poolapp.core.backend import Exposure


def plaintext(hint: str, *, setting: str = "LOCATION", to: str = "another host") -> Exposure:
    """A password, or a key, goes out unencrypted."""
    return Exposure(
        kind="plaintext",
        setting=setting,
        message=f"sends a password or key unencrypted to {to}",
        hint=hint,
    )


def unverified(name: str, hint: str, *, setting: str = "") -> Exposure:
    """An option switches off what tells the right server from another."""
    return Exposure(
        kind="unverified",
        setting=setting or f"OPTIONS[{name!r}]",
        message="has any server that pretends to be the right one believed",
        hint=hint,
    )


def is_loose(context: object) -> bool:
    """Whether it is a context that verifies no certificate."""
    return isinstance(context, SSLContext) and context.verify_mode == CERT_NONE
