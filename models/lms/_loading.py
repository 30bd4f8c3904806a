"""How is a Llama-family checkpoint put up? From a folder or GGUF file to a model behind its doors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting
from harness.models.lms._agreement import count, refuse_disagreement
from harness.models.lms._folder import Tensors, read_config
from harness.models.lms._gguf import folder_of
from harness.models.lms._linear import Weights
from harness.models.lms._llama import Network, NonFiniteError
from harness.models.lms._runtime import LlamaRuntime
from harness.models.lms._scoring import ForestScorer, ScoreRow
from harness.models.lms._shape import Shape, read_shape
from harness.models.lms._text import Template, TextModel
from harness.models.lms._tokenizer import FolderTokenizer

# float64 is for comparisons in which rounding is not the subject
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def put_up(
    path: Path, setting: Setting, *, weights: Weights = "full", template: Template = "auto", context_length: int = 0
) -> TextModel:
    """The model of a folder or GGUF file; DataError when it is missing, damaged or of another family."""
    folder = model_folder(path)
    shape = read_shape(read_config(folder))
    tensors = Tensors(folder)
    refuse_disagreement(folder, shape, tensors)
    dtype = resolve_dtype(setting, weights)
    tokenizer = FolderTokenizer(folder)
    # int8 is rounded from float32, never from weights that were rounded before
    stored = dtype if weights == "full" else torch.float32
    network = Network(shape, lambda name: tensors.read(name, stored, setting.device), weights, dtype)
    eos = set(shape.eos) | ({tokenizer.eos} if tokenizer.eos is not None else set())
    if context_length > shape.context_length or context_length < 0:
        raise UsageError(f"context_length={context_length} is not within the model's own {shape.context_length}.")
    lm = LlamaRuntime(network, context_length or shape.context_length, sorted(eos))
    return TextModel(
        lm=lm,
        tokenizer=tokenizer,
        facts=_facts(shape, network, weights, count(shape, tensors)),
        scorer=ForestScorer(network),
        template=template,
        debug=_debug(network),
    )


def model_folder(path: Path) -> Path:
    """The folder that holds a model's safetensors; a GGUF file is converted into the cache."""
    if path.is_dir():
        return path
    if path.is_file() and path.suffix == ".gguf":
        return folder_of(path)
    found = "a file that is no .gguf" if path.is_file() else "nothing"
    raise DataError(f"path={path}: a model folder or .gguf file was asked for, {found} is there.")


def resolve_dtype(setting: Setting, weights: Weights) -> torch.dtype:
    """What "auto" means: float32 on a CPU, bfloat16 on a GPU and for int8 rows, whose CPU kernel computes in it."""
    if setting.dtype != "auto":
        return DTYPES[setting.dtype]
    return torch.bfloat16 if setting.device != "cpu" or weights == "int8-rows" else torch.float32


def _facts(shape: Shape, network: Network, weights: Weights, parameters: int) -> dict[str, Any]:
    return {
        "family": shape.family,
        "parameters": parameters,
        "dtype": str(network.dtype).removeprefix("torch."),
        "weights": weights,
        "backend": f"seqharness ({network.head.layout} layout, torch {torch.__version__})",
    }


def _debug(network: Network) -> Callable[[Sequence[int]], str]:
    def find(tokens: Sequence[int]) -> str:
        scorer = ForestScorer(network, check=True)
        try:
            scorer.score([ScoreRow((*tokens, 0), len(tokens))])
        except NonFiniteError as problem:
            return str(problem)
        return ""

    return find
