"""Do memories move over lines and images as the graph's equations say?"""

from __future__ import annotations

import pytest
import torch

from harness.models.sequence._mixer import Site
from harness.models.sequence._plane import Gates, Mode, diffused, propagated, sweep
from harness.models.sequence.plstm import PLSTM, LineLayer, PlaneLayer


def plane(rows: int, columns: int, size: int = 3) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(3, 1, 1, rows, columns, size, dtype=torch.float64).unbind(0))


def gates(rows: int, columns: int, mode: Mode) -> Gates:
    source, keep, mark, *down, turn = torch.rand(7, 1, 1, rows, columns, dtype=torch.float64).unbind(0)
    if mode == "P":
        return propagated(source, turn, keep, mark)
    return diffused((source, down[0]), turn, (keep, down[1]), (mark, down[2]))


@pytest.mark.parametrize("mode", ["P", "D"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (5, 1), (3, 4), (4, 3)])
def test_anti_diagonals_are_the_nodes_in_topological_order(mode: Mode, rows: int, columns: int) -> None:
    q, k, v = plane(rows, columns)
    (s_right, s_down), (rr, rd, dr, dd), (m_right, m_down) = made = gates(rows, columns, mode)
    found, out_right, out_down = sweep(q, k, v, made)
    zero = torch.zeros(3, 3, dtype=torch.float64)
    right, down = {}, {}
    for r in range(rows):
        for c in range(columns):
            left, above = right.get((r, c - 1), zero), down.get((r - 1, c), zero)
            at = (0, 0, r, c)
            read = q[at] @ (m_right[at] * left + m_down[at] * above)
            assert torch.allclose(found[at], read, atol=1e-12)
            written = torch.outer(k[at], v[at])
            right[r, c] = s_right[at] * written + rr[at] * left + rd[at] * above
            down[r, c] = s_down[at] * written + dr[at] * left + dd[at] * above
    assert torch.allclose(out_right[0, 0], torch.stack([right[r, columns - 1] for r in range(rows)]), atol=1e-12)
    assert torch.allclose(out_down[0, 0], torch.stack([down[rows - 1, c] for c in range(columns)]), atol=1e-12)


def test_p_mode_keeps_all_mass_when_nothing_decays() -> None:
    one = torch.ones(1, 1, 6, 4, dtype=torch.float64)
    turn = torch.rand(1, 1, 6, 4, dtype=torch.float64)
    ones = torch.ones(1, 1, 6, 4, 1, dtype=torch.float64)
    _, right, down = sweep(ones, ones, ones, propagated(one, turn, one, one))
    assert abs(float(right.sum() + down.sum()) - 24) < 1e-12


def test_d_mode_reaches_every_later_node_by_one_path() -> None:
    one = torch.ones(1, 1, 5, 5, dtype=torch.float64)
    k = torch.zeros(1, 1, 5, 5, 1, dtype=torch.float64)
    k[0, 0, 0, 0] = 1
    ones = torch.ones_like(k)
    found, _, _ = sweep(ones, k, ones, diffused((one, one), one, (one, one), (one, one)))
    # from the corner, right first and then down: once along every path, however far
    assert set(found.flatten().tolist()) == {0.0, 1.0}
    assert int(found.sum()) == 24


def test_a_line_is_gated_linear_attention_read_a_step_late() -> None:
    made = PLSTM(heads=2, start_bias=0.0).mixer(Site(8)).double()
    assert isinstance(made, LineLayer)
    made.nodes.gates.weight.normal_()
    x = torch.randn(1, 9, 8, dtype=torch.float64)
    nodes, (source, keep, mark, _, direct) = made.nodes(x)
    q, k, v = nodes
    memory, outputs = torch.zeros(1, 2, 4, 4, dtype=torch.float64), []
    for t in range(9):
        outputs.append(torch.sigmoid(mark[:, :, t, None]) * (q[:, :, t, None] @ memory)[:, :, 0])
        written = torch.sigmoid(source[:, :, t, None, None]) * k[:, :, t, :, None] * v[:, :, t, None]
        memory = torch.sigmoid(keep[:, :, t, None, None]) * memory + written
    expected = made.nodes.leave(torch.stack(outputs, 2), nodes, direct)
    assert torch.allclose(made(x)[0], expected, atol=1e-12)


