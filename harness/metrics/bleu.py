"""bleu: corpus BLEU by sacrebleu, with its signature."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from harness.api.errors import UsageError
from harness.api.registry import metric
from harness.metrics._sacrebleu import SacrebleuMetric

# ja-mecab and ko-mecab need sacrebleu[ja] and sacrebleu[ko]
Tokenizer = Literal["13a", "intl", "zh", "char", "ja-mecab", "ko-mecab", "none"]


@metric(version=1, paper="Papineni et al. 2002; Post 2018")
class Bleu(SacrebleuMetric):
    """BP exp(mean_n log p_n), n = 1..4, from n-gram counts summed over the corpus, smoothed as sacrebleu does."""

    tokenize: Tokenizer = "13a"  # sacrebleu's default, mteval-v13a's rules
    lowercase: bool = False
    references: int = 1  # of every example; 0 when it varies

    higher_is_better = True
    scale = (0.0, 100.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "bleu"

    @property
    def reference_count(self) -> int:
        """Parameter of the signature."""
        return self.references

    @property
    def engine(self) -> Any:
        """Sacrebleu's BLEU."""
        return _engine(self.tokenize, self.lowercase)


@cache
def _engine(tokenize: str, lowercase: bool) -> Any:
    from sacrebleu.metrics import BLEU

    try:
        return BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    except (ImportError, RuntimeError) as problem:
        # sacrebleu says the same in several lines
        extra = tokenize.partition("-")[0]
        raise UsageError(
            f"bleu: tokenize={tokenize} needs a dictionary; pip install 'sacrebleu[{extra}]'."
        ) from problem
