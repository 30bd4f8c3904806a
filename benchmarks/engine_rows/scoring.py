"""Scoring against lm-eval's HF backend: five-shot MMLU, BLiMP, WikiText-2."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from engine_rows._bench import METER, Bench, Outcome, lines
from harness.api.types import Score, Scored

LETTERS = "ABCD"


def mmlu(bench: Bench) -> Outcome:
    """5-shot, four choices of one letter: the layout of lm-eval's task."""
    rows = [json.loads(line) for line in lines("knowledge/mmlu.jsonl.gz")]

    def asked(item: Any) -> str:
        choices = "".join(f"{LETTERS[i]}. {choice}\n" for i, choice in enumerate(item["choices"]))
        return f"{item['question'].strip()}\n{choices}Answer:"

    work = []
    subjects = list(dict.fromkeys(item["subject"] for item in rows))
    for subject in subjects[: bench.rounds]:
        shots = [item for item in rows if item["subject"] == subject and item["split"] == "dev"]
        tests = [item for item in rows if item["subject"] == subject and item["split"] == "test"][: bench.examples]
        title = subject.replace("_", " ")
        head = f"The following are multiple choice questions (with answers) about {title}.\n\n"
        head += "".join(f"{asked(item)} {item['answer']}\n\n" for item in shots)
        work.append([(head + asked(item), f" {letter}") for item in tests for letter in LETTERS])
    return scoring(bench, "mmlu", work, ">= 5x")


def blimp(bench: Bench) -> Outcome:
    """Minimal pairs, spread over the paradigms."""
    rows = [json.loads(line) for line in lines("blimp/blimp.jsonl.gz")][
        :: max(1, 67_000 // (5 * bench.examples * bench.rounds))
    ]
    pairs = [("", text) for item in rows for text in (item["sentence_good"], item["sentence_bad"])]
    size = 10 * bench.examples
    return scoring(bench, "blimp", [pairs[i * size : (i + 1) * size] for i in range(bench.rounds)], ">= 2x")


def scoring(bench: Bench, row: str, work: list[list[tuple[str, str]]], wanted: str) -> Outcome:
    from lm_eval.api.instance import Instance

    model, other = bench.ours(), bench.lm_eval
    largest = [0.0]

    def ours(pairs: list[tuple[str, str]]) -> list[Any]:
        return model.score([Score(*pair) for pair in pairs], meter=METER)

    def theirs(pairs: list[tuple[str, str]]) -> list[Any]:
        instances = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        return list(other.loglikelihood(instances, disable_tqdm=True))

    def with_batch(size: int) -> None:
        other.batch_size_per_gpu = size
        theirs(work[0][: 4 * max(bench.batches)])

    other.batch_size_per_gpu = best = bench.best_batch(with_batch)
    for mine, (logprob, greedy) in zip(ours(work[0][:32]), theirs(work[0][:32]), strict=True):
        assert isinstance(mine, Scored), mine
        largest[0] = max(largest[0], abs(mine.total - logprob))
        assert mine.greedy == greedy
    outcome = bench.compare(row, work, ours, theirs, wanted)
    note = f"{outcome.note} of {len(work[0])}, lm-eval batch {best}, largest difference {largest[0]:.1e} nats"
    return replace(outcome, note=note)


def wikitext(bench: Bench) -> Outcome:
    """Rolling log-likelihood of WikiText-2 test articles."""
    from lm_eval.api.instance import Instance

    text = "\n".join(lines("lm_text/wikitext2_test.txt.gz"))
    pieces = [
        text[i : i + 400 * bench.examples] for i in range(0, 400 * bench.examples * bench.rounds, 400 * bench.examples)
    ]
    model, other = bench.ours(), bench.lm_eval
    other.batch_size_per_gpu = 1

    def ours(piece: str) -> float:
        answer = model.score([Score("", piece)], meter=METER)[0]
        assert isinstance(answer, Scored), answer
        return answer.total

    def theirs(piece: str) -> float:
        return float(
            other.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (piece,), 0)], disable_tqdm=True)[0]
        )

    gap = abs(ours(pieces[0]) - theirs(pieces[0]))
    outcome = bench.compare("wikitext", pieces, ours, theirs, ">= 1.3x")
    return replace(outcome, note=f"{outcome.note}, difference {gap:.1e} nats a text")


ROWS = {"mmlu": mmlu, "blimp": blimp, "wikitext": wikitext}
