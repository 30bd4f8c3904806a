"""How does an encoder-decoder become a registered model? Read pairs, learn units, fit, keep the best weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.types import Budget, Example, Generate
from harness.models._training import Recipe, Spec, fit
from harness.models.seq2seq._fitted import Fitted
from harness.models.seq2seq._network import EncoderDecoder, padded
from harness.models.seq2seq._units import BEGIN, END, PAD, Units, learned

# B rows, S source positions, T target positions, V vocabulary

VALIDATED = 1000  # validation pairs at most; more would take time from training
SMOOTHED = 0.1  # Vaswani et al. 2017, section 5.4


@dataclass(frozen=True, kw_only=True)
class SequenceToSequence(ABC):
    """Abstract: a registered model that fits one encoder-decoder network. Subclasses are final."""

    width: int = 256
    depth: int = 2
    dropout: float = 0.2
    learning_rate: float = 2e-3
    smoothing: float = SMOOTHED
    batch: int = 64  # sentence pairs
    batch_tokens: int = 4096  # padded tokens of source or target
    units: Literal["bpe", "char"] = "bpe"
    vocabulary: int = 6000  # units, shared by source and target
    source_tokens: int = 400  # of a longer source the first ones are read; See et al. 2017 read 400 as well
    target_tokens: int = 200  # longer targets are not learnt from, and no output is longer

    @abstractmethod
    def network(self, vocabulary: int) -> EncoderDecoder:
        """The untrained network."""

    def anneal(self, network: EncoderDecoder, share: float) -> None:  # noqa: B027 - most methods anneal nothing
        """Change what depends on the share of the budget that is spent; nothing by default."""

    def finish(self, network: EncoderDecoder) -> Mapping[str, float]:
        """What happens to the trained network before it answers, and figures that say so; nothing by default."""
        return {}

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Weights come from the fit, so only the training code's version counts."""
        return {"training": "seq2seq/1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> Fitted:
        """Fit on `generate` examples; the weights of the lowest validation loss are kept."""
        if setting.dtype == "float16":
            raise UsageError("seq2seq models train in float32 or bfloat16; float16 would need loss scaling.")
        texts = list(text_pairs(train()))
        if not texts:
            raise UsageError("the task has no training pair of two texts to learn from.")
        units = learned(self.units, (text for pair in texts for text in pair), self.vocabulary, setting.folder)
        data = Pairs.of(texts, units, self)
        held = Pairs.of(list(islice(text_pairs(validation()), VALIDATED)), units, self)
        if not data.rows:
            raise UsageError(f"every training target is longer than target_tokens={self.target_tokens}.")
        torch.manual_seed(seed)
        network = self.network(units.size).to(setting.device)
        spec = Spec(data.lengths, self._loss(network, data, setting), self._validation(network, held, setting))
        recipe = Recipe(
            learning_rate=self.learning_rate,
            batch_examples=self.batch,
            batch_tokens=max(self.batch_tokens, *data.lengths),
            default_steps=2000,
        )

        def watched(share: float, text: str) -> None:
            self.anneal(network, share)
            setting.progress(share, text)

        self.anneal(network, 0.0)
        spent = fit(
            network,
            spec if held.rows else replace(spec, validate=None),
            recipe,
            budget=budget,
            seed=seed,
            setting=replace(setting, progress=watched),
            meter=meter,
        )
        self.anneal(network, 1.0)
        facts = {
            "training_pairs": len(data.rows),
            "pairs_too_long": data.dropped,
            "training_dtype": "bfloat16" if setting.dtype == "bfloat16" else "float32",
            "steps": spent.step,
            "epochs": round(spent.tokens / data.tokens, 3),
            "validation_loss": round(spent.best, 4),
            **self.finish(network),
        }
        return Fitted(network, units, setting.device, self.source_tokens, self.target_tokens, facts)

    def _loss(
        self, network: EncoderDecoder, data: Pairs, setting: Setting
    ) -> Callable[[Sequence[int]], tuple[Tensor, int]]:
        def loss(indices: Sequence[int]) -> tuple[Tensor, int]:
            # mixed precision: products in bfloat16, weights and sums in float32
            half = setting.dtype == "bfloat16"
            with torch.autocast(setting.device, torch.bfloat16, enabled=half):
                return cross_entropy(network, [data.rows[place] for place in indices], setting.device, self.smoothing)

        return loss

    def _validation(self, network: EncoderDecoder, held: Pairs, setting: Setting) -> Callable[[], float]:
        # pairs of like length together, so that little padding is computed
        order = sorted(range(len(held.rows)), key=lambda place: held.lengths[place])

        def validate() -> float:
            total, count = 0.0, 0
            for start in range(0, len(order), self.batch):
                rows = [held.rows[place] for place in order[start : start + self.batch]]
                value, tokens = cross_entropy(network, rows, setting.device, 0.0)
                total, count = total + float(value) * tokens, count + tokens
            return total / count

        return validate


@dataclass(slots=True)
class Pairs:
    """A split as ids."""

    rows: list[tuple[list[int], list[int]]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)  # the longer side of each
    tokens: int = 0  # of all targets, their ends included
    dropped: int = 0  # pairs with a target beyond the limit

    @staticmethod
    def of(texts: Sequence[tuple[str, str]], units: Units, limits: SequenceToSequence) -> Pairs:
        """Encode; sources are cut at the limit, as they are when the model answers."""
        pairs = Pairs()
        for source, target in texts:
            asked, wanted = units.encode(source)[0][: limits.source_tokens], units.encode(target)[0]
            if len(wanted) >= limits.target_tokens:
                pairs.dropped += 1
                continue
            pairs.rows.append((asked or [END], wanted))
            pairs.tokens += len(wanted) + 1
            pairs.lengths.append(max(len(asked), len(wanted)) + 1)
        return pairs


def text_pairs(examples: Iterator[Example]) -> Iterator[tuple[str, str]]:
    """(source, target) of every example, once for each reference; a pair with a blank side teaches nothing.

    Errors: UsageError for a request that is no generation from a text.
    """
    for example in examples:
        request = example.requests[0]
        if not isinstance(request, Generate) or not isinstance(request.source, str):
            raise UsageError(f"example {example.id!r} is no generation from a text, so nothing can be learnt from it.")
        references = example.target if isinstance(example.target, (list, tuple)) else [example.target]
        for reference in references:
            if reference is not None and str(reference).strip() and request.source.strip():
                yield request.source, str(reference)


def cross_entropy(
    network: EncoderDecoder, rows: Sequence[tuple[list[int], list[int]]], device: str, smoothing: float
) -> tuple[Tensor, int]:
    """Mean over target tokens and their ends, in nats, and how many there were."""
    source_BS, lengths_B = padded([source for source, _ in rows])
    target_BT, _ = padded([[*target, END] for _, target in rows])
    inputs_BT = torch.cat([torch.full((len(rows), 1), BEGIN), target_BT[:, :-1]], 1)
    graded_BT = target_BT != PAD
    logits_BTV = network(source_BS.to(device), lengths_B.to(device), inputs_BT.to(device))
    loss = functional.cross_entropy(
        logits_BTV.flatten(0, 1), target_BT.flatten().to(device), ignore_index=PAD, label_smoothing=smoothing
    )
    return loss, int(graded_BT.sum())
