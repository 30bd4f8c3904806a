"""How does a cell become a result? The one loop: stream, batch, ask, measure, journal, summarise.

Nothing that is finished is computed twice: the journal is replayed first, and only the examples that it lacks go to
the model. A model is loaded when the first of them is reached, and stays loaded for the next cell that wants it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness import devices, environment, results, summary, timing
from harness import signature as signatures
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.protocols import FollowUp, Setting, Sources
from harness.api.types import (
    Embedded,
    Example,
    Failure,
    Forecasted,
    Generate,
    Generated,
    Labelled,
    Request,
    Response,
    Scored,
)
from harness.batching import Budget, Pending, answer, batches
from harness.boundary import ForeignError, foreign
from harness.fitting import fit
from harness.journal import CHECKPOINTS, MANIFEST, RESULT, Entry, RunFolder
from harness.ledger import Ledger
from harness.pairing import Pairing, folder_of, introduce, sign
from harness.planning import Cell, refusal
from harness.results import RunResult
from harness.timing import RunMeter

RAN = ("backend", "kernels", "device", "dtype")  # parts of a model's identity that name a code path
ANSWERS: dict[str, type[Any]] = {
    "generate": Generated,
    "score": Scored,
    "embed": Embedded,
    "label": Labelled,
    "forecast": Forecasted,
}
WARM_UP_TOKENS = 8
WINDOW_BATCHES = 32  # requests are sorted by length among about this many batches


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, for whoever draws it."""

    cell: Cell
    phase: str  # "load", "fit", "run", "summarise", "done", "reused"
    done: int = 0  # examples finished, those of earlier sessions included
    total: int | None = None  # examples, once known
    failed: int = 0
    rate: float = 0.0  # examples per second in this session
    remaining: float | None = None  # seconds
    metric: str = ""
    value: float | None = None  # of the metric over what is finished
    share: float = 0.0  # of the training budget, in phase "fit"
    text: str = ""  # "loss 1.234", in phase "fit"


def _unheard(line: str) -> None:
    """One line that nobody reads."""


def _unwatched(progress: Progress) -> None:
    """Progress that nobody draws."""


@dataclass(frozen=True, slots=True)
class Session:
    """What all cells of one command share."""

    sources: Sources
    out: Path = Path("runs")
    fresh: bool = False  # compute again what is finished
    batch_tokens: int = 8192  # padded tokens a batch, as the model's `size` counts them
    batch_requests: int = 128
    warm_up: bool = True
    announce: Callable[[str], None] = _unheard
    progress: Callable[[Progress], None] = _unwatched


