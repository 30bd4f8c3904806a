"""How a request is laid out as a conversation, or as plain text for a model without a chat template."""

from __future__ import annotations

from harness.api.types import Generate, Turn


def conversation(request: Generate) -> list[Turn]:
    """The turns of a request: instruction, solved examples, then what is asked.

    An instruction to turns that were given becomes the system turn, unless they bring their own; one to a plain text
    is put before it, and before each example, since many small models know no system turn.
    """
    turns = request.source if isinstance(request.source, tuple) else ()
    shots: list[Turn] = []
    for shot, answer in request.shots:
        shots += [Turn("user", _asked(request, shot)), Turn("assistant", answer)]
    if not turns:
        return [*shots, Turn("user", _asked(request, str(request.source)))]
    if turns[0].role == "system":
        return [turns[0], *shots, *turns[1:]]
    system = [Turn("system", request.instruction)] if request.instruction else []
    return [*system, *shots, *turns]


def plain(request: Generate) -> str:
    """The request as one text that its answer continues."""
    if isinstance(request.source, tuple):
        return "\n".join(f"{turn.role}: {turn.text}" for turn in request.source) + "\nassistant:"
    if not request.instruction and not request.shots:
        return str(request.source)
    parts = [request.instruction] if request.instruction else []
    parts += [f"{shot}\n{answer}" for shot, answer in request.shots]
    return "\n\n".join([*parts, f"{request.source}\n"])


def _asked(request: Generate, source: str) -> str:
    return f"{request.instruction}\n\n{source}" if request.instruction else source
