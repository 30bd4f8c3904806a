"""Does every registered task keep the promises of the contract? One suite over the registry."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest

from harness.api import registry, types
from harness.api.errors import DataError, UsageError
from harness.api.metrics import Metric
from harness.sources import DataSources, data_root

NAMES = registry.names("task")
SPLITS = ("train", "validation", "test")
LIMIT = 120  # examples of a split that are looked at
# parameters that make a task small, or that it cannot do without
SPECS: dict[str, str] = {
    "long_range/image": "long_range/image:source=digits",
    "long_range/pathx": "long_range/pathx:train=10,validation=10,test=100",
    "long_range/retrieval": "long_range/retrieval:path=absent",
    "translation/parallel": "translation/parallel:folder=absent",
}
REQUESTS = (types.Generate, types.Score, types.Embed, types.Label, types.Forecast, types.Measure)


@pytest.fixture(params=NAMES)
def name(request: Any) -> str:
    return str(request.param)


@cache
def made(name: str) -> Any:
    return registry.create("task", SPECS.get(name, name))


@cache
def sources() -> DataSources:
    return DataSources(data_root(), online=False)


@cache
def offered(name: str, split: str, seed: int = 0) -> tuple[types.Example, ...] | str:
    """The first examples of a split, or why there are none."""
    try:
        return tuple(islice(made(name).examples(split, seed, sources()), LIMIT))
    except UsageError as problem:
        return str(problem)


def examples(name: str, split: str, seed: int = 0) -> tuple[types.Example, ...]:
    """As `offered`; skips where the split does not exist or its data are absent."""
    try:
        found = offered(name, split, seed)
    except DataError as problem:
        pytest.skip(f"data absent: {problem}")
    if isinstance(found, str):
        pytest.skip(found)
    return found


def every_example(name: str) -> Iterator[types.Example]:
    try:
        for split in SPLITS:
            found = offered(name, split)
            yield from () if isinstance(found, str) else found
    except DataError as problem:
        pytest.skip(f"data absent: {problem}")


def as_bytes(value: Any) -> bytes:
    """A text that two equal objects share, arrays included."""

    def plain(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return [str(item.dtype), item.shape, hashlib.sha256(np.ascontiguousarray(item).tobytes()).hexdigest()]
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return [type(item).__name__, *(plain(getattr(item, part.name)) for part in dataclasses.fields(item))]
        if isinstance(item, (tuple, list)):
            return [plain(part) for part in item]
        if isinstance(item, dict):
            return {str(key): plain(part) for key, part in item.items()}
        return item

    return json.dumps(plain(value), sort_keys=True).encode()


def headline(name: str) -> Metric:
    first = made(name).metrics[0]
    return registry.create("metric", first) if isinstance(first, str) else first


def value(metric: Metric, pairs: list[tuple[types.Example, tuple[types.Response, ...]]]) -> tuple[float, float]:
    """The metric's value, and its standard error over a bootstrap."""
    rows = np.stack([metric.measure(example, responses) for example, responses in pairs])
    rows = rows[~np.isnan(rows).all(axis=1)]
    draws = np.random.default_rng(1).integers(len(rows), size=(200, len(rows)))
    return metric.reduce(rows), float(np.std(metric.resample(rows, draws)))


def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    first = examples(name, "test")
    again = tuple(islice(made(name).examples("test", 0, sources()), LIMIT))
    assert as_bytes(first) == as_bytes(again)


def test_a_generated_task_differs_between_seeds(name: str) -> None:
    first = examples(name, "test")
    if not made(name).data_digest("test", sources()).startswith("generated"):
        pytest.skip("not generated")
    assert as_bytes(first) != as_bytes(examples(name, "test", seed=1))


