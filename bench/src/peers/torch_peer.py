"""The works of works.ts in PyTorch, one JSON line each: {"name", "ms", "spread"}; a work it cannot do says why.

usage: torch_peer.py SECONDS THREADS [NAME ...]   only works of these names
Run by index.ts with ATEN_CPU_CAPABILITY and a malloc that keeps its pages.
"""
import json
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_num_threads(int(sys.argv[2]))
F32, BF16 = torch.float32, torch.bfloat16


def matmul(m, k, n, dtype):
    def setup():
        a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
        return lambda: a @ b

    return setup


def linear(m, k, n, dtype):
    def setup():
        x, w = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
        return lambda: F.linear(x, w)

    return setup


def linear_int8(m, k, n):
    """Dynamic quantisation, by the engine of this build that is made for this CPU."""

    def setup():
        engines = torch.backends.quantized.supported_engines
        best = [e for e in ("fbgemm", "x86", "onednn", "qnnpack") if e in engines]
        torch.backends.quantized.engine = best[0]
        layer = torch.nn.Sequential(torch.nn.Linear(k, n, bias=False))
        layer = torch.ao.quantization.quantize_dynamic(layer, {torch.nn.Linear}, dtype=torch.qint8)
        x = torch.randn(m, k)
        return lambda: layer(x)

    return setup


def attend(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    t = q.shape[-2]
    mask = torch.ones(t, t, dtype=torch.bool).triu(1)
    s = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    return s.masked_fill(mask, -math.inf).softmax(-1) @ v


def attention(t, dtype, backward):
    def setup():
        q, k, v = (torch.randn(1, 8, t, 64).to(dtype).requires_grad_(backward) for _ in range(3))

        def run():
            y = attend(q, k, v)
            if backward:
                y.sum().backward()
                q.grad = k.grad = v.grad = None

        return run

    return setup


def rows(fn, shape):
    def setup():
        x = torch.randn(*shape)
        w, b = torch.ones(shape[-1]), torch.zeros(shape[-1])
        return lambda: fn(x, w, b)

    return setup


def cross_entropy(shape):
    def setup():
        x, y = torch.randn(*shape), torch.randint(0, shape[1], (shape[0],))
        return lambda: F.cross_entropy(x, y)

    return setup


def adamw(n):
    def setup():
        p = torch.nn.Parameter(torch.randn(n))
        p.grad = torch.randn(n)
        opt = torch.optim.AdamW([p], lr=1e-4, weight_decay=0.1)
        return opt.step

    return setup


def rms_norm(x, w, _):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, (x.shape[-1],), w, 1e-6)
    return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * w


def train_step(layers, width, heads, ffn, vocab, batch, length):
    def setup():
        par = lambda *s: torch.nn.Parameter(torch.randn(*s) * 0.05)
        table = par(vocab, width)
        blocks = [
            (par(3 * width, width), par(width, width), par(ffn, width), par(ffn, width), par(width, ffn))
            for _ in range(layers)
        ]
        params = [table] + [p for b in blocks for p in b]
        opt = torch.optim.AdamW(params, lr=1e-3)
        ids = torch.randint(0, vocab, (batch, length))
        target = torch.randint(0, vocab, (batch * length,))
        one = torch.ones(width)

        def forward():
            x = F.embedding(ids, table)
            for qkv, out, gate, up, down in blocks:
                h = F.linear(rms_norm(x, one, None), qkv).view(batch, length, 3, heads, width // heads)
                q, k, v = h.permute(2, 0, 3, 1, 4).unbind(0)
                y = attend(q, k, v).transpose(1, 2).reshape(batch, length, width)
                x = x + F.linear(y, out)
                h = rms_norm(x, one, None)
                x = x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
            logits = F.linear(rms_norm(x, one, None), table)
            return F.cross_entropy(logits.view(-1, vocab), target)

        def run():
            forward().backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            opt.step()
            opt.zero_grad(set_to_none=True)

        return run

    return setup


def tiny(backward):
    def setup():
        a = torch.randn(4, requires_grad=backward)
        b = torch.randn(4)

        def run():
            for _ in range(1000):
                y = a + b
                if backward:
                    y.sum().backward()
                    a.grad = None

        return run

    return setup


works = {}
for s in (1024, 2048):
    works[f"product f32 {s}x{s}x{s}"] = matmul(s, s, s, F32)
    works[f"product bf16 {s}x{s}x{s}"] = matmul(s, s, s, BF16)
works["product bf16 4096x4096x1024"] = matmul(4096, 4096, 1024, BF16)
for m in (1, 4, 16):
    works[f"linear f32 {m}x4096x4096"] = linear(m, 4096, 4096, F32)
    works[f"linear bf16 {m}x4096x4096"] = linear(m, 4096, 4096, BF16)
    works[f"linear int8 {m}x4096x4096"] = linear_int8(m, 4096, 4096)
for t in (1024, 4096):
    for dtype, name in ((F32, "f32"), (BF16, "bf16")):
        works[f"attention {name} T{t}"] = attention(t, dtype, False)
        works[f"attention {name} T{t} with backward"] = attention(t, dtype, True)
for shape in ((4096, 1024), (2048, 32768)):
    at = f"{shape[0]}x{shape[1]}"
    works[f"layer norm f32 {at}"] = rows(lambda x, w, b: F.layer_norm(x, (x.shape[-1],), w, b), shape)
    works[f"RMS norm f32 {at}"] = rows(rms_norm, shape)
    works[f"softmax f32 {at}"] = rows(lambda x, w, b: x.softmax(-1), shape)
    works[f"GELU f32 {at}"] = rows(lambda x, w, b: F.gelu(x), shape)
    works[f"cross-entropy f32 {at}"] = cross_entropy(shape)
works["AdamW f32 100M"] = adamw(100_000_000)
works["training step f32"] = train_step(6, 384, 6, 1024, 8192, 8, 256)
works["1000 tiny adds f32"] = tiny(False)
works["1000 tiny adds, sum, backward f32"] = tiny(True)


def measure(setup, seconds):
    run = setup()
    for _ in range(2):
        run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 500):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return statistics.median(times), (times[len(times) * 3 // 4] - times[len(times) // 4])


seconds, names = float(sys.argv[1]), sys.argv[3:]
print(json.dumps({"peer": f"PyTorch {torch.__version__.split('a')[0]}"}), flush=True)
for name, setup in works.items():
    if names and name not in names:
        continue
    try:
        ms, spread = measure(setup, seconds)
        print(json.dumps({"name": name, "ms": ms, "spread": spread}), flush=True)
    except Exception as error:  # a dtype that this build lacks, or memory
        print(json.dumps({"name": name, "why": str(error).splitlines()[0][:200]}), flush=True)
