from poolapp.managers.mongodb import MongoManager
from tests.integration.contract.under_test import StoreUnderTest
from tests.mongodb_server import MONGODB

UNDER_TEST = StoreUnderTest(
    name="MongoDB",
    service="mongodb",
    backend=MONGODB,
    manager=lambda alias, place: MongoManager(alias, collection=place),
    # Through a proxy: not to the host that the server calls itself.
    url=lambda url, place: url.replace("/?", "/contract?directConnection=true&"),
    # Else an operation waits as long for a server to come back as a connect may take.
    options={"serverSelectionTimeoutMS": 500},
    order=2,
)
