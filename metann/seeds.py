"""Seeds derived from what a random draw is for, so that adding a job changes no other job's draws."""

import hashlib


def derive_seed(*parts: object) -> int:
    """A seed in 0 .. 2**63 - 1 from any parts with a stable text, such as (seed, 'train_expert', 3, 0.1, 'epoch', 5)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
