"""Whether the GPU kernels compile for a GPU that is not here, and fit its shared memory.

Each `kernels/<op>/gpu.py` lists under AHEAD what to compile. `python -m harness.kernels._ahead_of_time OP...` compiles
them for sm_80 and sm_90 and prints one JSON line each, with --first the first entry of each operation alone;
it must run without TRITON_INTERPRET, which replaces the compiler.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.kernels._dispatch import module_name

# bytes of shared memory that one block may ask for (CUDA C programming guide, table of compute capabilities)
SHARED_LIMIT: Mapping[int, int] = {80: 163 * 1024, 90: 227 * 1024}


@dataclass(frozen=True, slots=True)
class Ahead:
    """One kernel at one specialisation: Triton argument types ("*fp32", "i32", "fp32") and compile-time values."""

    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    warps: int = 4
    stages: int = 2


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler said of one kernel on one target."""

    op: str
    kernel: str
    constants: str
    capability: int
    shared: int  # bytes


def compile_for(op: str, capability: int, count: int | None = None) -> Iterator[Compiled]:
    """Compile the first `count` entries of the operation's AHEAD, or all, for one compute capability."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    for entry in importlib.import_module(module_name(op, "gpu")).AHEAD[:count]:
        signature = {**entry.types, **dict.fromkeys(entry.constants, "constexpr")}
        source = ASTSource(fn=entry.kernel, signature=signature, constexprs=dict(entry.constants))
        options = {"num_warps": entry.warps, "num_stages": entry.stages}
        built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        yield Compiled(
            op=op,
            kernel=entry.kernel.__name__,
            constants=",".join(f"{key}={value}" for key, value in entry.constants.items()),
            capability=capability,
            shared=int(built.metadata.shared),
        )


def main(arguments: list[str]) -> None:
    """Print one JSON line for each kernel and target."""
    first = "--first" in arguments
    for op in (argument for argument in arguments if argument != "--first"):
        for capability in SHARED_LIMIT:
            for built in compile_for(op, capability, 1 if first else None):
                print(json.dumps({name: getattr(built, name) for name in Compiled.__slots__}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
