"""Writing the documents of many rows: as a coroutine, or as a job of a queue."""

from poolapp.reindexing.order import order_of
from poolapp.reindexing.progress import Progress
from poolapp.reindexing.writing import reindex

__all__ = ["Progress", "order_of", "reindex"]
