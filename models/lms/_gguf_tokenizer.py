"""How does a tokenizer leave a GGUF file? As `tokenizer.json` and its configuration, read as llama.cpp does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from harness.api.errors import DataError
from harness.models.lms._settings import Settings
from harness.models.lms._tokenizer_file import asked, one_line

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
# what the file's `tokenizer.ggml.pre` names; digits=True puts every digit apart first
SPLITS = {
    "default": (GPT2_SPLIT, False),
    "gpt-2": (GPT2_SPLIT, False),
    "smollm": (GPT2_SPLIT, True),
    "llama-bpe": (LLAMA3_SPLIT, False),
    "llama3": (LLAMA3_SPLIT, False),
    "qwen2": (QWEN2_SPLIT, False),
}
# those that begin every text with BOS unless the file says otherwise, and take a word that they know before any merge
# (llama.cpp, src/llama-vocab.cpp)
LLAMA3 = ("llama-bpe", "llama3")
CONTROL, USER_DEFINED = 3, 4  # token types

NAMED = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def write_tokenizer(path: Path, folder: Path, fields: Settings) -> None:
    """Both files in the folder; DataError for a tokenizer that is missing, damaged or not read."""
    tokens = fields.texts("tokenizer.ggml.tokens")
    kind, pre = fields.word("tokenizer.ggml.model", ""), fields.word("tokenizer.ggml.pre", "default")
    ids = {
        key: fields.whole(f"tokenizer.ggml.{word}_token_id", least=0, most=len(tokens) - 1)
        for key, word in NAMED.items()
        if fields.has(f"tokenizer.ggml.{word}_token_id")
    }
    begins = fields.flag("tokenizer.ggml.add_bos_token", kind == "llama" or pre in LLAMA3)
    try:
        if kind == "gpt2" and pre in SPLITS:
            engine = asked(lambda: _byte_pairs(fields, tokens, pre))
            config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
            config |= {f"{key}_token": tokens[index] for key, index in ids.items()}
        else:
            config = _foreign(path, folder)
            engine = asked(lambda: Tokenizer.from_file(str(folder / "tokenizer.json")))
            # whatever transformers puts around a text, the file decides
            engine.post_processor = asked(lambda: processors.TemplateProcessing(single="$A", pair="$A $B"))
        if begins and "bos" in ids:
            engine.post_processor = asked(lambda: _beginning(tokens[ids["bos"]], ids["bos"]))
    except (OSError, ValueError, AttributeError) as problem:
        raise DataError(f"{path} holds no tokenizer that can be used ({one_line(problem)}).") from problem
    config["chat_template"] = fields.word("tokenizer.chat_template", "")
    engine.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _beginning(bos: str, index: int) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, index)])


def _byte_pairs(fields: Settings, tokens: list[str], pre: str) -> Tokenizer:
    merges = [(first, second) for first, _, second in (m.partition(" ") for m in fields.texts("tokenizer.ggml.merges"))]
    engine = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, ignore_merges=pre in LLAMA3)
    )
    pattern, digits = SPLITS[pre]
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    steps.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    engine.pre_tokenizer = pre_tokenizers.Sequence(steps)  # type: ignore[assignment]
    engine.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    # older files have no types
    kinds = fields.given.get("tokenizer.ggml.token_type") or [0] * len(tokens)
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        raise fields.refused("tokenizer.ggml.token_type", f"a list of {len(tokens)} types was expected")
    pairs = list(zip(tokens, kinds, strict=True))
    engine.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in pairs if kind == CONTROL]
    )
    engine.add_tokens([AddedToken(token, normalized=False) for token, kind in pairs if kind == USER_DEFINED])
    return engine


def _foreign(path: Path, folder: Path) -> dict[str, Any]:
    """SentencePiece and unknown splits: transformers knows how to read them from the file; its configuration."""
    from transformers import AutoTokenizer

    def written() -> None:
        AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True).save_pretrained(folder)

    asked(written)
    config: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    return config
