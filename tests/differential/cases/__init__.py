"""What is run on both sides: functions of a manager, grouped by what they are about."""

from tests.differential.cases import (
    aggregation,
    documents,
    expressions,
    functions,
    kinds,
    moments,
    particular,
    relations,
    shapes,
)

CASES = [
    case for module in (aggregation, documents, expressions, functions, kinds, moments, particular, relations, shapes) for case in module.cases.all
]
