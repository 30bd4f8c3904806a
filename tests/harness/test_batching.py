"""Who travels together never decides who arrives."""

from __future__ import annotations

import pytest

from harness.api.errors import DataError, HarnessError
from harness.api.types import Failure, Score, Scored
from harness.batching import Budget, Pending, answer, batches
from harness.boundary import foreign, is_out_of_memory, last_line


def pending(*sizes: int) -> list[Pending]:
    return [Pending(Score("", "x" * size), 0, size, place, (size, place)) for place, size in enumerate(sizes)]


def sizes(found) -> list[list[int]]:
    return [[item.size for item in batch] for batch in found]


def asking(broken, raised):
    """A door that breaks when `broken(batch)`; what it was asked."""
    calls: list[list[int]] = []

    def ask(part):
        calls.append([item.size for item in part])
        with foreign("model fake"):
            if broken(part):
                raise raised
        return [Scored((-float(item.size),), ((0, 1),)) for item in part]

    return ask, calls


def test_nothing_pending_is_no_batch():
    assert list(batches([], Budget(10, 10))) == []


def test_a_batch_holds_no_more_padded_tokens_than_the_budget():
    assert sizes(batches(pending(1, 5, 2, 4, 3), Budget(8, 10))) == [[5], [4, 3], [2, 1]]


def test_a_request_larger_than_the_budget_travels_alone():
    assert sizes(batches(pending(50, 1, 1), Budget(8, 10))) == [[50], [1, 1]]


def test_a_batch_holds_no_more_requests_than_allowed():
    assert sizes(batches(pending(1, 1, 1), Budget(100, 2))) == [[1, 1], [1]]


def test_requests_of_equal_size_keep_their_order():
    assert [item.place for batch in batches(pending(2, 2, 2), Budget(4, 9)) for item in batch] == [0, 1, 2]


def test_requests_of_one_example_stay_together():
    long, short = (9, 0), (8, 1)
    waiting = [
        Pending(Score("", ""), 0, size, name, group)
        for name, size, group in [("a1", 9, long), ("b1", 8, short), ("a2", 2, long), ("b2", 7, short)]
    ]
    assert [[item.place for item in batch] for batch in batches(waiting, Budget(18, 9))] == [["a1", "a2"], ["b1", "b2"]]


def test_the_models_own_plan_is_followed():
    assert sizes(batches(pending(1, 2, 3), Budget(9, 9), lambda requests: [[2], [0, 1]])) == [[3], [1, 2]]


@pytest.mark.parametrize("plan", [[[0]], [[0, 1], [1]], [[0, 2]]])
def test_a_plan_that_loses_or_repeats_a_request_is_refused(plan):
    with pytest.raises(HarnessError, match="does not name each of them once"):
        list(batches(pending(1, 2), Budget(9, 9), lambda requests: plan))


@pytest.mark.parametrize(
    "raised",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        type("OutOfMemoryError", (RuntimeError,), {})("HIP"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_the_budget_shrinks(raised):
    budget, freed = Budget(40, 99), []
    ask, calls = asking(lambda part: len(part) > 1, raised)
    found = list(answer(pending(10, 10, 9, 8), ask, budget, lambda: freed.append(1)))
    assert [
        (item.place, response.total) for part, given in found for item, response in zip(part, given, strict=True)
    ] == [
        (0, -10.0),
        (1, -10.0),
        (2, -9.0),
        (3, -8.0),
    ]
    assert calls == [[10, 10, 9, 8], [10, 10], [10], [10], [9, 8], [9], [8]]
    assert len(freed) == 3
    assert budget.tokens == 9  # half of the smallest batch that did not fit: 2 x 9 / 2


def test_one_request_that_does_not_fit_alone_is_a_failure():
    ask, _ = asking(lambda part: True, MemoryError())
    [(_, [response])] = answer(pending(7), ask, Budget(9, 9), lambda: None)
    assert response == Failure("out of memory on one request of size 7")


def test_a_poisoned_request_fails_alone_with_the_last_line_of_the_traceback():
    ask, _ = asking(lambda part: any(item.size == 3 for item in part), ValueError("three\nis bad"))
    found = {
        item.size: response
        for part, given in answer(pending(1, 2, 3, 4, 5), ask, Budget(99, 99), lambda: None)
        for item, response in zip(part, given, strict=True)
    }
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert [size for size, response in found.items() if isinstance(response, Failure)] == [3]
    assert found[3].error.startswith("ValueError: three is bad (test_batching.py:")


def test_an_error_for_the_user_is_not_swallowed():
    ask, calls = asking(lambda part: True, DataError("weights are damaged"))
    with pytest.raises(DataError, match="damaged"):
        list(answer(pending(1, 2), ask, Budget(9, 9), lambda: None))
    assert len(calls) == 1


def test_an_interrupt_is_not_swallowed():
    ask, _ = asking(lambda part: True, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        list(answer(pending(1), ask, Budget(9, 9), lambda: None))


def test_the_frames_of_a_failed_call_are_gone_before_memory_is_freed():
    import weakref

    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def ask(part):
        with foreign("model fake"):
            tensor = Tensor()
            held.append(weakref.ref(tensor))
            if len(part) > 1:
                raise MemoryError
        return [Scored((), ())]

    def check():
        assert held[-1]() is None

    assert len(list(answer(pending(1, 1), ask, Budget(9, 9), check))) == 2


@pytest.mark.parametrize("problem", [RuntimeError("shape mismatch"), ValueError("out of memory"), None])
def test_other_problems_are_not_taken_for_lack_of_memory(problem):
    assert not is_out_of_memory(problem)


def test_the_last_line_of_a_silent_error_is_its_name():
    assert last_line(KeyError()) == "KeyError"
