"""What the works in PyTorch share: how they are timed, attention and RMS norm as this PyTorch has them fastest."""
import functools
import math
import statistics
import time

import torch
import torch.nn.functional as F

F32, BF16 = torch.float32, torch.bfloat16


def sample(run, seconds):
    """Milliseconds of each run; the same loop as in lib/stats.ts."""
    run()
    ms = []
    end = time.perf_counter() + seconds
    while len(ms) < 2 or (time.perf_counter() < end and len(ms) < 2000):
        start = time.perf_counter()
        run()
        ms.append(round((time.perf_counter() - start) * 1e3, 6))
    return ms


def composed_attention(q, k, v, causal):
    t = q.shape[-2]
    s = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    if causal:
        s = s.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -math.inf)
    return s.softmax(-1) @ v


@functools.lru_cache(None)
def fused_is_faster(dtype, heads=8, rows=512, keys=512, dim=64, causal=True):
    """2.6's fused attention in bf16 is many times slower than the composed one where the CPU has no AMX."""
    if not hasattr(F, "scaled_dot_product_attention"):
        return False
    q, k = torch.randn(1, heads, rows, dim).to(dtype), torch.randn(1, heads, keys, dim).to(dtype)
    with torch.no_grad():
        fused = sample(lambda: F.scaled_dot_product_attention(q, k, k, is_causal=causal), 0.05)
        composed = sample(lambda: composed_attention(q, k, k, causal), 0.05)
    return statistics.median(fused) < statistics.median(composed)


def attend(q, k, v, causal, fused):
    if fused:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return composed_attention(q, k, v, causal)


def rms_norm(x, w):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, (x.shape[-1],), w, 1e-6)
    return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * w
