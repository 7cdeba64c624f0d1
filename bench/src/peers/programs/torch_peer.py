"""The works of works.ts in PyTorch. It says its name, then answers each line "SECONDS NAME" with one of JSON: the
milliseconds of every run, or why it cannot. A work is set up once for all the times that it is asked for in a row.

usage: torch_peer.py THREADS
Run by peers.ts with the environment in which PyTorch is at its best.
"""
import gc
import json
import sys

import torch
import torch.nn.functional as F

import torch_shakti
from torch_common import BF16, F32, attend, fused_is_faster, rms_norm, sample

torch.manual_seed(1)
torch.set_num_threads(int(sys.argv[1]))


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
    """Weights of int8 with a scale, rows quantised on the way, as torch.ao.nn.quantized.dynamic.Linear has it."""

    def setup():
        from torch.ao.quantization import quantize_dynamic

        engines = torch.backends.quantized.supported_engines
        torch.backends.quantized.engine = next(e for e in ("onednn", "fbgemm", "qnnpack") if e in engines)
        layer = torch.nn.Sequential(torch.nn.Linear(k, n, bias=False))
        quantised = quantize_dynamic(layer, {torch.nn.Linear}, dtype=torch.qint8)
        x = torch.randn(m, k)

        def run():
            with torch.no_grad():
                quantised(x)

        return run

    return setup


def attention(t, dtype, backward):
    def setup():
        q, k, v = (torch.randn(1, 8, t, 64).to(dtype).requires_grad_(backward) for _ in range(3))

        def run():
            y = attend(q, k, v, True, fused_is_faster(dtype))
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


def optimizer(params, **settings):
    """AdamW in one pass over memory where this PyTorch has it (2.4 on), else as it comes."""
    try:
        return torch.optim.AdamW(params, fused=True, **settings)
    except (TypeError, RuntimeError):
        return torch.optim.AdamW(params, **settings)


def adamw(n):
    def setup():
        p = torch.nn.Parameter(torch.randn(n))
        p.grad = torch.randn(n)
        return optimizer([p], lr=1e-4, weight_decay=0.1).step

    return setup


def train_step(layers, width, heads, ffn, vocab, batch, length, autocast=False):
    def setup():
        par = lambda *s: torch.nn.Parameter(torch.randn(*s) * 0.05)
        table = par(vocab, width)
        blocks = [
            (par(3 * width, width), par(width, width), par(ffn, width), par(ffn, width), par(width, ffn))
            for _ in range(layers)
        ]
        params = [table] + [p for b in blocks for p in b]
        opt = optimizer(params, lr=1e-3)
        ids = torch.randint(0, vocab, (batch, length))
        target = torch.randint(0, vocab, (batch * length,))
        one = torch.ones(width)

        def forward():
            x = F.embedding(ids, table)
            for qkv, out, gate, up, down in blocks:
                h = F.linear(rms_norm(x, one), qkv).view(batch, length, 3, heads, width // heads)
                q, k, v = h.permute(2, 0, 3, 1, 4).unbind(0)
                y = attend(q, k, v, True, fused_is_faster(q.dtype)).transpose(1, 2).reshape(batch, length, width)
                x = x + F.linear(y, out)
                h = rms_norm(x, one)
                x = x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
            logits = F.linear(rms_norm(x, one), table)
            return F.cross_entropy(logits.view(-1, vocab), target)

        def run():
            with torch.autocast("cpu", dtype=BF16, enabled=autocast):
                loss = forward()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            opt.step()
            opt.zero_grad(set_to_none=True)

        return run

    return setup


def encoder(layers, width, heads, tokens, batch, patch, dtype):
    """A vision encoder's forward: patches of `patch` numbers, pre-norm blocks with biases, a last norm."""

    def setup():
        par = lambda *s: (torch.randn(*s) * 0.05).to(dtype)
        dense = lambda n, k: (par(n, k), par(n))
        norm = lambda: (torch.ones(width, dtype=dtype), torch.zeros(width, dtype=dtype))
        embed, places, last = dense(width, patch), par(tokens, width), norm()
        blocks = [
            (norm(), dense(3 * width, width), dense(width, width), norm(), dense(4 * width, width), dense(width, 4 * width))
            for _ in range(layers)
        ]
        patches = torch.randn(batch, tokens, patch).to(dtype)

        def run():
            with torch.no_grad():
                x = F.linear(patches, *embed) + places
                for norm1, qkv, out, norm2, up, down in blocks:
                    h = F.linear(F.layer_norm(x, (width,), *norm1), *qkv)
                    h = h.view(batch, tokens, 3, heads, width // heads)
                    q, k, v = h.permute(2, 0, 3, 1, 4).unbind(0)
                    y = attend(q, k, v, False, fused_is_faster(dtype)).transpose(1, 2).reshape(batch, tokens, width)
                    x = x + F.linear(y, *out)
                    h = F.layer_norm(x, (width,), *norm2)
                    x = x + F.linear(F.gelu(F.linear(h, *up)), *down)
                return F.layer_norm(x, (width,), *last)

        return run

    return setup


def tiny(graph, backward=False):
    def setup():
        a = torch.randn(4, requires_grad=graph)
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
    works[f"RMS norm f32 {at}"] = rows(lambda x, w, b: rms_norm(x, w), shape)
    works[f"softmax f32 {at}"] = rows(lambda x, w, b: x.softmax(-1), shape)
    works[f"GELU f32 {at}"] = rows(lambda x, w, b: F.gelu(x), shape)
    works[f"cross-entropy f32 {at}"] = cross_entropy(shape)
works["AdamW f32 100M"] = adamw(100_000_000)
works["training step f32"] = train_step(6, 384, 6, 1024, 8192, 8, 256)
works["training step bf16"] = train_step(6, 384, 6, 1024, 8192, 8, 256, autocast=True)
works["vision encoder f32"] = encoder(12, 384, 6, 196, 8, 768, F32)
works["vision encoder bf16"] = encoder(12, 384, 6, 196, 8, 768, BF16)
works.update(torch_shakti.works)
works["1000 tiny adds f32"] = tiny(False)
works["1000 tiny adds, graph f32"] = tiny(True)
works["1000 tiny adds, sum, backward f32"] = tiny(True, backward=True)


print(json.dumps({"peer": f"PyTorch {'.'.join(torch.__version__.split('.')[:2])}"}), flush=True)
current, run = "", None
for line in sys.stdin:
    seconds, name = line.strip().split(" ", 1)
    try:
        if name != current:
            run, current = None, ""  # the last work's operands go first
            gc.collect()
            run = works[name]()
            current = name
            run()
        answer = {"ms": sample(run, float(seconds))}
        if hasattr(run, "way"):
            answer["way"] = run.way
    except Exception as error:  # a dtype that this build lacks, or memory
        answer = {"why": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    print(json.dumps(answer), flush=True)
