"""What can be set about encoding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kartoteka.settings import Settings

#: The offline model of the `demo` extra.
DEFAULT_MODEL = "all-MiniLM-L6-v2"


class EncodingSettings(Settings):
    """The `[encoding]` section."""

    token_budget: int | None = Field(default=None, ge=16, le=1_000_000)
    """Tokens in one batch at most (one longer text is a batch by itself); unset: what suits the device."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "int16"] = "auto"
    """`auto`: on a CPU bf16 with AMX, else int16 (12-bit linear layers; BERT family, C compiler, VNNI or AVX2 needed),
    else bf16 or fp32; on a GPU bf16, or fp16 without it. bf16 by AMX takes kernels of our own where int16 would, else
    torch's."""

    threads: int = Field(default=1, ge=1, le=1024)
    """Threads of one engine. One single-threaded engine per core beats one engine on all cores."""

    compile: bool = False
    """Compile the layers of torch's packed fp32 and bf16 path with torch.compile: slower to start, then faster. Needs
    a C++ compiler; without one a warning says so. int16 is compiled as it is, and bf16 then torch's."""

    max_tokens: int | None = Field(default=None, ge=2)
    """Truncate texts to this many tokens; unset: the model's own limit, which a larger value never passes."""

    prompt: str | None = None
    """Put before every text (E5 wants "query: "); unset: the model's own default prompt, if it has one."""
