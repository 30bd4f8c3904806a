"""How does a cell become a result? The one loop: replay, stream, batch, ask, measure, journal, summarise.

Nothing that is finished is computed twice: the journal is replayed first, and only the examples that it lacks go to
the model, which is put up when the first of them is reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from harness import devices, environment, fits, parts, results, summary, timing
from harness import signature as signatures
from harness.api.errors import DataError, HarnessError
from harness.api.protocols import FollowUp, Setting
from harness.api.types import Example, Request, Response
from harness.batching import Budget, Pending, answer, batches
from harness.boundary import ForeignError, foreign
from harness.contestant import Contestant
from harness.journal import MANIFEST, RESULT, Entry, RunFolder, entry_at
from harness.ledger import Ledger, UnevenError
from harness.pairing import Pairing
from harness.results import RunResult
from harness.session import Progress, Session, Shelf
from harness.slot import Slot, added, entry_of

RAN = ("backend", "kernels", "device", "dtype")  # parts of a model's identity that name a code path
WINDOW = 32  # requests are sorted by length among about this many batches
REDRAW = 0.2  # seconds between two updates of the progress, at least


class OtherPath(Exception):  # noqa: N818 - a turn in the road, not an error
    """The model came up on another code path than the one that the journal was made with."""


class Evaluation:
    """One run from journal to result; everything that changes while it goes on."""

    def __init__(
        self,
        pairing: Pairing,
        session: Session,
        setting: Setting,
        signature: Mapping[str, Any],
        folder: RunFolder,
        shelf: Shelf,
        company: str = "",
    ) -> None:
        self._pairing, self._session, self._folder = pairing, session, folder
        self._signature = dict(signature)
        self._device = setting.device
        self._company = company  # names the runs that take turns with this one
        self._model = Contestant(
            pairing,
            setting,
            shelf,
            signature["weights"],
            self._came_up,
            self._draw,
            fits=fits.folder_of(session.out, signature, pairing.fit_code or {}) if pairing.learns else None,
            fresh=session.fresh or bool(signatures.unknown_parts(signature)),
        )
        self._ledger = Ledger(pairing.metrics)
        self._unscored: dict[str, int] = {}  # id -> offset of an entry whose metrics failed in an earlier session
        self._manifest: dict[str, Any] = {}
        # what is carried from prompt to prompt must not depend on how many go together
        self._requests = 1 if pairing.carries else session.batch_requests
        self._budget = Budget(session.batch_tokens, self._requests)
        self._resumed = 0  # examples finished in earlier sessions
        self._total = pairing.cell.limit  # examples, an upper bound until the stream has ended
        devices.begin_peak(setting.device)
        timing.reset_peak_resident()
        self._peak = 0  # bytes, before the turn that goes on
        self._joules: float | None = 0.0
        self._energy = timing.EnergyProbe(setting.device)
        self._began = self._marked = timing.clock()
        self._drawn = (0.0, 0.0)  # when progress was last drawn, and what drawing it cost

    def turns(self) -> Iterator[None]:
        """Replay, then compute what is missing; control comes back after a window of examples, or one if interleaved.

        What happens elsewhere between two turns is not counted as this run's.
        Errors: OtherPath when stored responses come from another code path; HarnessError otherwise.
        """
        self._replay()
        for _ in self._compute():
            self._rest()
            left = timing.clock()
            yield
            self._marked += timing.clock() - left
            timing.reset_peak_resident()
            self._energy = timing.EnergyProbe(self._device)

    def conclude(self) -> RunResult:
        """Summarise and write the result last."""
        self._rest()
        found = self._summarise()
        results.save(found, self._folder.path / RESULT)
        self._draw("done")
        return found

    def _rest(self) -> None:
        """Note what the turn that ends took of what only the whole process knows."""
        self._peak = max(self._peak, timing.peak_resident_bytes())
        used = self._energy.joules()
        self._joules = None if used is None or self._joules is None else self._joules + used

    def _replay(self) -> None:
        self._manifest = self._folder.read_json(MANIFEST)
        if not _whole(self._manifest) or self._manifest["signature"] != self._signature:
            # a folder without a readable manifest of this very signature vouches for nothing
            self._begin_anew()
        try:
            self._take_up()
        except UnevenError as problem:
            # each line is as it was written, but no run of this signature wrote them all
            self._session.announce(f"{self._folder.path}: its journal contradicts itself ({problem}); computed anew.")
            self._begin_anew()
            self._take_up()
        self._resumed = self._ledger.finished

    def _begin_anew(self) -> None:
        self._folder.clear()
        self._ledger, self._unscored = Ledger(self._pairing.metrics), {}
        self._manifest = {"signature": self._signature, "identity": None, "notes": []}
        self._folder.write_json(MANIFEST, self._manifest)

    def _take_up(self) -> None:
        """Take what is finished from the journal."""
        names = {metric.name for metric in self._pairing.metrics}
        for offset, entry in self._folder.replay():
            if self._ledger.knows(entry.id):
                continue
            if entry.failed or names <= set(entry.statistics):
                self._ledger.add(entry)
            else:
                self._unscored[entry.id] = offset

    def _came_up(self, identity: Mapping[str, Any], notes: tuple[str, ...]) -> None:
        """The model says what it is; the first session's word stands for the run."""
        # loading and fitting are over: what is left to do goes at the pace of answers alone
        self._began = timing.clock()
        before = self._manifest["identity"]
        if before is not None and self._resumed:
            if ran(before) != ran(identity):
                raise OtherPath(f"it now runs as {ran(identity)}, the stored responses come from {ran(before)}")
            return
        self._manifest |= {"identity": dict(identity), "notes": list(notes)}
        self._folder.write_json(MANIFEST, self._manifest)

    def _compute(self) -> Iterator[None]:
        """Bring every example that is not finished before the model, a window at a time."""
        window: list[Slot] = []
        weight = requests = 0
        for example in self._examples():
            position = self._ledger.reach(example.id)
            if position is None:
                continue
            slot = Slot(example, position, [None] * len(example.requests))
            if example.id in self._unscored:
                self._score_again(slot)
                continue
            slot.sizes = [self._model.size(request) for request in example.requests]
            window.append(slot)
            requests += len(slot.sizes)
            weight += sum(slot.sizes)
            full = weight >= WINDOW * self._session.batch_tokens or requests >= WINDOW * self._requests
            if full or self._company or self._pairing.carries:
                self._answer(window)
                window, weight, requests = [], 0, 0
                yield
        self._total = self._ledger.reached
        if not self._total:
            raise DataError(f"{self._pairing.task_spec} has no example in its split {self._pairing.cell.split!r}.")
        self._answer(window)

    def _examples(self) -> Iterator[Example]:
        cell, task = self._pairing.cell, self._pairing.task
        with foreign(f"task {self._pairing.task_spec}"):
            stream = iter(islice(task.examples(cell.split, cell.seed, self._session.sources), cell.limit))
        while True:
            with foreign(f"task {self._pairing.task_spec}"):
                example = next(stream, None)
            if example is None:
                return
            doors = {request.door for request in example.requests}
            if doors != {task.door}:
                raise HarnessError(
                    f"{self._pairing.task_spec}: example {example.id!r} uses the doors {sorted(doors)}, "
                    f"but the task's door is {task.door!r}."
                )
            yield example

    def _answer(self, window: Sequence[Slot]) -> None:
        """Ask for every request of the window, then for those that follow from the answers, until none does."""
        pending = [
            self._pending(slot, index, request)
            for slot in window
            for index, request in enumerate(slot.example.requests)
        ]
        if pending and self._session.warm_up:
            self._model.warm_up(pending)
        while pending:
            following: list[Pending] = []
            for batch in batches(pending, self._budget, self._model.plan if self._requests > 1 else None):
                for part, responses in answer(batch, self._model.ask, self._budget, self._model.free_memory):
                    following += self._take(part, responses)
            pending = following

    def _pending(self, slot: Slot, index: int, request: Request) -> Pending:
        seed = signatures.request_seed(self._pairing.cell.seed, slot.example.id, index)
        return Pending(request, seed, slot.sizes[index], (slot, index), (max(slot.sizes), slot.position))

    def _take(self, part: Sequence[Pending], responses: Sequence[Response]) -> list[Pending]:
        """Put answers where they belong; journal the examples that they complete; return what they lead to."""
        following: list[Pending] = []
        done: list[Slot] = []
        for item, response, timed in zip(part, responses, self._model.timings, strict=True):
            slot, index = item.place
            slot.answers[index] = response
            # requests of one example in one batch wait together, so only the longest wait counts
            slot.waits[self._model.calls] = max(slot.waits.get(self._model.calls, 0.0), timed.latency)
            slot.spent = added(slot.spent, self._model.spent) if len(part) == 1 else None
            if index == 0:
                slot.first_token = timed.first_token
            if any(held is None for held in slot.answers):
                continue
            request = self._follow_up(slot)
            if request is None:
                done.append(slot)
            else:
                slot.answers.append(None)
                slot.sizes.append(self._model.size(request))
                following.append(self._pending(slot, len(slot.answers) - 1, request))
        self._keep(done)
        return following

    def _follow_up(self, slot: Slot) -> Request | None:
        task = self._pairing.task
        if slot.failed or not isinstance(task, FollowUp):
            return None
        with foreign(f"task {self._pairing.task_spec}"):
            return task.follow_up(slot.example, slot.given)

    def _keep(self, done: Sequence[Slot]) -> None:
        """Measure and journal finished examples, in one write that is on disk before anything else happens."""
        if not done:
            return
        problem: ForeignError | None = None
        entries: list[Entry] = []
        for slot in done:
            statistics: dict[str, Any] = {}
            try:
                statistics = self._measure(slot)
            except ForeignError as failure:
                # the answers were paid for: they are kept, and measured again once the metric is mended
                problem = failure
            entries.append(entry_of(slot, statistics))
        entries[0] = replace(entries[0], timings={**entries[0].timings, "batch": self._lap()})
        self._folder.append(entries)
        for slot, entry in zip(done, entries, strict=True):
            if entry.failed or entry.statistics:
                self._ledger.add(entry, slot.position)
        if problem is not None:
            raise problem
        self._draw("run")

    def _measure(self, slot: Slot) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for metric in () if slot.failed else self._pairing.metrics:
            with foreign(f"metric {metric.name} on example {slot.example.id!r}"):
                found[metric.name] = metric.measure(slot.example, slot.given)
        return found

    def _score_again(self, slot: Slot) -> None:
        """Measure an example whose stored answers could not be measured in an earlier session."""
        stored = entry_at(self._folder.path, self._unscored.pop(slot.example.id))
        slot.answers = list(stored.responses)
        entry = replace(entry_of(slot, self._measure(slot)), timings=stored.timings)
        self._folder.append([entry])
        self._ledger.add(entry, slot.position)

    def _lap(self) -> dict[str, Any]:
        """What everything took since the last lap, for the journal: a resumed run adds its sessions up."""
        tally, apart = self._model.take_times()
        now = timing.clock()
        apart["wall"] = now - self._marked
        self._marked = now
        return tally.stored() | {"setup": apart}

    def _draw(self, phase: str) -> None:
        """Tell whoever watches, but never spend more than a few percent of the time on the current metric."""
        now = timing.clock()
        last, cost = self._drawn
        if phase == "run" and now - last < max(REDRAW, 30 * cost):
            return
        ledger, metric = self._ledger, self._pairing.metrics[0]
        here = ledger.finished - self._resumed
        rate = here / max(1e-9, now - self._began)
        self._session.progress(
            Progress(
                cell=self._pairing.cell,
                phase=phase,
                done=ledger.finished,
                total=self._total,
                failed=ledger.failed,
                rate=rate,
                remaining=None if self._total is None or not here else max(0, self._total - ledger.finished) / rate,
                metric=metric.name,
                value=summary.current(metric, ledger) if phase == "run" else None,
            )
        )
        self._drawn = (now, timing.clock() - now)

    def _summarise(self) -> RunResult:
        self._draw("summarise")
        ledger, seed, metrics = self._ledger, self._pairing.cell.seed, self._pairing.metrics
        with foreign(f"summarising {self._pairing.task_spec}"):
            found = summary.measurements(metrics, ledger, seed)
            slices = summary.breakdown(metrics, ledger, seed)
        identity = self._manifest["identity"] or {}
        place = environment.describe(self._device, parts.files(self._pairing.parts)) | {
            "date": timing.date(),
            "calibration": timing.calibration(),
        }
        return RunResult(
            signature=self._signature,
            digest=signatures.digest(self._signature),
            metrics=found,
            breakdown=slices,
            examples=ledger.reached,
            failed=ledger.failed,
            failures=ledger.failures(),
            identity=identity,
            ran=ran(identity),
            notes=tuple(self._manifest["notes"]),
            samples=summary.samples(metrics, ledger),
            timings=self._timings(),
            environment=place,
        )

    def _timings(self) -> dict[str, Any]:
        self._ledger.times.add_lap(self._lap())
        return timing.report(self._ledger.times) | {
            "requests_a_batch": self._requests,
            "company": self._company,
            "by_example": timing.to_columns(self._ledger.spent()),
            "peak_resident_bytes": self._peak,
            "peak_device_bytes": devices.peak_device_bytes(self._device),
            "energy_joules": self._joules,
            "energy_source": self._energy.source,
        }


def _whole(manifest: Any) -> bool:
    """Whether a manifest from the disk holds what this run is going to read from it."""
    return (
        isinstance(manifest, dict)
        and {"signature", "identity", "notes"} <= set(manifest)
        and isinstance(manifest["identity"], (dict, type(None)))
        and isinstance(manifest["notes"], list)
        and all(isinstance(note, str) for note in manifest["notes"])
    )


def ran(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a model's identity that say which code path ran."""
    return {name: identity[name] for name in RAN if name in identity}
