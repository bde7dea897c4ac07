from poolapp.managers.elasticsearch import ElasticsearchManager
from tests.composite import with_composites
from tests.integration.contract.under_test import StoreUnderTest
from tests.integration.es_documents import ALONE

UNDER_TEST = StoreUnderTest(
    name="Elasticsearch",
    service="elasticsearch",
    backend="poolapp.backends.elasticsearch.ElasticsearchBackend",
    manager=lambda alias, place: ElasticsearchManager(
        # The stand-in takes a field of type wildcard for one of type text.
        alias,
        place,
        refresh=True,
        long_text="keyword",
        settings=ALONE,
    ),
    refuses=frozenset({"big_integer", "duration"}),
    rounds=True,
    url=lambda url, place: with_composites(url),
    order=1,
)
