"""What is run on both sides: functions of a manager, grouped by what they are about."""

from tests.differential.cases import (
    aggregation,
    documents,
    expressions,
    functions,
    kinds,
    locking,
    moments,
    particular,
    relations,
    shapes,
    writing,
)

MODULES = (
    aggregation,
    documents,
    expressions,
    functions,
    kinds,
    locking,
    moments,
    particular,
    relations,
    shapes,
    writing,
)

CASES = [case for module in MODULES for case in module.cases.all]
