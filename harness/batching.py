"""Which requests go to the model together? Longest first, within a token budget that shrinks when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api.errors import HarnessError
from harness.api.types import Failure, Request, Response
from harness.boundary import ForeignError, is_out_of_memory, last_line


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for its answer."""

    request: Request
    seed: int
    size: int  # tokens or time steps
    place: Any  # whose request it is: the runner's own key
    group: tuple[int, int]  # (size of its example's largest request, the example's number)


@dataclass(slots=True)
class Budget:
    """How much one batch may hold; `tokens` count padding and only ever shrink."""

    tokens: int
    requests: int


def batches(
    pending: Sequence[Pending], budget: Budget, plan: Callable[[Sequence[Request]], list[list[int]]] | None = None
) -> Iterator[list[Pending]]:
    """Every pending request once, longest first; `plan` is the model's own opinion, where it offers one.

    Requests of one example stay together, so that examples are finished (and safe on disk) one after the other.

    Errors: HarnessError when `plan` leaves a request out or repeats one.
    """
    if plan is not None:
        planned = plan([item.request for item in pending])
        if sorted(index for batch in planned for index in batch) != list(range(len(pending))):
            raise HarnessError(f"the model's plan of {len(pending)} requests does not name each of them once.")
        yield from ([pending[index] for index in batch] for batch in planned if batch)
        return
    queue = sorted(pending, key=lambda item: (-item.group[0], item.group[1], -item.size))
    batch: list[Pending] = []
    width = 0
    for item in queue:
        width = max(width, item.size)
        # the budget is read anew each time, since it may have shrunk meanwhile
        if batch and (len(batch) >= budget.requests or (len(batch) + 1) * width > budget.tokens):
            yield batch
            batch, width = [], item.size
        batch.append(item)
    if batch:
        yield batch


def answer(
    batch: Sequence[Pending],
    ask: Callable[[Sequence[Pending]], list[Response]],
    budget: Budget,
    out_of_memory: Callable[[], None],
) -> Iterator[tuple[Sequence[Pending], list[Response]]]:
    """Ask for a batch; where it does not fit or something breaks, ask for its halves, down to single requests.

    A request that fails alone becomes a Failure with the last line of the traceback, and the run goes on.
    """
    waiting = [list(batch)]
    while waiting:
        part = waiting.pop(0)
        try:
            responses = ask(part)
        except ForeignError as failure:
            memory = is_out_of_memory(failure.__cause__)
            error = f"out of memory on one request of size {part[0].size}" if memory else last_line(failure.__cause__)
        else:
            yield part, responses
            continue
        # past the except clause nothing holds the failed call's frames, so that their memory is free again
        if memory:
            out_of_memory()
            budget.tokens = max(1, min(budget.tokens, len(part) * max(item.size for item in part) // 2))
        if len(part) > 1:
            middle = len(part) // 2
            waiting[:0] = [part[:middle], part[middle:]]
        else:
            yield part, [Failure(error)]
