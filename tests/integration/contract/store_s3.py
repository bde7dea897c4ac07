from poolapp.managers import S3Manager
from tests.integration.contract.under_test import StoreUnderTest

UNDER_TEST = StoreUnderTest(
    name="S3",
    service="s3",
    backend="poolapp.backends.s3.S3Backend",
    manager=lambda alias, place: S3Manager(alias, prefix=f"{place}/"),
    url=lambda url, place: f"{url}/contract?region=us-east-1",
    cannot=frozenset(
        {
            "exact",
            "in",
            "gt, gte, lt, lte, range",
            "isnull",
            "startswith",
            "endswith",
            "contains",
            "iexact, icontains, istartswith, iendswith",
            "regex",
            "iregex",
            "year, date",
            "into a JSONField",
            "exclude",
            "Q of one field: and, or, not, xor",
            "several fields, Q of them",
            "backwards by the primary key",
            "by a field",
            "by several fields",
            "aaggregate",
            "values().annotate()",
            "values().distinct()",
            "aupdate of a filter",
            "adelete of a filter",
        }
    ),
    order=5,
)
