"""Whether a model can say a word again."""

from collections.abc import Iterator

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Generate

SPLITS = ("train", "test")


@task(version=1, doors=("generate",), paper="none", licence="Apache-2.0", differs="none")
class Echo:
    """Repeat one made-up word; other words in each split and for each seed."""

    size: int = 100
    door = "generate"
    metrics = ("exact_match",)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """`size` words."""
        if split not in SPLITS:
            raise UsageError(f"echo has no split {split!r}; it has {' and '.join(SPLITS)}.")
        for index in range(self.size):
            word = f"{split}-{seed}-{index}"
            yield Example(f"{split}-{index}", (Generate(word, max_new_tokens=16),), target=word)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Words are made, not read."""
        return "generated:1"
