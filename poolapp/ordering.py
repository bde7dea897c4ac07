"""What an operator may order in the admin: how it is asked, and how it is told afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms

from poolapp.monitoring.board import AliasBoard
from poolapp.monitoring.fleet import Answer
from poolapp.monitoring.picture import ProcessPicture
from poolapp.monitoring.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One of ``fleet.VERBS``."""

    verb: str
    label: str
    done: str
    hint: str
    """What it does, for the list of orders."""
    consequence: Callable[[AliasBoard], str]
    """What it does to a pool as it is now, before it is done."""
    is_harsh: bool = False
    """Whether somebody may get an error by it."""


def _drained(pool: AliasBoard) -> str:
    idle = counted(pool.idle, "idle connection is", "idle connections are")
    return (
        f"{idle} closed now, and {pool.in_use} in use when they come back; new ones take their "
        "place. Nobody gets an error."
    )


def _was_reset(pool: AliasBoard) -> str:
    waiting = counted(pool.waiting, "waiting acquire is", "waiting acquires are")
    idle = counted(pool.idle, "idle connection is", "idle connections are")
    return (
        f"{waiting} turned away with an error that says to try again; {idle} cut now, and "
        f"{pool.in_use} in use when they come back."
    )


def _paused(pool: AliasBoard) -> str:
    return (
        f"New acquires wait until the pool is resumed, and time out meanwhile. The {pool.in_use} "
        "connections in use stay with their holders."
    )


def _resumed(pool: AliasBoard) -> str:
    waiting = counted(pool.waiting, "waiting acquire goes", "waiting acquires go")
    return f"{waiting} on, in order."


def _resized(pool: AliasBoard) -> str:
    return (
        f"{pool.in_use} connections are in use and {pool.idle} idle. Growing helps who waits at "
        "once; shrinking closes what is idle at once, and the rest as it comes back. It lasts "
        "until the process ends: the settings say what comes then."
    )


def _pinged(pool: AliasBoard) -> str:
    return (
        "Each worker that has used the pool borrows one connection on each of its event loops, "
        "asks the server over it, and gives it back."
    )


ORDERS = {
    each.verb: each
    for each in (
        Order(
            verb="ping",
            label="Ping",
            done="Pinged",
            hint="Ask the server over one connection of the pool.",
            consequence=_pinged,
        ),
        Order(
            verb="drain",
            label="Drain",
            done="Drained",
            hint="Replace every connection, without an error for anybody.",
            consequence=_drained,
        ),
        Order(
            verb="pause",
            label="Pause",
            done="Paused",
            hint="Have new acquires wait.",
            consequence=_paused,
            is_harsh=True,
        ),
        Order(
            verb="resume",
            label="Resume",
            done="Resumed",
            hint="Let them go on.",
            consequence=_resumed,
        ),
        Order(
            verb="resize",
            label="Resize",
            done="Resized",
            hint="Change the least and the greatest number of connections.",
            consequence=_resized,
        ),
        Order(
            verb="reset",
            label="Reset",
            done="Reset",
            hint="Turn away who waits and cut every connection.",
            consequence=_was_reset,
            is_harsh=True,
        ),
    )
}


class OrderForm(forms.Form):
    """To which workers the order goes: ``""`` for all."""

    worker = forms.ChoiceField(label="Workers", required=False)

    def __init__(self, *args: Any, processes: Sequence[ProcessPicture], **named: Any) -> None:
        super().__init__(*args, **named)
        worker = self.fields["worker"]
        assert isinstance(worker, forms.ChoiceField)
        many = len(processes) > 1
        all_of_them = f"all {len(processes)} workers" if many else "the one worker that is seen"
        worker.choices = [
            ("", all_of_them),
            *((each.worker, each.name) for each in processes if many),
        ]
        worker.error_messages["invalid_choice"] = "This worker is not there any more."


class ResizeForm(OrderForm):
    """Sizes of each worker."""

    min_size = forms.IntegerField(label="MIN_SIZE", min_value=0)
    max_size = forms.IntegerField(label="MAX_SIZE", min_value=1)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        low, high = data.get("min_size"), data.get("max_size")
        if low is not None and high is not None and low > high:
            self.add_error("min_size", f"It can't be more than MAX_SIZE, {high}.")
        return data


def summary(
    verb: str,
    answers: Sequence[Answer],
    details: Mapping[str, int],
    processes: Sequence[ProcessPicture],
) -> str:
    """For the log: what came of it, then a line for each worker."""
    names = {each.worker: each.name for each in processes}
    well = sum(each.ok for each in answers)
    done = ORDERS[verb].done
    if details:
        done += f" to {details['min_size']}-{details['max_size']}"
    if not answers:
        headline = "No worker has this pool, so nothing was done."
    else:
        headline = f"{done}: {well} of {counted(len(answers), 'worker', 'workers')} did it."
    return "\n".join([headline, *(_line(each, names) for each in answers)])


def _line(answer: Answer, names: Mapping[str, str]) -> str:
    who = f"{answer.host}:{answer.pid}" if answer.host else "The others"
    who = names.get(answer.worker, who)
    return f"{who}: {'' if answer.ok else 'not done. '}{answer.text}"
