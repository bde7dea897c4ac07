"""The demo's page for Prometheus, with the names of both worlds."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.demo_process import DemoProcess, devservices
from tests.unit.test_otel import CONVENTIONS
from tests.unit.test_prometheus import NAMES

pytestmark = pytest.mark.timeout(180)

FREE = {"connection_pool_closed_total"}
"""Not there before a connection was closed."""


def test_the_pools_are_told_under_all_names(demo: DemoProcess) -> None:
    with httpx.Client(base_url=demo.url, timeout=30, trust_env=False) as client:
        assert client.get("/search?q=read").status_code == 200
        page = client.get("/metrics")
    assert page.status_code == 200
    samples = [
        sample
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
        if sample.name.startswith(("connection_pool_", "db_client_"))
    ]
    names = {sample.name for sample in samples}
    assert set(NAMES) - FREE <= names
    for name in CONVENTIONS:
        prefix = name.replace(".", "_")
        assert any(found.startswith(prefix) for found in names), name
    pools = {
        sample.labels.get("alias") or sample.labels["db_client_connection_pool_name"]
        for sample in samples
    }
    assert {"default", "search"} <= pools
    for url in devservices(demo.folder, "urls").values():
        assert url not in page.text
