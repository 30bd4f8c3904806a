"""What does a trained prefix classifier do to conditional beam search: fewer degenerate outputs, at which quality?

    python benchmarks/prefix_attributes.py --steps 300 --attribute non_repetitive
    python benchmarks/prefix_attributes.py --attribute length --shortest 8 --longest 14 --save kept/length.safetensors

A small encoder-decoder is trained on the task's training split (no longer than --steps, so that it still degenerates),
its own outputs on other training sources are labelled by the attribute, a classifier learns to foresee the label from
prefixes, and the search runs on test sources without the attribute, with the attribute decided at the end alone, and
with the classifier. Paired bootstrap over test sources.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from harness import sources
from harness.api import registry
from harness.api.protocols import Preparing, Setting, SilentMeter
from harness.api.types import Budget, Example, Generate, Generated
from harness.models.decoders import _prefix_classifier
from harness.models.decoders._prefix_classifier import Labelled, balanced_accuracy

METER = SilentMeter()
NGRAM = 4  # tokens; an output that says one of them twice repeats itself


def answers(model: Any, examples: list[Example], decoder: Any, seed: int = 0) -> list[Generated]:
    asked = [example.requests[0] for example in examples]
    found = model.generate(asked, decoder=decoder, seeds=[seed + place for place in range(len(asked))], meter=METER)
    assert all(isinstance(item, Generated) for item in found)
    return list(found)


def repeats(tokens: tuple[int, ...]) -> bool:
    ngrams = [tokens[start : start + NGRAM] for start in range(len(tokens) - NGRAM + 1)]
    return len(set(ngrams)) < len(ngrams)


def has(options: argparse.Namespace, tokens: tuple[int, ...]) -> bool:
    if options.attribute == "non_empty":
        return bool(tokens)
    if options.attribute == "length":
        return options.shortest <= len(tokens) <= options.longest
    return not repeats(tokens)


def labelled(model: Any, examples: list[Example], options: argparse.Namespace) -> list[Labelled]:
    """The model's own outputs: one of a beam search and some samples for every source."""
    found = []
    for seed, spec in enumerate([f"beam:width={options.width}", *["sample:temperature=0.7"] * options.samples]):
        outputs = answers(model, examples, registry.create("decoder", spec), seed * len(examples))
        for example, item in zip(examples, outputs, strict=True):
            request = example.requests[0]
            assert isinstance(request, Generate)
            prompt = (*model.units.encode(str(request.source))[0][: model.source_tokens], 1)
            found.append(Labelled(prompt, item.tokens, has(options, item.tokens)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="translation/multi30k")
    parser.add_argument("--model", default="seq2seq/rnn_attention:width=96,depth=1,vocabulary=2000")
    parser.add_argument("--attribute", choices=("non_empty", "non_repetitive", "length"), default="non_repetitive")
    parser.add_argument("--shortest", type=int, default=8)
    parser.add_argument("--longest", type=int, default=14)
    parser.add_argument("--steps", type=int, default=300, help="of the network's training")
    parser.add_argument("--sources", type=int, default=300, help="training sources whose outputs are labelled")
    parser.add_argument("--samples", type=int, default=2, help="sampled outputs a source, beside that of the beam")
    parser.add_argument("--limit", type=int, default=200, help="test sources")
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--save", type=Path, help="keep the classifier there")
    options = parser.parse_args()
    setting = Setting(sources.from_environment(print))
    task = registry.create("task", options.task)

    def split(name: str) -> Any:
        return task.examples(name, 0, setting.sources)

    model = registry.create("model", options.model).fit(
        lambda: split("train"), lambda: split("validation"), seed=0, budget=Budget(steps=options.steps),
        setting=setting, meter=METER,
    )  # fmt: skip
    print(f"trained: validation loss {model.identity['validation_loss']} nats a token", flush=True)
    outputs = labelled(model, shortened(list(islice(split("train"), options.sources)), options), options)
    # whole sources are held out, so that no output of a training source is judged
    held = [place % options.sources % 4 == 0 for place in range(len(outputs))]
    train = [item for item, kept in zip(outputs, held, strict=True) if not kept]
    test = [item for item, kept in zip(outputs, held, strict=True) if kept]
    classifier = _prefix_classifier.train(train, model.lm.vocabulary, seed=0)
    rate = np.mean([item.label for item in outputs])
    told = {share: balanced_accuracy(classifier, test, share) for share in (0.25, 0.5, 1.0)}
    beliefs = ", ".join(f"{value:.3f} at {share:.0%} of the output" for share, value in told.items())
    print(f"{len(train)} outputs, {100 * rate:.0f}% with the attribute", flush=True)
    print(f"balanced accuracy on prefixes of held-out sources: {beliefs}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = options.save or Path(folder) / "classifier.safetensors"
        _prefix_classifier.save(classifier, file, {"attribute": options.attribute})
        compare(model, shortened(list(islice(split("test"), options.limit)), options), file, options, setting)


def shortened(examples: list[Example], options: argparse.Namespace) -> list[Example]:
    """The same examples with the limit on new tokens."""
    return [
        Example(item.id, (Generate(item.requests[0].source, options.new_tokens),), item.target)  # type: ignore[union-attr]
        for item in examples
    ]


def compare(model: Any, examples: list[Example], file: Path, options: argparse.Namespace, setting: Setting) -> None:
    search = f"conditional_beam:attribute={options.attribute},width={options.width},ngram={NGRAM}"
    if options.attribute == "length":
        search += f",shortest={options.shortest},longest={options.longest}"
    specs = {
        "beam": f"beam:width={options.width}",
        "attribute at the end": search,
        "with the classifier": f"{search},classifier={file}",
    }
    bleu = registry.create("metric", "bleu")
    seen, rows = {}, []
    for name, spec in specs.items():
        decoder = registry.create("decoder", spec)
        decoder = decoder.prepare(setting, model) if isinstance(decoder, Preparing) else decoder
        found = answers(model, examples, decoder)
        statistics = np.stack([bleu.measure(*pair) for pair in zip(examples, [[item] for item in found], strict=True)])
        flags = np.array([
            (not item.tokens, repeats(item.tokens), has(options, item.tokens), len(item.tokens)) for item in found
        ], dtype=float)  # fmt: skip
        seen[name] = statistics, flags
        draws = np.random.default_rng(0).integers(0, len(examples), (1000, len(examples)))
        base = seen["beam"]
        gain = [bleu.reduce(statistics[rows_N]) - bleu.reduce(base[0][rows_N]) for rows_N in draws]
        attribute = (flags - base[1])[:, 2][draws].mean(1)
        rows.append([
            name, *(f"{100 * value:.1f}%" for value in flags.mean(0)[:3]), f"{flags.mean(0)[3]:.1f}",
            f"{bleu.reduce(statistics):.2f}", *(_interval(np.asarray(item), scale) for item, scale in
                                                ((gain, 1), (attribute, 100))),
        ])  # fmt: skip
        print(" | ".join(rows[-1]), flush=True)
    heads = ["search", "empty", "repetitive", "with the attribute", "tokens", "BLEU", "BLEU - beam", "attribute - beam"]
    print(tabulate(rows, heads, disable_numparse=True))


def _interval(draws: Any, scale: float) -> str:
    low, high = np.quantile(draws, (0.025, 0.975)) * scale
    return f"[{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