def test_no_example_is_in_two_splits(name: str) -> None:
    seen: dict[bytes, tuple[str, str]] = {}
    try:
        parts = {split: offered(name, split) for split in SPLITS}
    except DataError as problem:
        pytest.skip(f"data absent: {problem}")
    for split, found in parts.items():
        for example in () if isinstance(found, str) else found:
            question = as_bytes(example.requests)
            assert seen.get(question, (split,))[0] == split, f"{example.id} and {seen[question]} ask the same"
            seen[question] = (split, example.id)


@pytest.mark.parametrize("split", SPLITS)
def test_ids_are_unique_within_a_split(name: str, split: str) -> None:
    ids = [example.id for example in examples(name, split)]
    assert len(ids) == len(set(ids)) > 0
    assert all(isinstance(identifier, str) and identifier for identifier in ids)


def test_requests_are_of_the_tasks_door_and_have_no_room_for_a_target(name: str) -> None:
    task = made(name)
    assert task.door in registry.card("task", name).facts["doors"]
    for example in every_example(name):
        assert example.requests
        assert all(type(request) in REQUESTS and request.door == task.door for request in example.requests)


def test_targets_and_tags_can_be_written_as_json(name: str) -> None:
    for example in every_example(name):
        assert json.loads(json.dumps(example.target)) is not NotImplemented
        assert all(isinstance(key, str) and isinstance(tag, str) for key, tag in example.tags.items())
        assert isinstance(example.cluster, str)


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    try:
        missing = next((split for split in SPLITS if isinstance(offered(name, split), str)), "dreams")
        with pytest.raises(UsageError, match="test"):
            next(iter(made(name).examples(missing, 0, sources())))
    except DataError as problem:
        pytest.skip(f"data absent: {problem}")


def test_the_digest_names_the_data(name: str) -> None:
    try:
        digest = made(name).data_digest("test", sources())
    except DataError as problem:
        pytest.skip(f"data absent: {problem}")
    assert digest
    assert digest == made(name).data_digest("test", sources())


def test_metrics_are_known_and_their_names_differ(name: str) -> None:
    metrics = [registry.create("metric", item) if isinstance(item, str) else item for item in made(name).metrics]
    assert metrics
    names = [metric.name for metric in metrics]
    assert len(names) == len(set(names))
    assert all(metric.signature for metric in metrics)


def test_an_oracle_reaches_the_ceiling(name: str) -> None:
    oracle = getattr(made(name), "oracle", None)
    if oracle is None:
        pytest.skip("no oracle")
    metric = headline(name)
    assert metric.scale is not None, "a metric with an oracle states its best value in `scale`"
    reached, _ = value(metric, [(example, oracle(example)) for example in examples(name, "test")])
    assert reached == pytest.approx(metric.scale[1])


def test_a_guess_lands_on_the_declared_chance(name: str) -> None:
    task = made(name)
    chance = getattr(task, "chance", registry.card("task", name).facts.get("chance"))
    guess = getattr(task, "guess", None)
    if guess is None or chance is None:
        pytest.skip("no guess, or no chance level")
    rng = np.random.default_rng(0)
    metric = headline(name)
    reached, error = value(metric, [(example, guess(example, rng)) for example in examples(name, "test")])
    if metric.scale == (0.0, 1.0):
        # a rare success that did not happen leaves no spread to estimate an error from
        error = max(error, float(np.sqrt(chance * (1 - chance) / len(examples(name, "test")))))
    assert abs(reached - chance) <= 3 * error + 1e-9


def test_cards_state_what_a_reader_must_know(name: str) -> None:
    card = registry.card("task", name)
    assert isinstance(card.facts["version"], int)
    assert isinstance(card.facts["doors"], tuple)
    assert all(isinstance(card.facts.get(fact), str) and card.facts[fact] for fact in ("paper", "licence", "differs"))
    assert card.summary.endswith(".")


def test_tasks_import_neither_torch_nor_models() -> None:
    modules = [registry.card("task", name).module for name in NAMES]
    code = (
        "import importlib, sys\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        "banned = ('torch', 'transformers', 'harness.models', 'harness.kernels')\n"
        "sys.exit(', '.join(name for name in banned if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
