"""decoders/beam: the most probable outputs by breadth, with GNMT's length and coverage scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.api.errors import UsageError
from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._beam import Beam, Scoring, beam_search


@decoder(
    lossless="no",
    needs=(),
    paper="Sutskever et al. 2014, arXiv:1409.3215; Wu et al. 2016 (GNMT), arXiv:1609.08144",
    differs="|Y| counts the end token, which the paper leaves open",
)
class BeamSearch:
    """Keep the `width` best prefixes; return the finished output of the best score, the rest as n-best alternatives.

    s(Y, X) = log P(Y | X) / lp(Y) + cp(X; Y); alpha = beta = 0 is the plain search of Sutskever et al. GNMT's tuned
    values are alpha = beta = 0.2 and prune = 3. beta needs a model with attention on a source, and does nothing else.
    Differs from the paper: |Y| counts the end token, which the paper leaves open.
    """

    width: int = 4
    alpha: float = 0.0
    beta: float = 0.0
    prune: float = math.inf
    nbest: int = 1  # finished outputs to look for before the search may stop

    def __post_init__(self) -> None:
        if self.width < 1 or not 1 <= self.nbest <= self.width or self.alpha < 0 or self.beta < 0 or self.prune <= 0:
            raise UsageError(
                "beam needs width >= 1, 1 <= nbest <= width, alpha >= 0, beta >= 0 and prune > 0, not "
                f"{self.width}, {self.nbest}, {self.alpha}, {self.beta}, {self.prune}."
            )

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Search for each prompt; seeds are not used."""
        scoring = Scoring(self.alpha, self.beta, self.prune)
        beams = beam_search(lm, prompts, self.width, scoring, meter=meter, nbest=self.nbest)
        return [decoded(beam) for beam in beams]


def decoded(beam: Beam) -> Decoded:
    """A finished search as a response of the decoder."""
    best = beam.done[0]
    ended = best.finished == "eos"
    return Decoded(
        tokens=best.tokens,
        accepted=(1,) * (len(best.tokens) + ended),
        calls=beam.calls,
        finished=best.finished,
        logprob=best.logprob,
        alternatives=tuple((item.tokens, item.score) for item in beam.done),
        extra={"score": best.score},
    )
