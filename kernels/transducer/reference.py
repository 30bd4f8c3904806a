"""What is the transducer's loss? The probability of a label sequence over all alignments, one cell at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, T frames, U positions in the label sequence (one more than labels), V vocabulary, L labels (L = U - 1)
CONTRACT = Contract(
    toy={"B": 3, "T": 7, "U": 4, "V": 5},
    gate="logits_BTUV",
    cases=("plain", "varied lengths", "no labels"),
    extremes=("extreme",),
    lengths=(0, 1, 63, 64, 65, 300),
)


@kernel(
    serves="Conformer and other transducers for streaming speech",
    paper="Graves 2012, Sequence transduction with recurrent neural networks, arXiv:1211.3711",
)
def transducer(
    logits_BTUV: torch.Tensor,
    targets_BL: torch.Tensor,
    frames: tuple[int, ...] | None = None,
    labels: tuple[int, ...] | None = None,
    blank: int = 0,
) -> torch.Tensor:
    """Sum over all alignments of labels with frames, in log space.

    With p = softmax(logits), a_{0,0} = 1 and
    a_{t,u} = a_{t-1,u} p(blank | t-1, u) + a_{t,u-1} p(target_u | t, u-1),
    loss_b = -log(a_{n-1,m} p(blank | n-1, m)) for n = frames[b] and m = labels[b].

    logits are [B, T, L + 1, V], targets integers [B, L]; frames default to T and labels to L. Returns the loss [B] in
    nats, in the type that carries state (float32 beside half types); without a frame no alignment exists and the loss
    is infinite. Raises UsageError when shapes, types, lengths or targets do not fit.

    Paper: Graves 2012, arXiv:1211.3711, section 2.4. Differs from the paper: none.
    """
    logprob = torch.log_softmax(logits_BTUV.to(accumulator(logits_BTUV.dtype)), 3)
    batch, length, places, _ = logits_BTUV.shape
    frames = frames or (length,) * batch
    labels = labels or (places - 1,) * batch
    if not length:
        return logprob.sum((1, 2, 3)) + torch.inf
    stay = logprob[..., blank]
    emit = logprob[:, :, :-1].gather(3, targets_BL[:, None, :, None].expand(-1, length, -1, 1))[..., 0]
    grid: list[list[torch.Tensor]] = []
    for t in range(length):
        row: list[torch.Tensor] = []
        for u in range(places):
            ways = [grid[t - 1][u] + stay[:, t - 1, u]] if t else []
            ways += [row[u - 1] + emit[:, t, u - 1]] if u else []
            row.append(torch.logsumexp(torch.stack(ways), 0) if ways else torch.zeros_like(stay[:, 0, 0]))
        grid.append(row)
    return -torch.stack(
        [grid[n - 1][m][b] + stay[b, n - 1, m] for b, (n, m) in enumerate(zip(frames, labels, strict=True))]
    )


def check(
    logits_BTUV: torch.Tensor,
    targets_BL: torch.Tensor,
    frames: tuple[int, ...] | None = None,
    labels: tuple[int, ...] | None = None,
    blank: int = 0,
) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    sizes = agree("transducer", logits_BTUV=logits_BTUV, targets_BL=targets_BL)
    one_dtype("transducer", logits=logits_BTUV)
    if targets_BL.dtype not in (torch.int64, torch.int32):
        raise UsageError(f"transducer: targets are {str(targets_BL.dtype)[6:]}; they must be int64 or int32.")
    if sizes["U"] != sizes["L"] + 1:
        raise UsageError(f"transducer: logits have {sizes['U']} label positions; {sizes['L']} labels need one more.")
    if not 0 <= blank < sizes["V"]:
        raise UsageError(f"transducer: blank is {blank}; it must lie within the vocabulary of {sizes['V']}.")
    for name, given, least, most in (("frames", frames, 1, sizes["T"]), ("labels", labels, 0, sizes["L"])):
        if given is not None and (len(given) != sizes["B"] or not all(least <= item <= most for item in given)):
            raise UsageError(
                f"transducer: {name} are {given}; they must be {sizes['B']} numbers between {least} and {most}."
            )
    if targets_BL.device.type == "cpu" and targets_BL.numel() and sizes["T"]:
        low, high = int(targets_BL.min()), int(targets_BL.max())
        if low < 0 or high >= sizes["V"]:
            raise UsageError(f"transducer: targets reach from {low} to {high}, beyond the vocabulary of {sizes['V']}.")


def inputs(size: Mapping[str, int], seed: int, case: str = "plain") -> dict[str, Any]:
    """Float64 unit-normal logits and random targets; the cases of CONTRACT."""
    B, T, U, V = ({**CONTRACT.toy, **size}[letter] for letter in "BTUV")
    places = 1 if case == "no labels" else U
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, T, places, V, generator=rng, dtype=torch.float64)
    varied = case == "varied lengths" and T > 0
    return {
        "logits_BTUV": 60.0 * torch.sign(logits) if case == "extreme" else logits,
        "targets_BL": torch.randint(1, V, (B, places - 1), generator=rng),
        "frames": tuple(max(1, T - row) for row in range(B)) if varied else None,
        "labels": tuple(max(0, places - 1 - row) for row in range(B)) if varied else None,
        "blank": 0,
    }
