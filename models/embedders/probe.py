"""embedders/probe: what a linear classifier reads from frozen sentence vectors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Embed, Embedded, Example, Failure, Label, Labelled, Request, Response

# N examples, F features, K classes

STRENGTHS = tuple(2.0**power for power in range(-2, 4))  # SentEval's inverse regularisation strengths
VOCABULARY = 257  # byte b is id b + 1; 0 stands between the sentences of a pair
TOGETHER = 64  # texts of one call to the encoder


@model(
    doors=("label",),
    paper="Conneau, Kiela 2018, SentEval, arXiv:1803.05449",
    licence="the encoder's own",
    learns=True,
    differs="the strength is chosen on the validation split in place of an inner ten-fold cross-validation",
)
class Probe:
    """Logistic regression (scikit-learn, L2) on the vectors of `encoder`, which is not trained.

    A sentence gives its vector u, a pair gives [|u - v|, u * v]. The inverse strength C is the one of 1/4, 1/2, ..., 8
    with the best validation accuracy (the smallest of equals; 1 where there is no validation split). Sentences come as
    bytes, as the transfer tasks ask them.

    Conneau, Kiela 2018, "SentEval".
    Differs from the paper: the strength is chosen on the validation split.
    """

    encoder: str = "embedders/minilm"

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The encoder's digests and the classifier's version."""
        version = str(_sklearn("sklearn").__version__)
        return {**registry.create("model", self.encoder).fingerprint(setting), "probe": "1", "scikit-learn": version}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> FittedProbe:
        """Embed both splits once, choose the strength, and keep the classifier of the training split."""
        if "embed" not in registry.card("model", registry.parse(self.encoder)[0]).facts["doors"]:
            raise UsageError(f"encoder={self.encoder} does not embed texts.")
        vectors = Vectors(registry.create("model", self.encoder).load(setting))
        linear = _sklearn("sklearn.linear_model")
        known_NF, labels_N, classes = vectors.table(train(), meter)
        if len(np.unique(labels_N)) < 2:
            raise UsageError("a probe needs training examples of two classes or more.")
        held_NF, wanted_N, _ = vectors.table(validation(), meter)

        def fitted(strength: float) -> Any:
            return linear.LogisticRegression(C=strength, max_iter=2000).fit(known_NF, labels_N)

        with meter.span("train", len(known_NF)):
            if not len(held_NF):
                return FittedProbe(vectors, fitted(1.0), 1.0, classes)
            tried = [(strength, fitted(strength)) for strength in STRENGTHS]
            # the first of equals has the smallest strength
            best, chosen = max(tried, key=lambda item: float((item[1].predict(held_NF) == wanted_N).mean()))
        return FittedProbe(vectors, chosen, best, classes)


@final
class FittedProbe:
    """A logistic regression behind the `label` door."""

    def __init__(self, vectors: Vectors, classifier: Any, strength: float, classes: int) -> None:
        self.vectors, self.classifier, self.strength, self.classes = vectors, classifier, strength, classes

    @property
    def identity(self) -> Mapping[str, Any]:
        """The encoder's facts, and what was chosen."""
        return {**self.vectors.encoder.identity, "inverse_strength": self.strength}

    def size(self, request: Request) -> int:
        """Bytes of the sentences."""
        return len(request.sequence) if isinstance(request, Label) else 1

    def label(self, requests: Sequence[Label], *, meter: Meter) -> list[Response]:
        """Log-probabilities of the classes; minus infinity for one that training never saw."""
        features = self.vectors.features([texts(request) for request in requests], meter)
        good = [index for index, item in enumerate(features) if not isinstance(item, Failure)]
        responses: list[Response] = [item if isinstance(item, Failure) else Failure("no answer") for item in features]
        if good:
            stacked_NF = np.stack([np.asarray(features[index]) for index in good])
            scores_NK = np.full((len(good), self.classes), -np.inf)
            scores_NK[:, self.classifier.classes_] = self.classifier.predict_log_proba(stacked_NF)
            for index, scores in zip(good, scores_NK, strict=True):
                responses[index] = Labelled(scores)
        return responses


@final
class Vectors:
    """Features of sentences and pairs, from a loaded encoder."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder

    def table(self, examples: Iterator[Example], meter: Meter) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
        """Features [N, F], labels [N] and the number of classes."""
        asked, labels, classes = [], [], 0
        for example in examples:
            request = example.requests[0]
            if not isinstance(request, Label):
                raise UsageError(f"a probe learns labels of sentences, not {request.door!r} tasks.")
            asked.append(texts(request))
            labels.append(int(example.target))
            classes = request.classes
        features = self.features(asked, meter)
        failed = next((item for item in features if isinstance(item, Failure)), None)
        if failed is not None:
            raise HarnessError(f"the encoder could not embed a training sentence: {failed.error}")
        return np.array(features, dtype=np.float64).reshape(len(features), -1), np.array(labels, dtype=int), classes

    def features(self, asked: Sequence[tuple[str, ...]], meter: Meter) -> list[NDArray[np.float64] | Failure]:
        """u, or [|u - v|, u * v], or the Failure of a sentence."""
        unique = sorted({text for row in asked for text in row}, key=len)
        found: dict[str, Response] = {}
        for start in range(0, len(unique), TOGETHER):
            part = unique[start : start + TOGETHER]
            answers = self.encoder.embed([Embed(text) for text in part], meter=meter)
            found |= dict(zip(part, answers, strict=True))
        return [_joined([found[text] for text in row]) for row in asked]


def texts(request: Label) -> tuple[str, ...]:
    """The one or two sentences of a request; UsageError when it does not carry text as bytes."""
    if request.vocabulary != VOCABULARY or request.positions:
        raise UsageError("a probe reads sentences as bytes (vocabulary 257, no positions); this task asks otherwise.")
    ids = np.asarray(request.sequence, dtype=np.int64)
    parts = np.split(ids, np.flatnonzero(ids == 0)) if len(ids) > 1 else [ids]
    return tuple(bytes((part[part > 0] - 1).astype(np.uint8)).decode("utf-8", "replace") for part in parts)


def _joined(answers: Sequence[Response]) -> NDArray[np.float64] | Failure:
    vectors = []
    for answer in answers:
        if not isinstance(answer, Embedded):
            return answer if isinstance(answer, Failure) else Failure(f"a {type(answer).__name__} is no vector")
        vectors.append(np.asarray(answer.vector, dtype=np.float64))
    if len(vectors) == 1:
        return vectors[0]
    return np.concatenate([np.abs(vectors[0] - vectors[1]), vectors[0] * vectors[1]])


def _sklearn(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise UsageError(f"a probe needs scikit-learn ({problem}): pip install 'seqharness[embeddings]'.") from problem
