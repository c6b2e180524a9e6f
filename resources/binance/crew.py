"""A bounded number of tasks that share the work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def for_each(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], size: int) -> None:
    """Let `size` tasks take the items one after another; the first error ends all of them and is raised.

    Tasks that wait in thousands for a connection would cost more than the transfers.
    """
    queue = iter(items)

    async def member() -> None:
        for item in queue:
            await work(item)

    members = [asyncio.create_task(member()) for _ in range(size)]
    try:
        await asyncio.gather(*members)
    finally:
        for task in members:
            task.cancel()
        await asyncio.gather(*members, return_exceptions=True)
