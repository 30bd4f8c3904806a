"""Does a text hold a secret? Such a value is refused before it is written anywhere, and never repeated."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

# name -> what gives it away; the part to be hidden is the group `secret`. Repeats that may begin anywhere are bounded,
# so that a long text takes time in proportion to its length
SIGNS = {
    "a user name or password in an address": r"[A-Za-z][\w+.-]{0,30}://(?P<secret>[^/\s?#]{0,300})@",
    "a key in an address": r"[?&](?:[\w-]{0,40}[_-])?(?:api[_-]?key|key|token|auth|password|passwd"
    r"|pwd|secret|sig|signature)=(?P<secret>[^&\s,)]+)",
    "what looks like a key": r"(?<![A-Za-z0-9])(?P<secret>"
    # OpenAI and those that follow it, Hugging Face, GitHub, GitLab, Slack, Amazon, Google, NVIDIA, Groq, xAI, JWT
    r"(?:sk|pk|rk)-(?=[\w-]{0,80}\d)[\w-]{16,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|nvapi-[\w-]{20,}|gsk_\w{20,}"
    r"|xai-\w{20,}|eyJ[\w-]{10,4000}\.[\w-]+\.[\w-]+|Bearer\s+[\w.~+/-]{8,})",
}
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")  # the name of an environment variable


def found(text: str) -> str:
    """What kind of secret the text holds; empty where none is seen."""
    return next((name for name, sign in SIGNS.items() if re.search(sign, text)), "")


def masked(text: str) -> str:
    """The text with every secret that is seen replaced."""
    for sign in SIGNS.values():
        text = re.sub(sign, lambda match: match.group().replace(match.group("secret"), HIDDEN), text)
    return text


def is_variable(text: str) -> bool:
    """Whether the text can be the name of an environment variable, in capitals as all of ours are."""
    return VARIABLE.fullmatch(text) is not None
