"""A process that takes what is to be done, and is killed before it does it."""

import asyncio
import datetime
import os
import signal

import django


async def take() -> None:
    from poolapp import pools
    from poolapp.instep import catching_up
    from poolapp.instep.background import background

    pools.unobserve(background)
    catching_up.CLAIM = datetime.timedelta(seconds=float(os.environ["STEPS_CLAIM"]))
    taken = await catching_up.on_database("default", catching_up._take, "default")
    assert len(taken) == 1, taken
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    django.setup()
    asyncio.run(take())
