"""How is a sentence-transformers folder put up? Its transformer, pooling and normalisation; no code of its own."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
import transformers
from torch import Tensor
from torch.nn import functional

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Meter, Setting
from harness.models.embedders._vectors import EncoderModel
from harness.models.lms._folder import digest
from harness.models.lms._hf_loading import load_network
from harness.models.lms._tokenizer import FolderTokenizer

# B batch, T time, D width

# sentence-transformers' flags of 1_Pooling/config.json -> how token vectors become one
POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
KNOWN = ("Transformer", "Pooling", "Normalize")


def put_up(folder: Path, setting: Setting, length: int = 0) -> EncoderModel:
    """The folder's model; `length` (0: the folder's own) cuts texts to that many tokens.

    Errors: DataError when a part is missing or damaged, UsageError for a module that is not known here.
    """
    if not folder.is_dir():
        raise DataError(f"path={folder}: a sentence-transformers folder was asked for, nothing of the kind is there.")
    modules = _modules(folder)
    body = folder / modules["Transformer"] if modules.get("Transformer") else folder
    pooling = _pooling(folder / modules["Pooling"]) if "Pooling" in modules else "mean"
    network = load_network(body, setting, _WithoutPooler, "auto").to(setting.device)
    own = int(_json(body / "sentence_bert_config.json").get("max_seq_length") or 0)
    limit = length or own or int(getattr(network.config, "max_position_embeddings", 512))
    positions = int(getattr(network.config, "max_position_embeddings", limit))
    if not 0 < limit <= positions:
        raise UsageError(f"length={limit} is not within the encoder's {positions} positions.")
    return EncoderModel(SentenceEncoder(network, FolderTokenizer(body), pooling, "Normalize" in modules, limit))


def folder_digest(folder: Path) -> str:
    """What identifies the model: its modules, weights and tokenizer."""
    names = ("modules.json", "config.json", "tokenizer.json", "sentence_bert_config.json", "1_Pooling/config.json")
    files = [folder / name for name in names if (folder / name).is_file()]
    return digest(*files, *sorted(folder.rglob("*.safetensors")))


@final
class SentenceEncoder:
    """A bidirectional transformer whose token vectors are pooled into one."""

    def __init__(self, network: Any, tokenizer: FolderTokenizer, pooling: str, normalise: bool, limit: int) -> None:
        self.network, self.tokenizer, self.pooling, self.normalise, self.limit = (
            network,
            tokenizer,
            pooling,
            normalise,
            limit,
        )
        bare, full = tokenizer.encode("a", special=False)[0], tokenizer.encode("a")[0]
        start = next(place for place in range(len(full)) if full[place : place + len(bare)] == bare)
        self._before, self._after = full[:start], full[start + len(bare) :]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Parameters, width, pooling and limit."""
        return {
            "parameters": sum(item.numel() for item in self.network.parameters()),
            "width": int(self.network.config.hidden_size),
            "pooling": self.pooling,
            "normalised": self.normalise,
            "context_length": self.limit,
            "family": str(self.network.config.model_type),
            "backend": f"transformers {transformers.__version__}",
        }

    def tokens(self, text: str) -> list[int]:
        """Ids with the model's own borders; what exceeds the limit is cut, as sentence-transformers does."""
        bare, _ = self.tokenizer.encode(text, special=False)
        return [*self._before, *bare[: self.limit - len(self._before) - len(self._after)], *self._after]

    def vectors(self, rows: Sequence[Sequence[int]], meter: Meter) -> Tensor:
        """Pool the last layer."""
        longest = max(1, *map(len, rows)) if len(rows) > 1 else max(1, len(rows[0]))
        device = self.network.device
        ids_BT = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
        mask_BT = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
        for index, row in enumerate(rows):
            ids_BT[index, : len(row)] = torch.tensor(row, dtype=torch.long, device=device)
            mask_BT[index, : len(row)] = 1
        meter.count("model_calls")
        meter.count("padding_tokens", len(rows) * longest - sum(map(len, rows)))
        states_BTD = self.network(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state.float()
        pooled_BD = pool(states_BTD, mask_BT, self.pooling)
        return functional.normalize(pooled_BD, dim=-1) if self.normalise else pooled_BD


def pool(states_BTD: Tensor, mask_BT: Tensor, how: str) -> Tensor:
    """One vector a row [B, D] from the token vectors that are not padding."""
    if how == "cls":
        return states_BTD[:, 0]
    if how == "last":
        last_B = mask_BT.sum(1).clamp(min=1) - 1
        return states_BTD[torch.arange(len(last_B), device=last_B.device), last_B]
    chosen_BT1 = mask_BT[..., None].bool()
    if how == "max":
        return states_BTD.masked_fill(~chosen_BT1, -torch.inf).amax(1)
    return states_BTD.masked_fill(~chosen_BT1, 0.0).sum(1) / mask_BT.sum(1, keepdim=True).clamp(min=1)


class _WithoutPooler:
    """An encoder without the pooling head that sentence vectors do not use, and that some folders lack."""

    @staticmethod
    def from_pretrained(folder: Path, **options: Any) -> Any:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        kind = transformers.AutoModel._model_mapping[type(config)]
        if "add_pooling_layer" in inspect.signature(kind.__init__).parameters:
            options["add_pooling_layer"] = False
        return kind.from_pretrained(folder, config=config, **_without(options, "trust_remote_code"))


def _without(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}


def _modules(folder: Path) -> dict[str, str]:
    """Module kind -> its folder; a plain transformers folder has only a transformer, and is mean-pooled."""
    listed = _json(folder / "modules.json", [])
    kinds = {str(item["type"]).rpartition(".")[2]: str(item["path"]) for item in listed}
    strange = [kind for kind in kinds if kind not in KNOWN]
    if strange:
        raise UsageError(f"{folder} needs the modules {', '.join(strange)}; known are {', '.join(KNOWN)}.")
    return kinds


def _pooling(folder: Path) -> str:
    config = _json(folder / "config.json")
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in POOLING:
        raise UsageError(f"{folder} pools by {', '.join(chosen) or 'nothing'}; one of {', '.join(POOLING)} is known.")
    return POOLING[chosen[0]]


def _json(path: Path, absent: Any = None) -> Any:
    if not path.is_file():
        return {} if absent is None else absent
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DataError(f"{path} is not JSON ({problem}).") from problem