def test_an_image_of_one_row_is_a_line_in_the_heads_that_are_not_flipped() -> None:
    q, k, v = plane(1, 7)
    one = torch.ones(1, 1, 1, 7, dtype=torch.float64)
    keep = torch.rand(1, 1, 1, 7, dtype=torch.float64)
    found, _, _ = sweep(q, k, v, propagated(one, one, keep, one))
    memory = torch.zeros(3, 3, dtype=torch.float64)
    for t in range(7):
        assert torch.allclose(found[0, 0, 0, t], q[0, 0, 0, t] @ memory, atol=1e-12)
        memory = keep[0, 0, 0, t] * memory + torch.outer(k[0, 0, 0, t], v[0, 0, 0, t])


@pytest.mark.parametrize(("mode", "orientation"), [("P", 1), ("P", 2), ("P", 3), ("D", 3)])
def test_every_orientation_is_a_flip_of_the_first(mode: Mode, orientation: int) -> None:
    made = PLSTM(heads=4, mode=mode, start_bias=0.0).mixer(Site(8, grid=(4, 5))).double()
    assert isinstance(made, PlaneLayer)
    # all heads alike, so that only their orientations tell them apart
    project = made.nodes.project.weight.view(3, 4, 2, 8)
    project.copy_(project[:, :1].expand_as(project).clone())
    made.nodes.out.weight.copy_(torch.eye(8))
    image = torch.randn(1, 4, 5, 8, dtype=torch.float64)
    axes = [axis for bit, axis in ((1, 1), (2, 2)) if orientation & bit]

    def head(image: torch.Tensor, which: int) -> torch.Tensor:
        return made(image.flatten(1, 2), grid=(4, 5))[0].view(1, 4, 5, 4, 2)[:, :, :, which]

    assert torch.allclose(head(image, orientation), head(image.flip(axes), 0).flip(axes), atol=1e-12)


def test_a_layer_trained_on_one_size_runs_on_twice_that() -> None:
    made = PLSTM().mixer(Site(8, grid=(4, 4)))
    assert made(torch.randn(1, 64, 8), grid=(8, 8))[0].shape == (1, 64, 8)


@pytest.mark.parametrize("mode", ["P", "D"])
def test_a_shuffled_image_is_another_image(mode: Mode) -> None:
    # sources and marks that start at sigmoid(-5) would let next to nothing through
    made = PLSTM(mode=mode, start_bias=0.0).mixer(Site(8, grid=(4, 4))).double()
    x, order = torch.randn(1, 16, 8, dtype=torch.float64), torch.randperm(16)
    kept, shuffled = (made(inputs, grid=(4, 4))[0].mean(1) for inputs in (x, x[:, order]))
    assert float((kept - shuffled).abs().max()) > 1e-3


def test_d_mode_can_weigh_what_comes_from_the_left_against_what_comes_from_above() -> None:
    made = PLSTM(heads=1, mode="D", start_bias=0.0).mixer(Site(8, grid=(2, 2))).double()
    assert isinstance(made, PlaneLayer)
    assert made.nodes.gates.out_features == 8  # source, keep and mark of two directions, turn, direct
    x = torch.randn(1, 4, 8, dtype=torch.float64)
    # shut the marks of edges down and the direct term: the lower left node then reads nothing
    made.nodes.gates.bias[5] = made.nodes.gates.bias[7] = -1e3
    heard = made(x, grid=(2, 2))[0][0].norm(dim=-1)
    assert heard[[0, 2]].tolist() == [0.0, 0.0]
    assert float(heard[[1, 3]].min()) > 1e-2
