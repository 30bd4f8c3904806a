"""How large is the Transformer that the Long Range Arena compares with? Its rule: a rival is within 10% of it."""

from __future__ import annotations


def transformer_parameters(
    *,
    vocabulary: int,
    classes: int,
    width: int,
    inner: int,
    mlp: int,
    layers: int,
    positions: int = 0,
    marker: bool = True,
    pair: bool = False,
) -> int:
    """Parameters of the release's encoder with its classifier head, in closed form.

    A layer has two norms (4 D), four products without bias (4 D Q) and the two of its MLP (2 D M + M + D), with D the
    `width`, Q the `inner` width of queries, keys and values, M the `mlp` width. `layers` counts distinct ones, since
    ListOps ties all six. `positions` are learned ones (0: sinusoids), `marker` a learned first token, `pair` the head
    over two encodings.

    Tay et al. 2021, arXiv:2011.04006; sizes from the configuration files of its release.
    """
    layer = 4 * width + 4 * width * inner + 2 * width * mlp + mlp + width
    body = vocabulary * width + (positions + marker) * width * bool(positions) + marker * width + 2 * width
    seen = width * (1 + pair)
    head = seen * mlp + mlp
    if pair:
        head += mlp * (mlp // 2) + mlp // 2
    last = (mlp // 2 if pair else mlp) * classes + classes
    return layers * layer + body + head + last
