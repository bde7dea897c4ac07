"""What is run on both sides: functions of a manager, grouped by what they are about."""

from tests.differential.cases import (
    aggregation,
    bulk,
    documents,
    expressions,
    functions,
    kinds,
    locking,
    moments,
    particular,
    refused,
    relations,
    shapes,
    writing,
)

MODULES = (
    aggregation,
    bulk,
    documents,
    expressions,
    functions,
    kinds,
    locking,
    moments,
    particular,
    refused,
    relations,
    shapes,
    writing,
)

CASES = [case for module in MODULES for case in module.cases.all]
