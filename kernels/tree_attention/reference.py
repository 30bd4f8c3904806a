"""What is attention under a mask? Softmax over the keys that each query sees, one row of the batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator
from harness.kernels.tree_attention import _masks

# B batch, H query heads, G key heads (H is a multiple of G), T queries, S keys, M keys under the mask, D and E widths
CONTRACT = Contract(
    toy={"B": 2, "H": 2, "T": 17, "D": 5, "E": 3, "P": 7},
    gate="key_BGSD",
    time={"return": 2},
    cases=("causal", "tree", "varied lengths", "grouped heads", "chunked limited", "window and global", "nothing seen"),
    extremes=("extreme",),
)


@kernel(
    serves="tree-verifying decoders, Transformers, Longformer, MEGA and TCNCA chunks, Conformer, Titans",
    paper="Vaswani et al. 2017, arXiv:1706.03762; Miao et al. 2023, SpecInfer, arXiv:2305.09781",
)
def tree_attention(
    query_BHTD: torch.Tensor,
    key_BGSD: torch.Tensor,
    value_BGSE: torch.Tensor,
    visible_BTM: torch.Tensor,
    lengths: tuple[int, ...] | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """Attend to all of a row's prefix, and to its last M keys where the mask allows.

    y_t = sum_s softmax_s(scale q_t . k_s) v_s over the s that t sees: with n = lengths[b] keys in row b, every
    s < n - M, and s = n - M + m where visible[b, t, m]. A query that sees nothing answers zero.

    query is [B, H, T, D], key [B, G, S, D], value [B, G, S, E]; query head h reads key head h // (H / G). visible is
    boolean [B, T, M] (expand a shared mask); `_masks` builds causal, window, chunk, chunked-limited, global and tree
    masks. lengths default to S; keys from lengths[b] on are never read. scale defaults to D^-1/2. Returns
    [B, H, T, E] in the type of query. Raises UsageError when shapes, types or lengths do not fit.

    Paper: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1; the tree mask is arXiv:2305.09781, section 4.
    Differs from the paper: none.
    """
    carried, keys, tail = accumulator(query_BHTD.dtype), key_BGSD.shape[2], visible_BTM.shape[2]
    scale = query_BHTD.shape[3] ** -0.5 if scale is None else scale
    group = query_BHTD.shape[1] // max(1, key_BGSD.shape[1])
    answers = []
    for row, length in enumerate(lengths or (keys,) * len(query_BHTD)):
        q = query_BHTD[row].to(carried)
        k = key_BGSD[row, :, :length].to(carried).repeat_interleave(group, 0)
        v = value_BGSE[row, :, :length].to(carried).repeat_interleave(group, 0)
        visible = torch.nn.functional.pad(visible_BTM[row], (length - tail, 0), value=True)
        score = (q @ k.transpose(1, 2) * scale).masked_fill(~visible, -torch.inf)
        seen = visible.any(1, keepdim=True)
        weight = torch.softmax(torch.where(seen, score, 0.0), 2) if length else score
        answers.append(torch.where(seen, weight, 0.0) @ v)
    return torch.stack(answers).to(query_BHTD.dtype)


def check(
    query_BHTD: torch.Tensor,
    key_BGSD: torch.Tensor,
    value_BGSE: torch.Tensor,
    visible_BTM: torch.Tensor,
    lengths: tuple[int, ...] | None = None,
    scale: float | None = None,
) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    sizes = agree(
        "tree_attention",
        query_BHTD=query_BHTD,
        key_BGSD=key_BGSD,
        value_BGSE=value_BGSE,
        visible_BTM=visible_BTM,
    )
    one_dtype("tree_attention", query=query_BHTD, key=key_BGSD, value=value_BGSE)
    if visible_BTM.dtype != torch.bool:
        raise UsageError(f"tree_attention: visible is {str(visible_BTM.dtype)[6:]}; it must be bool, True for seen.")
    if sizes["H"] % max(1, sizes["G"]):
        raise UsageError(
            f"tree_attention: query has {sizes['H']} heads and key {sizes['G']}; the first must be a multiple."
        )
    least, most = sizes["M"], sizes["S"]
    if lengths is None and least > most:
        raise UsageError(f"tree_attention: visible covers {least} keys but there are {most}.")
    if lengths is not None and len(lengths) != sizes["B"]:
        raise UsageError(f"tree_attention: {len(lengths)} lengths for {sizes['B']} rows; give one a row.")
    for row, length in enumerate(lengths or ()):
        if not least <= length <= most:
            raise UsageError(
                f"tree_attention: lengths[{row}] is {length}; it must lie between the mask's {least} keys and the "
                f"{most} there are."
            )


def inputs(size: Mapping[str, int], seed: int, case: str = "causal") -> dict[str, Any]:
    """Float64 arguments, unit-normal; the cases of CONTRACT."""
    B, H, T, D, E, past = ({**CONTRACT.toy, **size}[letter] for letter in "BHTDEP")
    rng = torch.Generator().manual_seed(seed)
    heads = 2 * H if case == "grouped heads" else H
    prefix = past if case in ("tree", "varied lengths") else 0
    keys = prefix + T
    lengths = tuple(keys - (3 * row) % (prefix + 1) for row in range(B)) if case == "varied lengths" else None
    if case in ("tree", "varied lengths"):
        visible = _masks.tree([(node - 1) // 2 if node else -1 for node in range(T)])
    elif case == "chunked limited":
        visible = _masks.chunked_limited(T, 8, 3)
    elif case == "window and global":
        visible = _masks.window(T, 3, ahead=2) | _masks.everyone(T, (0, 5))
    elif case == "nothing seen":
        visible = _masks.causal(T) & (torch.arange(T) % 3 > 0)[:, None]
    else:
        visible = _masks.causal(T)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return {
        "query_BHTD": normal(B, heads, T, D) * (60.0 if case == "extreme" else 1.0),
        "key_BGSD": normal(B, H, keys, D),
        "value_BGSE": normal(B, H, keys, E),
        "visible_BTM": visible.expand(B, T, T),
        "lengths": lengths,
        "scale": None,
    }
