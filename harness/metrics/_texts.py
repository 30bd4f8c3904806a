"""Which texts does an example compare? One generation against one or several references."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.errors import HarnessError
from harness.api.types import Example, Generated, Response


def texts(metric: str, example: Example, responses: Sequence[Response]) -> tuple[str, list[str]]:
    """The first response's text and the references (the target: a text, or a list of texts).

    Errors: TypeError for a response that is no generation; HarnessError for an example without a reference.
    """
    answer = responses[0]
    if not isinstance(answer, Generated):
        raise TypeError(f"{metric} measures generations, not {type(answer).__name__}")
    target = example.target
    references = [str(item) for item in target] if isinstance(target, (list, tuple)) else [target]
    if not references or references[0] is None:
        raise HarnessError(f"{metric}: example {example.id!r} has no reference text.")
    return answer.text, [str(reference) for reference in references]
