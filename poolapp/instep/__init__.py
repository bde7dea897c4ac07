"""Documents that keep in step with the rows of a database: an app of its own.

``@in_step("search")`` on a model has every row that is saved or deleted written to, or removed
from, its documents after the commit. What is still to be done stands in a table, written in the
transaction of the rows themselves: neither a crash nor an outage loses any of it.
"""

from poolapp.instep.declaring import in_step
from poolapp.instep.signals import step_failed

__all__ = ["in_step", "mark", "settle", "step_failed"]


def __getattr__(name: str) -> object:
    # These need the app's model, which is there once Django has loaded its apps.
    if name == "mark":
        from poolapp.instep.marking import mark

        return mark
    if name == "settle":
        from poolapp.instep.catching_up import settle

        return settle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
