"""Our network and cache against transformers' own: every family, every way of stepping, every shared prefix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.types import Want
from harness.models.lms._linear import Int8Linear, PackedLinear, PlainLinear, RowInt8Linear, quantise_rows
from harness.models.lms._llama import Network, NonFiniteError
from harness.models.lms._replay import Replay
from harness.models.lms._runtime import LlamaRuntime
from harness.models.lms._scoring import ForestScorer, ScoreRow, StepScorer
from harness.models.lms._shape import read_shape

VOCABULARY = 97
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 64}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 64,
    "attention_factor": 1.25, "short_factor": [1.0, 1.5, 3.0, 8.0], "long_factor": [1.0, 1.5, 3.0, 8.0],
}  # fmt: skip


def angles(rope: dict[str, Any]) -> dict[str, Any]:
    """A config's rotary scaling, in the words of the transformers at hand: those of 5.x, or of 4.x."""
    if hasattr(transformers.LlamaConfig(), "rope_parameters"):
        return {"rope_parameters": rope}
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    return {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}


FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama one key head": ("llama", {"num_key_value_heads": 1}),
    "llama3 angles": ("llama", angles(LLAMA3)),
    "yarn angles": ("llama", angles(YARN)),
    "linear angles": ("llama", angles({"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0})),
    "longrope angles of one length": ("llama", angles(LONGROPE)),
    "mistral window": ("mistral", {"sliding_window": 5}),
    "qwen2": ("qwen2", {}),
    "qwen2 window": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "qwen3": ("qwen3", {}),
    "gemma3": ("gemma3_text", {"sliding_window": 6, "query_pre_attn_scalar": 16}),
}
TOKENS = [5, 17, 50, 3, 96, 64, 12, 21, 33, 8, 15, 42, 7, 7, 80, 31, 60, 2, 44, 90]


def build(name: str, seed: int = 0) -> tuple[Any, LlamaRuntime]:
    """transformers' model of a family with random weights, and ours with the same ones."""
    kind, options = FAMILIES[name]
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(kind, **(SIZES | {"attn_implementation": "eager"} | options))
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            # norms are born as ones and biases as zeros: move them, or a forgotten one would not show
            weight += torch.randn_like(weight) * (0.1 if weight.dim() > 1 else 0.3)
    state = network.state_dict()
    shape = read_shape(config.to_dict())
    return network, LlamaRuntime(Network(shape, lambda key: state[key].clone()), 256, [1])


@pytest.fixture(scope="module", params=list(FAMILIES))
def pair(request: pytest.FixtureRequest) -> tuple[Any, LlamaRuntime]:
    return build(request.param)


@pytest.fixture(scope="module")
def small() -> LlamaRuntime:
    return build("llama")[1]


@torch.no_grad()
def whole(network: Any, tokens: list[int]) -> torch.Tensor:
    """transformers' logits [T, V]."""
    return network(input_ids=torch.tensor([tokens])).logits[0]


def test_float64_weights_are_computed_in_float64_throughout() -> None:
    network, single = build("llama3 angles")
    state = network.state_dict()
    double = LlamaRuntime(Network(single.network.shape, lambda key: state[key].double()), 256, [1])
    answers = [lm.step(lm.start(1, 20), [TOKENS], Want("all")).logits[0] for lm in (single, double)]
    assert answers[1].dtype == torch.float64
    # a detour through float32 anywhere would leave steps and one prefill 1e-7 apart
    state, steps = double.start(1, 20), []
    for token in TOKENS:
        step = double.step(state, [[token]])
        state = step.state
        steps.append(step.logits[0, 0])
    assert torch.allclose(torch.stack(steps), answers[1], rtol=0, atol=1e-12)
    assert torch.allclose(answers[0].double(), answers[1], rtol=0, atol=1e-4)


def all_logits(lm: LlamaRuntime, tokens: list[int]) -> torch.Tensor:
    return lm.step(lm.start(1, len(tokens)), [tokens], Want("all")).logits[0]


def test_logits_equal_those_of_transformers(pair: tuple[Any, LlamaRuntime]) -> None:
    network, lm = pair
    torch.testing.assert_close(all_logits(lm, TOKENS), whole(network, TOKENS), atol=1e-4, rtol=0)


def test_hidden_states_and_attention_equal_those_of_transformers(pair: tuple[Any, LlamaRuntime]) -> None:
    network, lm = pair
    with torch.no_grad():
        expected = network(input_ids=torch.tensor([TOKENS]), output_hidden_states=True, output_attentions=True)
    step = lm.step(lm.start(1, 20), [TOKENS], Want("none", hidden=(0, 1, 2, -1), attention=(0, 2)))
    assert step.logits is None
    for layer in (0, 1, 2, -1):
        torch.testing.assert_close(step.hidden[layer], expected.hidden_states[layer], atol=1e-4, rtol=0)
    for layer in (0, 2):
        torch.testing.assert_close(step.attention[layer], expected.attentions[layer], atol=1e-5, rtol=0)


def test_steps_of_any_size_equal_one_pass(pair: tuple[Any, LlamaRuntime]) -> None:
    network, lm = pair
    state, found = lm.start(1, 20), []
    for first, last in ((0, 9), (9, 10), (10, 13), (13, 13), (13, 20)):
        step = lm.step(state, [TOKENS[first:last]], Want("all"))
        state = step.state
        if last > first:
            found.append(step.logits[0])
    torch.testing.assert_close(torch.cat(found), whole(network, TOKENS), atol=1e-4, rtol=0)


def replayed(lm: LlamaRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tokens for rows of different lengths through the static step, a row dropped half-way, against plain steps."""
    monkeypatch.setattr("harness.models.lms._replay.READ_STEP", 4)
    plain = LlamaRuntime(lm.network, 256, [1])
    plain.replay = None
    static = LlamaRuntime(lm.network, 256, [1])
    static.replay = Replay(lm.network)
    states = [side.step(side.start(3, 30), [TOKENS[:3], TOKENS[:11], [9]]).state for side in (plain, static)]
    for number in range(6):
        if number == 3:
            states = [side.select(state, [0, 1]) for side, state in zip((plain, static), states, strict=True)]
        new = [[TOKENS[number]], [TOKENS[-number]], [number]][: states[0].rows]
        expected, found = (side.step(state, new) for side, state in zip((plain, static), states, strict=True))
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-4)
        states = [expected.state, found.state]
    assert static.length(states[1]) == [9, 17]


def test_the_static_step_that_a_gpu_replays_equals_a_plain_step(
    pair: tuple[Any, LlamaRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed(pair[1], monkeypatch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a CUDA device")
def test_a_captured_graph_equals_plain_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    config = transformers.AutoConfig.for_model("llama", **SIZES)
    state = transformers.AutoModelForCausalLM.from_config(config).state_dict()
    network = Network(read_shape(config.to_dict()), lambda key: state[key].cuda())
    replayed(LlamaRuntime(network, 256, [1]), monkeypatch)


def test_rows_of_different_lengths_equal_rows_alone(pair: tuple[Any, LlamaRuntime]) -> None:
    network, lm = pair
    rows = [TOKENS[:7], TOKENS[3:20], [9], TOKENS[1:8]]
    step = lm.step(lm.start(4, 30), rows)
    step = lm.step(step.state, [[11], [12], [13], [14]])
    step = lm.step(step.state, [[21, 22], [], [23, 24], [25]])
    assert lm.length(step.state) == [10, 18, 4, 9]
    for row, (start, end) in enumerate(zip(rows, ([11, 21, 22], [12], [13, 23, 24], [14, 25]), strict=True)):
        if row != 1:
            torch.testing.assert_close(step.logits[row, 0], whole(network, start + end)[-1], atol=1e-4, rtol=0)


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_every_node_of_a_tree_equals_its_path_from_the_root(
    pair: tuple[Any, LlamaRuntime], data: st.DataObject
) -> None:
    network, lm = pair
    prefixes = data.draw(st.lists(st.lists(st.integers(0, 96), min_size=1, max_size=9), min_size=1, max_size=2))
    trees = []
    for _ in prefixes:
        size = data.draw(st.integers(1, 7))
        parents = [data.draw(st.integers(-1, index - 1)) for index in range(size)]
        trees.append(([data.draw(st.integers(0, 96)) for _ in range(size)], parents))
    step = lm.step(lm.start(len(prefixes), 24), prefixes, Want("none"))
    step = lm.step(step.state, [tree[0] for tree in trees], Want("all"), [tree[1] for tree in trees])
    for row, (prefix, (tokens, parents)) in enumerate(zip(prefixes, trees, strict=True)):
        for node in range(len(tokens)):
            path, at = [], node
            while at >= 0:
                path.insert(0, tokens[at])
                at = parents[at]
            expected = whole(network, prefix + path)[-1]
            torch.testing.assert_close(step.logits[row, node], expected, atol=1e-4, rtol=1e-5)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_cache_after_any_history_equals_a_fresh_prefill(small: LlamaRuntime, data: st.DataObject) -> None:
    rows: list[list[int]] = [[], [], []]
    state = small.start(3, 64)
    token = st.integers(0, VOCABULARY - 1)
    for _ in range(data.draw(st.integers(1, 6))):
        verb = data.draw(st.sampled_from(["step", "step", "tree", "rewind", "select"]))
        if verb == "step":
            new = [data.draw(st.lists(token, max_size=4)) for _ in rows]
            state = small.step(state, new).state
            rows = [old + more for old, more in zip(rows, new, strict=True)]
        elif verb == "tree":
            trees, paths = [], []
            for _ in rows:
                size = data.draw(st.integers(0, 5))
                parents = [data.draw(st.integers(-1, index - 1)) for index in range(size)]
                path, at = [], data.draw(st.integers(-1, size - 1))
                while at >= 0:
                    path.insert(0, at)
                    at = parents[at]
                trees.append(([data.draw(token) for _ in range(size)], parents))
                paths.append(path)
            state = small.step(state, [tree[0] for tree in trees], Want("none"), [tree[1] for tree in trees]).state
            state = small.keep_path(state, paths)
            rows = [old + [tree[0][i] for i in path] for old, tree, path in zip(rows, trees, paths, strict=True)]
        elif verb == "rewind":
            lengths = [data.draw(st.integers(0, len(row))) for row in rows]
            state = small.rewind(state, lengths)
            rows = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        else:
            chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=4))
            state = small.select(state, chosen)
            rows = [list(rows[index]) for index in chosen]
    assert small.length(state) == [len(row) for row in rows]
    for index, row in enumerate(rows):
        if row:
            fresh = small.step(small.start(1, len(row)), [row], Want("none")).state
            kept = state.buffer[:, :, index, :, : len(row)]
            torch.testing.assert_close(kept, fresh.buffer[:, :, 0], atol=1e-5, rtol=1e-5)


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(1, 40)),
    min_size=1,
    max_size=12,
)


@given(drawn=ROWS, budget=st.sampled_from([(24, 8), (1024, 96)]))
@settings(max_examples=30, deadline=None)
def test_sharing_prefixes_changes_no_log_probability(
    pair: tuple[Any, LlamaRuntime], drawn: list[tuple[int, list[int], int]], budget: tuple[int, int]
) -> None:
    _, lm = pair
    preambles: list[list[int]] = [[], TOKENS * 2, TOKENS[:9]]
    rows = []
    for preamble, tail, start in drawn:
        tokens = (*preambles[preamble], *tail)
        rows.append(ScoreRow(tokens, min(start, len(tokens) - 1)))
    with pytest.MonkeyPatch.context() as patch:
        # small packs and clusters, so that stored prefixes and splits are met in a few rows
        patch.setattr("harness.models.lms._scoring.PACK_TOKENS", budget[0])
        patch.setattr("harness.models.lms._forest.CLUSTER_TOKENS", budget[1])
        shared = ForestScorer(lm.network).score(rows)
    alone = StepScorer(lm).score(rows)
    for one, other in zip(shared, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-5)


def test_choices_of_one_question_cost_one_encoding(small: LlamaRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    run = Network.run
    monkeypatch.setattr(
        Network, "run", lambda self, ids, *rest, **more: counted.append(len(ids)) or run(self, ids, *rest, **more)
    )
    ForestScorer(small.network).score([ScoreRow((*TOKENS, choice), len(TOKENS)) for choice in (1, 2, 3, 4)])
    assert counted == [len(TOKENS)]


def test_an_explicit_choice_of_positions_returns_those_logits(small: LlamaRuntime) -> None:
    expected = all_logits(small, TOKENS[:6])
    step = small.step(small.start(1, 6), [TOKENS[:6]], Want(logits=(4, 1)))
    torch.testing.assert_close(step.logits[0], expected[[4, 1]], atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match=r"wanted at \(3,\) but a row has 2"):
        small.step(small.start(1, 6), [[1, 2]], Want(logits=(3,)))


def test_misuse_of_a_state_is_refused_in_one_line(small: LlamaRuntime) -> None:
    state = small.start(1, 4)
    after = small.step(state, [[3, 4]]).state
    with pytest.raises(HarnessError, match="used twice"):
        small.step(state, [[5]])
    with pytest.raises(UsageError, match="capacity of 4"):
        small.step(after, [[5, 6, 7]])
    with pytest.raises(UsageError, match="1 rows but 2 were given"):
        small.step(after, [[5], [6]])
    with pytest.raises(UsageError, match="cannot be cut to 3"):
        small.rewind(after, [3])
    with pytest.raises(UsageError, match="a parent comes before its children"):
        small.step(after, [[5, 6]], Want("all"), [[1, -1]])


def test_a_network_that_turns_non_finite_says_so_and_names_the_layer(small: LlamaRuntime) -> None:
    _, broken = build("llama", seed=3)
    weight = broken.network.layers[1].before_mlp
    weight[4] = float("nan")
    with pytest.raises(NonFiniteError, match="logit is not finite"):
        broken.step(broken.start(1, 3), [[1, 2, 3]])
    with pytest.raises(NonFiniteError, match="layer 1 is the first"):
        ForestScorer(broken.network, check=True).score([ScoreRow((1, 2, 3), 1)])


@pytest.mark.parametrize("option", [{"use_bidirectional_attention": True}, {"is_causal": False}])
def test_a_config_whose_attention_is_not_causal_is_refused(option: dict[str, bool]) -> None:
    config = transformers.AutoConfig.for_model("gemma3_text", **SIZES).to_dict()
    ((key, _),) = option.items()
    with pytest.raises(DataError, match=f"{key}=.*attention of this checkpoint is not causal"):
        read_shape(config | option)
    assert read_shape(config | {"use_bidirectional_attention": False, "is_causal": True}).family == "gemma3_text"


def test_an_unknown_family_and_an_unknown_angle_are_refused() -> None:
    with pytest.raises(DataError, match="'mamba' is not of the Llama family"):
        read_shape({"model_type": "mamba"})
    with pytest.raises(DataError, match=r"rope_type is 'proportional'; this rotary scaling is not supported"):
        read_shape({"model_type": "llama", **SIZES, "rope_scaling": {"rope_type": "proportional"}})


@pytest.mark.parametrize("rows", [1, 3, 65])
@pytest.mark.parametrize("layout", [PlainLinear, PackedLinear])
def test_every_layout_multiplies_like_torch(layout: Any, rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, x, other = (
        torch.randn(*size, generator=generator) for size in ((40, 24), (40,), (rows, 24), (rows, 40))
    )
    expected = torch.nn.functional.linear(x, weight, bias)
    with torch.inference_mode():
        linear = layout(weight, bias)
        torch.testing.assert_close(linear(x), expected)
        torch.testing.assert_close(linear.added(x, other), expected + other)
        torch.testing.assert_close(linear.times(x, other), expected * other)
        torch.testing.assert_close(linear.silu(x), torch.nn.functional.silu(expected))


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_int8_rows_stay_within_half_a_step_of_their_weights(rows: int) -> None:
    weight = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    quantised, scale = quantise_rows(weight)
    assert (quantised.float() * scale[:, None] - weight).abs().max() <= scale.max() / 2 + 1e-6
    x = torch.randn(rows, 32, generator=torch.Generator().manual_seed(2)).bfloat16()
    with torch.inference_mode():
        found = RowInt8Linear(weight)(x).float()
    exact = x.float() @ (quantised.float() * scale[:, None]).T
    # bfloat16 keeps 8 bits of the product, and of its scaled value
    torch.testing.assert_close(found, exact, atol=0.15, rtol=0.02)


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("inputs", [64, 24])
def test_int8_groups_multiply_in_the_precision_of_their_input(rows: int, inputs: int) -> None:
    generator = torch.Generator().manual_seed(1)
    weight, x = torch.randn(48, inputs, generator=generator), torch.randn(rows, inputs, generator=generator)
    weight[:, 0] *= 50  # an outlier, which must not coarsen the groups beside its own
    parts = weight.split(32 if inputs == 64 else inputs, dim=1)
    rounded = [quantised.float() * scale[:, None] for quantised, scale in map(quantise_rows, parts)]
    with torch.inference_mode():
        found = Int8Linear(weight)(x)
    torch.testing.assert_close(found, x @ torch.cat(rounded, dim=1).T, atol=1e-3, rtol=1e-4)
