"""What did the model really answer? The worst, the best and random examples of a run, and a digest of every answer.

A question and its target are quoted only where the stimuli are the project's own or generated: the rows of a data set
are not ours to publish again. Answers are quoted under the same rule, since many repeat their question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite, nan
from pathlib import Path

import numpy as np

from harness import results
from harness.api import registry, secrets
from harness.api.errors import DataError, HarnessError
from harness.api.metrics import Metric
from harness.api.protocols import Task
from harness.api.types import (
    Embed,
    Embedded,
    Example,
    Failure,
    Forecast,
    Forecasted,
    Generate,
    Generated,
    Label,
    Labelled,
    Measure,
    Measured,
    Request,
    Response,
    Score,
    Scored,
)
from harness.boards import agreement
from harness.boards.records import Record, Sample
from harness.journal import Entry, entries
from harness.pairing import metrics_of
from harness.sources import DataSources, from_environment

EACH = 3  # samples of each kind
CHARACTERS = 1000  # of a question, a target or an answer
OUTPUTS = 5000  # examples whose answers are digested
HIDDEN = "(from a data set that is not quoted here)"


def record_of(run: Path, quote: bool = False) -> Record:
    """The record of a finished run; `quote` shows the texts of a data set too.

    Errors: DataError when the run is not finished or its journal is gone.
    """
    result = results.load(run)
    agreement.check(result, str(run))
    _without_secrets(result, run)
    answered = [(entry.id, entry) for _, entry in entries(run)]
    texts = {name: _digest(entry.responses) for name, entry in answered}
    outputs = tuple(texts.values()) if all(texts.values()) and len(texts) <= OUTPUTS else ()
    return Record(result, outputs=outputs, samples=tuple(_samples(result, dict(answered), quote)))


def _without_secrets(result: results.RunResult, run: Path) -> None:
    """DataError when what the run says of itself holds a secret: records are for everybody."""
    said = [*result.notes, *(kind.message for kind in result.failures)]
    said += [str(part) for facts in (result.signature, result.identity, result.environment) for part in facts.values()]
    kind = next(filter(None, map(secrets.found, said)), "")
    if kind:
        raise DataError(f"{run} holds {kind}, which must not be published; mend its cause and run it with --fresh.")


def _samples(result: results.RunResult, answered: Mapping[str, Entry], quote: bool) -> list[Sample]:
    metric, examples = _asked(result, set(answered), quote)
    scores = {name: _score(metric, entry, result.headline) for name, entry in answered.items()}
    shown = []
    for name, picked in _pick(scores, result).items():
        example, entry = examples.get(name), answered[name]
        known = example is not None
        shown.append(
            Sample(
                id=name,
                picked=picked,
                score=scores[name],
                question=_cut(" / ".join(_request(part) for part in example.requests)) if example else HIDDEN,
                target=_cut("" if example.target is None else str(example.target)) if example else "",
                answer=_cut(" / ".join(_response(part) for part in entry.responses)) if known or quote else HIDDEN,
            )
        )
    return shown


def _asked(result: results.RunResult, wanted: set[str], quote: bool) -> tuple[Metric | None, dict[str, Example]]:
    """The headline's metric, and the examples if they may be quoted."""
    try:
        task: Task = registry.create("task", result.task)
        metric = next((item for item in metrics_of(task, result.task) if item.name == result.headline), None)
        sources = from_environment() if quote else DataSources(None, online=False)
        split, seed = result.signature["split"], result.signature["seed"]
        if task.data_digest(split, sources) != result.signature.get("data"):
            return metric, {}
        stream = islice(task.examples(split, seed, sources), result.signature.get("limit"))
        return metric, {example.id: example for example in stream if example.id in wanted}
    except HarnessError:
        # the task is not here, or its data are not its own: the numbers stand without quotations
        return None, {}


def _pick(scores: Mapping[str, float], result: results.RunResult) -> dict[str, str]:
    """Example -> why it is shown; each once, the worst first."""
    sign = 1.0 if result.metrics[result.headline].higher_is_better else -1.0
    known = sorted((name for name in scores if isfinite(scores[name])), key=lambda name: (sign * scores[name], name))
    # the same examples for every run of a task, so that two runs can be read side by side
    drawn = sorted(scores, key=lambda name: hashlib.blake2b(name.encode("utf-8", "backslashreplace")).digest())
    picked = dict.fromkeys(drawn[:EACH], "random")
    for why, names in (("worst", known), ("best", known[::-1])):
        for name in [name for name in names if name not in picked][:EACH]:
            picked[name] = why
    order = ("worst", "best", "random")
    picked = dict(sorted(picked.items(), key=lambda item: order.index(item[1])))
    return picked


def _score(metric: Metric | None, entry: Entry, headline: str) -> float:
    row = np.asarray(entry.statistics.get(headline, ()), dtype=np.float64)
    if not row.size or np.isnan(row).any():
        return nan
    if metric is None:
        return float(row[0]) if row.size == 1 else nan
    return float(metric.reduce(row[None, :]))


def _digest(responses: Sequence[Response]) -> str:
    """Eight hexadecimal digits of what was generated; empty where something else was asked."""
    total = hashlib.blake2b(digest_size=4)
    for response in responses:
        if not isinstance(response, (Generated, Failure)):
            return ""
        said = response.error if isinstance(response, Failure) else response.tokens or response.text
        total.update(repr(said).encode("utf-8", "backslashreplace"))
    return total.hexdigest()


def _request(request: Request) -> str:
    match request:
        case Generate(source=str() as source):
            return source
        case Generate(source=tuple() as turns):
            return "\n".join(f"{turn.role}: {turn.text}" for turn in turns)
        case Score():
            return f"{request.context} ⟶ {request.continuation}"
        case Embed():
            return request.text
        case Label():
            return f"{np.asarray(request.sequence).ravel()[:64].tolist()} (of shape {np.shape(request.sequence)})"
        case Forecast():
            return f"{request.past[-16:].tolist()} and {request.horizon} steps to come"
        case Measure():
            return f"{request.operation} {dict(request.size)}"
    return type(request).__name__


def _response(response: Response) -> str:
    match response:
        case Generated():
            return response.text
        case Failure():
            return f"FAILED: {response.error}"
        case Scored():
            return f"log-probability {response.total:.4f} over {len(response.logprobs)} tokens"
        case Labelled():
            return f"class {np.argmax(response.scores, axis=-1).tolist()}"
        case Forecasted():
            return str(response.values[:16].tolist())
        case Embedded():
            return f"a vector of {len(response.vector)}"
        case Measured():
            return f"{len(response.seconds)} calls on the {response.path} path, error {response.error:.2e}"
    raise DataError(f"a response of type {type(response).__name__} cannot be shown.")


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}… ({len(text):,} characters)"
