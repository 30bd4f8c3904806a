"""How is the model of a run put up, warmed up and asked? Lazily, apart, and with a meter at every door call."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import devices
from harness.api.errors import HarnessError
from harness.api.protocols import Preparing, Setting
from harness.api.types import (
    Embedded,
    Failure,
    Forecasted,
    Generate,
    Generated,
    Labelled,
    Measured,
    Request,
    Response,
    Scored,
)
from harness.batching import Pending
from harness.boundary import ForeignError, foreign
from harness.fits import FitFolder
from harness.fitting import fit
from harness.pairing import Pairing
from harness.session import Shelf
from harness.timing import RequestTiming, RunMeter, Tally

ANSWERS: dict[str, type[Any]] = {
    "generate": Generated,
    "score": Scored,
    "embed": Embedded,
    "label": Labelled,
    "forecast": Forecasted,
    "measure": Measured,
}
WARM_UP_TOKENS = 8  # a warm-up generation is this short


class Contestant:
    """The model of one run: loaded or fitted when it is first needed, and timed at every call."""

    def __init__(
        self,
        pairing: Pairing,
        setting: Setting,
        shelf: Shelf,
        weights: Mapping[str, str],
        came_up: Callable[[Mapping[str, Any], tuple[str, ...]], None],
        entering: Callable[[str], None],
        fits: Path | None = None,
        fresh: bool = False,
    ) -> None:
        self.calls = 0  # door calls so far
        self.timings: list[RequestTiming] = []  # of the last door call, one a request
        self.spent: dict[str, float] = {}  # by the last door call: "seconds" in all, phases, counters
        self._pairing, self._setting, self._shelf = pairing, setting, shelf
        self._key = (pairing.model_spec, setting.device, setting.dtype, tuple(sorted(weights.items())))
        self._came_up = came_up
        self._entering = entering
        self._fits, self._fresh = fits, fresh
        self._loaded: Any = None
        self._decoder: Any = pairing.decoder
        self._tally = Tally()
        self._apart: dict[str, float] = {}  # seconds spent on loading, fitting and warming up

    @property
    def plan(self) -> Callable[[Sequence[Request]], list[list[int]]] | None:
        """The model's own way to batch requests, where it has one."""
        plan: Callable[[Sequence[Request]], list[list[int]]] | None = getattr(self._up(), "plan", None)
        return plan

    def size(self, request: Request) -> int:
        """Tokens or time steps that a request will cost, at least one."""
        model = self._up()
        with foreign(f"model {self._pairing.model_spec}"):
            return max(1, int(model.size(request)))

    def ask(self, part: Sequence[Pending]) -> list[Response]:
        """One timed door call.

        Errors: ForeignError when the model raises something of its own, HarnessError when it does not give one
        answer of the right type to each request.
        """
        responses = self._call(part, count=True)
        door = self._pairing.task.door
        kind = ANSWERS[door]
        if len(responses) != len(part) or not all(isinstance(item, (kind, Failure)) for item in responses):
            given = ", ".join(sorted({type(item).__name__ for item in responses})) or "nothing"
            raise HarnessError(
                f"{self._pairing.model_spec} was asked {len(part)} times to {door} and gave {len(responses)} answers "
                f"({given}); it must give one {kind.__name__} or Failure each."
            )
        return responses

    def warm_up(self, pending: Sequence[Pending]) -> None:
        """Let one-time costs (allocation, compilation) fall on a call whose answer is thrown away."""
        self._up()
        door = self._pairing.task.door
        if door in self._shelf.warm:
            return
        shortest = min(pending, key=lambda item: item.size)
        if isinstance(shortest.request, Generate):
            few = min(WARM_UP_TOKENS, shortest.request.max_new_tokens)
            shortest = replace(shortest, request=replace(shortest.request, max_new_tokens=few))
        try:
            self._call([shortest], count=False)
        except ForeignError as problem:
            # the same request is asked for in earnest next, and its failure is counted there
            self._setting.announce(f"{self._pairing.title}: the warm-up call did not succeed: {problem}")
        if self._pairing.carries:
            # what the warm-up taught it would count
            self._prepare(self._loaded)
        self._shelf.warm.add(door)

    def free_memory(self) -> None:
        """Make room after a batch did not fit."""
        self._tally.counters["out_of_memory"] = self._tally.counters.get("out_of_memory", 0) + 1
        gc.collect()
        devices.release_memory(self._setting.device)

    def take_times(self) -> tuple[Tally, dict[str, float]]:
        """What the calls took since this was last asked, and the seconds spent apart from them."""
        taken = self._tally, self._apart
        self._tally, self._apart = Tally(), {}
        return taken

    def _call(self, part: Sequence[Pending], *, count: bool) -> list[Response]:
        model, door = self._up(), self._pairing.task.door
        requests = [item.request for item in part]
        with foreign(f"model {self._pairing.model_spec}"):
            meter = self._meter(len(part))
            try:
                if door == "generate":
                    seeds = [item.seed for item in part]
                    return list(model.generate(requests, decoder=self._decoder, seeds=seeds, meter=meter))
                return list(getattr(model, door)(requests, meter=meter))
            finally:
                meter.close()
                if count:
                    self.calls, self.timings = self.calls + 1, meter.requests
                    self.spent = meter.tally.spent()
                    self._tally.add(meter.tally.stored())
                else:
                    self._spend("warm_up", meter)

    def _up(self) -> Any:
        if self._loaded is None:
            loaded, notes, history = self._fit() if self._pairing.learns else (self._load(), (), [])
            with foreign(f"model {self._pairing.model_spec}"):
                identity = ({"history": history} if history else {}) | dict(loaded.identity)
            self._prepare(loaded)
            self._came_up(identity, notes)
            self._loaded = loaded
        return self._loaded

    def _prepare(self, loaded: Any) -> None:
        """Let a decoder load the other models that it needs, for this target."""
        if isinstance(self._pairing.decoder, Preparing):
            self._entering("load")
            with foreign(f"preparing {self._pairing.decoder_spec}"):
                meter = self._meter(0)
                self._decoder = self._pairing.decoder.prepare(replace(self._setting, folder=None), loaded)
                meter.close()
            self._spend("load", meter)

    def _load(self) -> Any:
        shelf = self._shelf
        if shelf.key != self._key:
            shelf.clear()
            self._entering("load")
            with foreign(f"loading {self._pairing.model_spec}"):
                meter = self._meter(0)
                shelf.loaded = self._pairing.model.load(replace(self._setting, folder=None))
                meter.close()
            shelf.key = self._key
            self._spend("load", meter)
        return shelf.loaded

    def _fit(self) -> tuple[Any, tuple[str, ...], list[list[float | None]]]:
        # what is on the shelf belongs to another cell, and would only take up memory
        self._shelf.clear()
        self._entering("fit")
        if self._fits is None:
            raise HarnessError(f"{self._pairing.model_spec} is a learner, but was given no folder for its fit.")
        with FitFolder(self._fits, self._setting.announce) as folder:
            if self._fresh and self._fits not in self._shelf.fits:
                folder.clear()
            self._shelf.fits.add(self._fits)
            cost = folder.cost()
            meter = self._meter(0)
            loaded, notes = fit(self._pairing, replace(self._setting, folder=folder.checkpoints), meter)
            meter.close()
            if cost is None:
                self._spend("fit", meter)
                folder.finished(meter.tally.seconds)
            else:
                # the row owes what its training took, whichever run paid for it
                self._apart["fit"] = self._apart.get("fit", 0.0) + cost
                self._spend("load", meter)
            return loaded, notes, folder.history()

    def _meter(self, requests: int) -> RunMeter:
        return RunMeter(requests, devices.synchroniser(self._setting.device))

    def _spend(self, name: str, meter: RunMeter) -> None:
        self._apart[name] = self._apart.get(name, 0.0) + meter.tally.seconds