@dataclass(frozen=True, slots=True)
class Finished:
    """A result and the folder that holds it."""

    result: RunResult
    folder: Path
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cell: `finished` or `error`."""

    cell: Cell
    finished: Finished | None = None
    error: HarnessError | None = None


@dataclass(slots=True)
class Shelf:
    """The one model that is up, so that consecutive cells share it."""

    key: Any = None
    loaded: Any = None
    warm: set[str] = field(default_factory=set)  # doors that have been warmed up


def run_all(cells: Sequence[Cell], session: Session) -> Iterator[Outcome]:
    """Run cells one after the other; one that cannot be computed does not stop the rest."""
    shelf = Shelf()
    for cell in cells:
        try:
            yield Outcome(cell, finished=run(cell, session, shelf))
        except HarnessError as problem:
            yield Outcome(cell, error=problem)


def run(cell: Cell, session: Session, shelf: Shelf | None = None) -> Finished:
    """Run one cell, or reuse its finished result.

    Errors: UsageError when the cell makes no sense, HarnessError when it cannot be computed; KeyboardInterrupt
    carries a line that says how to resume.
    """
    reason = refusal(cell)
    if reason:
        raise UsageError(reason)
    return run_pairing(introduce(cell), session, shelf)


def run_pairing(pairing: Pairing, session: Session, shelf: Shelf | None = None) -> Finished:
    """`run` for objects that have been introduced already."""
    cell = pairing.cell
    setting = Setting(
        sources=session.sources,
        device=devices.resolve(cell.device),
        dtype=cell.dtype,
        announce=session.announce,
        progress=lambda share, text: session.progress(Progress(cell, "fit", share=share, text=text)),
    )
    signature = sign(pairing, setting)
    path = folder_of(session.out, signature)
    unknown = signatures.unknown_parts(signature)
    if unknown:
        session.announce(f"{pairing.title}: {', '.join(unknown)} cannot be identified, so nothing stored is reused.")
    fresh = session.fresh or bool(unknown)
    if not fresh:
        stored = _finished(path, signature)
        if stored is not None:
            session.progress(Progress(cell, "reused", done=stored.examples, total=stored.examples))
            return Finished(stored, path, reused=True)
    with RunFolder(path, session.announce) as folder:
        if fresh:
            folder.clear()
        try:
            result = _compute(pairing, session, setting, signature, folder, shelf or Shelf())
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Finished examples are safe in {path}; the same command goes on from there."
            ) from None
    return Finished(result, path)


def _finished(path: Path, signature: dict[str, Any]) -> RunResult | None:
    """The result of an earlier run of exactly this signature, if it came to its end."""
    try:
        result = results.load(path)
    except DataError:
        # absent or damaged: the journal, if there is one, still holds what was computed
        return None
    return result if result.signature == signature else None


class _OtherPath(Exception):  # noqa: N818 - a turn in the road, not an error
    """The model came up on another code path than the one that the journal was made with."""


def _compute(
    pairing: Pairing,
    session: Session,
    setting: Setting,
    signature: dict[str, Any],
    folder: RunFolder,
    shelf: Shelf,
) -> RunResult:
    try:
        return _Evaluation(pairing, session, setting, signature, folder, shelf).result()
    except _OtherPath as turn:
        session.announce(f"{pairing.title}: {turn}; its stored responses are not used.")
        folder.clear()
        return _Evaluation(pairing, session, setting, signature, folder, shelf).result()


@dataclass(slots=True)
class _Slot:
    """An example on its way: the answers so far, and how long each door call took to give them."""

    example: Example
    position: int
    answers: list[Response | None]
    waits: dict[int, float] = field(default_factory=dict)  # door call -> seconds
    first_token: float | None = None


class _Evaluation:
    """One run from journal to result; everything that changes while it goes on."""

    def __init__(
        self,
        pairing: Pairing,
        session: Session,
        setting: Setting,
        signature: dict[str, Any],
        folder: RunFolder,
        shelf: Shelf,
    ) -> None:
        self.pairing, self.session, self.signature, self.folder = pairing, session, signature, folder
        self.setting = replace(setting, folder=folder.path / CHECKPOINTS)
        self.shelf = shelf
        self.began = self.marked = timing.clock()
        self.ledger = Ledger(pairing.metrics)
        self.unscored: dict[str, int] = {}  # id -> offset of an entry whose metrics failed in an earlier session
        self.loaded: Any = None
        self.manifest: dict[str, Any] = {}
        self.notes: tuple[str, ...] = ()
        self.budget = Budget(session.batch_tokens, session.batch_requests)
        self.unsaved = timing.Tally()  # door calls whose examples are not in the journal yet
        self.setup: dict[str, float] = {}  # seconds of this session that are not in the journal yet
        self.last_call: RunMeter | None = None
        self.calls = 0
        self.resumed = 0  # examples finished in earlier sessions
        self.total = pairing.cell.limit
        self.energy = timing.EnergyProbe(setting.device)
        self.drawn = (0.0, 0.0)  # when progress was last drawn, and what drawing it cost

    def result(self) -> RunResult:
        """Replay, compute what is missing, summarise, and write the result last."""
        self._replay()
        self._stream()
        found = self._summarise()
        results.save(found, self.folder.path / RESULT)
        self._draw("done")
        return found

    def _replay(self) -> None:
        self.manifest = self.folder.read_json(MANIFEST) or {}
        if self.manifest.get("signature") != self.signature:
            # a folder without a readable manifest of this very signature vouches for nothing
            self.folder.clear()
            self.manifest = {"signature": self.signature, "identity": None, "notes": []}
            self.folder.write_json(MANIFEST, self.manifest)
        self.notes = tuple(self.manifest["notes"])
        names = {metric.name for metric in self.pairing.metrics}
        for offset, entry in self.folder.replay():
            if entry.failed or names <= set(entry.statistics):
                if not self.ledger.knows(entry.id):
                    self.ledger.add(entry)
            else:
                self.unscored[entry.id] = offset
        self.resumed = self.ledger.finished

    def _stream(self) -> None:
        """Bring every example that is not finished before the model, a window at a time."""
        window: list[_Slot] = []
        weight = requests = 0
        limit = WINDOW_BATCHES * self.session.batch_tokens
        for example in self._examples():
            position = self.ledger.reach(example.id)
            if position is None:
                continue
            slot = _Slot(example, position, [None] * len(example.requests))
            if example.id in self.unscored:
                self._score_again(slot)
                continue
            window.append(slot)
            requests += len(example.requests)
            weight += sum(self._size(request) for request in example.requests)
            if weight >= limit or requests >= WINDOW_BATCHES * self.session.batch_requests:
                self._answer(window)
                window, weight, requests = [], 0, 0
        self.total = self.ledger.reached
        if not self.total:
            raise DataError(f"{self.pairing.task_spec} has no example in its split {self.pairing.cell.split!r}.")
        self._answer(window)

    def _examples(self) -> Iterator[Example]:
        cell, task = self.pairing.cell, self.pairing.task
        with foreign(f"task {self.pairing.task_spec}"):
            stream = iter(islice(task.examples(cell.split, cell.seed, self.session.sources), cell.limit))
        while True:
            with foreign(f"task {self.pairing.task_spec}"):
                example = next(stream, None)
            if example is None:
                return
            doors = {request.door for request in example.requests}
            if doors != {task.door}:
                raise HarnessError(
                    f"{self.pairing.task_spec}: example {example.id!r} uses the doors {sorted(doors)}, "
                    f"but the task's door is {task.door!r}."
                )
            yield example

    def _answer(self, window: Sequence[_Slot]) -> None:
        """Ask for every request of the window, then for those that follow from the answers, until none does."""
        pending = [
            self._pending(slot, index, request)
            for slot in window
            for index, request in enumerate(slot.example.requests)
        ]
        while pending:
            self._warm_up(pending)
            following: list[Pending] = []
            for batch in batches(pending, self.budget, getattr(self._model(), "plan", None)):
                for part, responses in answer(batch, self._ask, self.budget, self._free_memory):
                    following += self._take(part, responses)
            pending = following

    def _pending(self, slot: _Slot, index: int, request: Request) -> Pending:
        seed = signatures.request_seed(self.pairing.cell.seed, slot.example.id, index)
        return Pending(request, seed, self._size(request), (slot, index))

    def _ask(self, part: Sequence[Pending]) -> list[Response]:
        """One door call, timed."""
        model = self._model()
        meter = RunMeter(len(part), devices.synchroniser(self.setting.device))
        self.last_call, self.calls = meter, self.calls + 1
        try:
            responses = self._call(model, part, meter)
        finally:
            meter.close()
            self.unsaved.add(meter.tally.stored())
        kind = ANSWERS[self.pairing.task.door]
        if len(responses) != len(part) or not all(isinstance(item, (kind, Failure)) for item in responses):
            raise HarnessError(
                f"{self.pairing.model_spec} was asked {len(part)} times to {self.pairing.task.door} and gave "
                f"{len(responses)} answers ({', '.join(sorted({type(item).__name__ for item in responses}))}); "
                f"it must give one {kind.__name__} or Failure each."
            )
        return responses

    def _call(self, model: Any, part: Sequence[Pending], meter: RunMeter) -> list[Response]:
        requests = [item.request for item in part]
        door = self.pairing.task.door
        with foreign(f"model {self.pairing.model_spec}"):
            if door == "generate":
                seeds = [item.seed for item in part]
                return list(model.generate(requests, decoder=self.pairing.decoder, seeds=seeds, meter=meter))
            return list(getattr(model, door)(requests, meter=meter))

    def _take(self, part: Sequence[Pending], responses: Sequence[Response]) -> list[Pending]:
        """Put answers where they belong; journal the examples that they complete; return what they lead to."""
        following: list[Pending] = []
        done: list[_Slot] = []
        timings = self.last_call.requests if self.last_call else []
        for item, response, timed in zip(part, responses, timings, strict=True):
            slot, index = item.place
            slot.answers[index] = response
            slot.waits[self.calls] = max(slot.waits.get(self.calls, 0.0), timed.latency)
            if index == 0:
                slot.first_token = timed.first_token
            if any(held is None for held in slot.answers):
                continue
            request = self._follow_up(slot)
            if request is None:
                done.append(slot)
            else:
                slot.answers.append(None)
                following.append(self._pending(slot, len(slot.answers) - 1, request))
        self._keep(done)
        return following

    def _follow_up(self, slot: _Slot) -> Request | None:
        task = self.pairing.task
        if not isinstance(task, FollowUp) or any(isinstance(held, Failure) for held in slot.answers):
            return None
        answers = [held for held in slot.answers if held is not None]
        with foreign(f"task {self.pairing.task_spec}"):
            return task.follow_up(slot.example, answers)

    def _keep(self, done: Sequence[_Slot]) -> None:
        """Measure and journal finished examples, in one write that is on disk before anything else happens."""
        if not done:
            return
        problem: ForeignError | None = None
        entries: list[tuple[int, Entry]] = []
        for slot in done:
            try:
                statistics = self._measure(slot)
            except ForeignError as failure:
                # the answers were paid for, so they are kept, and measured again once the metric is mended
                statistics, problem = None, failure
            entries.append((slot.position, _entry(slot, statistics)))
        now = timing.clock()
        setup, self.setup = self.setup | {"wall": now - self.marked}, {}
        self.marked = now
        first = entries[0][1]
        batch = self.unsaved.stored() | {"setup": setup}
        entries[0] = (entries[0][0], replace(first, timings={**first.timings, "batch": batch}))
        self.unsaved = timing.Tally()
        self.folder.append([entry for _, entry in entries])
        for position, entry in entries:
            if entry.failed or entry.statistics:
                self.ledger.add(entry, position)
        if problem is not None:
            raise problem
        self._draw("run")

    def _measure(self, slot: _Slot) -> dict[str, Any] | None:
        answers = [held for held in slot.answers if held is not None]
        if any(isinstance(held, Failure) for held in answers):
            return None
        found = {}
        for metric in self.pairing.metrics:
            with foreign(f"metric {metric.name} on example {slot.example.id!r}"):
                found[metric.name] = metric.measure(slot.example, answers)
        return found

    def _score_again(self, slot: _Slot) -> None:
        """Measure an example whose stored answers could not be measured in an earlier session."""
        stored = self.folder.entry_at(self.unscored.pop(slot.example.id))
        slot.answers = list(stored.responses)
        entry = replace(_entry(slot, self._measure(slot)), timings=stored.timings)
        self.folder.append([entry])
        self.ledger.add(entry, slot.position)

    def _model(self) -> Any:
        """The model, put up (or fitted) when it is first needed."""
        if self.loaded is None:
            self.loaded = self._fit() if self.pairing.learns else self._load()
            identity = dict(self.loaded.identity)
            before = self.manifest["identity"]
            if before is not None and ran(before) != ran(identity) and self.resumed:
                raise _OtherPath(f"it now runs as {ran(identity)}, the stored responses come from {ran(before)}")
            if before is None or not self.resumed:
                self.manifest |= {"identity": identity, "notes": list(self.notes)}
                self.folder.write_json(MANIFEST, self.manifest)
        return self.loaded

    def _load(self) -> Any:
        key = (self.pairing.model_spec, self.setting.device, self.setting.dtype, str(self.signature["weights"]))
        if self.shelf.key != key:
            self.shelf.key, self.shelf.loaded = None, None
            gc.collect()
            self._draw("load")
            start = timing.clock()
            with foreign(f"loading {self.pairing.model_spec}"):
                self.shelf.loaded = self.pairing.model.load(replace(self.setting, folder=None))
            self.shelf.key, self.shelf.warm = key, set()
            self._spent("load", timing.clock() - start)
        return self.shelf.loaded

    def _fit(self) -> Any:
        self._draw("fit")
        meter = RunMeter(0, devices.synchroniser(self.setting.device))
        loaded, self.notes = fit(self.pairing, self.setting, meter)
        meter.close()
        self._spent("fit", meter.tally.seconds)
        self.shelf.key, self.shelf.loaded, self.shelf.warm = None, None, set()
        return loaded

    def _warm_up(self, pending: Sequence[Pending]) -> None:
        """Let the first call's one-time costs (allocation, compilation) fall on a call whose time is set apart."""
        door = self.pairing.task.door
        if not self.session.warm_up or door in self.shelf.warm:
            return
        model = self._model()
        shortest = min(pending, key=lambda item: item.size)
        if isinstance(shortest.request, Generate):
            few = min(WARM_UP_TOKENS, shortest.request.max_new_tokens)
            shortest = replace(shortest, request=replace(shortest.request, max_new_tokens=few))
        meter = RunMeter(1, devices.synchroniser(self.setting.device))
        try:
            self._call(model, [shortest], meter)
        except ForeignError as problem:
            # the same request is asked for in earnest next, and its failure is counted there
            self.session.announce(f"{self.pairing.title}: the warm-up call did not succeed: {problem}")
        meter.close()
        self._spent("warm_up", meter.tally.seconds)
        self.shelf.warm.add(door)

    def _size(self, request: Request) -> int:
        model = self._model()
        with foreign(f"model {self.pairing.model_spec}"):
            return max(1, int(model.size(request)))

    def _free_memory(self) -> None:
        self.unsaved.counters["out_of_memory"] = self.unsaved.counters.get("out_of_memory", 0) + 1
        gc.collect()
        devices.release_memory(self.setting.device)

    def _spent(self, name: str, seconds: float) -> None:
        self.setup[name] = self.setup.get(name, 0.0) + seconds

    def _draw(self, phase: str) -> None:
        """Tell whoever watches, but never spend more than a few percent of the time on the current metric."""
        now = timing.clock()
        last, cost = self.drawn
        if phase == "run" and now - last < max(0.2, 30 * cost):
            return
        ledger, metric = self.ledger, self.pairing.metrics[0]
        here = ledger.finished - self.resumed
        rate = here / max(1e-9, now - self.began)
        left = None if self.total is None or not here else max(0, self.total - ledger.finished) / rate
        self.session.progress(
            Progress(
                cell=self.pairing.cell,
                phase=phase,
                done=ledger.finished,
                total=self.total,
                failed=ledger.failed,
                rate=rate,
                remaining=left,
                metric=metric.name,
                value=summary.current(metric, ledger) if phase == "run" else None,
            )
        )
        self.drawn = (now, timing.clock() - now)

    def _summarise(self) -> RunResult:
        self._draw("summarise")
        pairing, ledger, seed = self.pairing, self.ledger, self.pairing.cell.seed
        with foreign(f"summarising {pairing.task_spec}"):
            metrics = summary.measurements(pairing.metrics, ledger, seed)
            parts = summary.breakdown(pairing.metrics, ledger, seed)
            samples = summary.samples(pairing.metrics, ledger)
        identity = self.manifest["identity"] or {}
        return RunResult(
            signature=self.signature,
            digest=signatures.digest(self.signature),
            metrics=metrics,
            breakdown=parts,
            examples=ledger.reached,
            failed=ledger.failed,
            failures=ledger.failures(),
            identity=identity,
            ran=ran(identity),
            notes=self.notes,
            samples=samples,
            timings=self._timings(),
            environment=environment.describe(self.setting.device)
            | {"date": timing.date(), "calibration": timing.calibration()},
        )

    def _timings(self) -> dict[str, Any]:
        setup = dict(self.ledger.setup)
        for name, seconds in (self.setup | {"wall": timing.clock() - self.marked}).items():
            setup[name] = setup.get(name, 0.0) + seconds
        self.ledger.tally.add(self.unsaved.stored())
        report = timing.report(
            setup, self.ledger.tally, self.ledger.latencies, self.ledger.first_tokens, self.ledger.tokens
        )
        return report | {
            "peak_resident_bytes": timing.peak_resident_bytes(),
            "peak_device_bytes": devices.peak_device_bytes(self.setting.device),
            "energy_joules": self.energy.joules(),
            "energy_source": self.energy.source,
        }


def ran(identity: Any) -> dict[str, Any]:
    """The parts of a model's identity that say which code path ran."""
    return {name: identity[name] for name in RAN if name in identity}


def _entry(slot: _Slot, statistics: dict[str, Any] | None) -> Entry:
    answers = tuple(held for held in slot.answers if held is not None)
    return Entry(
        id=slot.example.id,
        responses=answers,
        statistics=statistics or {},
        tags=dict(slot.example.tags),
        cluster=slot.example.cluster,
        timings={
            "latency": sum(slot.waits.values()),
            "first_token": slot.first_token,
            "tokens": sum(_tokens(answer) for answer in answers),
        },
        asked=signatures.asked(slot.example),
        failed=any(isinstance(answer, Failure) for answer in answers),
    )


def _tokens(response: Response) -> int:
    """True tokens of a response: generated up to the first EOS, or scored."""
    if isinstance(response, Generated):
        return len(response.tokens)
    return len(response.logprobs) if isinstance(response, Scored) else 0
