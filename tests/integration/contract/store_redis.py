from poolapp.managers.redis import RedisManager
from tests.integration.contract.under_test import StoreUnderTest

INDEXES = ["title", "likes", "rating", "price", "published", "day", "is_public", "token", "author"]

UNDER_TEST = StoreUnderTest(
    name="Redis",
    service="redis",
    backend="poolapp.backends.redis.RedisBackend",
    manager=lambda alias, place: RedisManager(alias, prefix=place, indexes=INDEXES),
    everything=lambda alias, place: RedisManager(alias, prefix=place),
    cannot=frozenset(
        {
            "endswith",
            "contains",
            "iexact, icontains, istartswith, iendswith",
            "regex",
            "iregex",
            "into a JSONField",
            "several fields, Q of them",
            "by several fields",
            "aaggregate",
            "values().annotate()",
            "values().distinct()",
        }
    ),
    order=4,
)
