"""OpenTelemetry's metrics, shown at `/metrics` among Prometheus' own.

A production would send them to a collector instead, each worker process for itself.
"""

from __future__ import annotations

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider


def start() -> None:
    set_meter_provider(MeterProvider([PrometheusMetricReader(scope_info_enabled=False)]))
