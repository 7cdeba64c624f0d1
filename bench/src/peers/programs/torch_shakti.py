"""The 1B's decoder and vision encoder at full size in bf16, as one would write them in PyTorch for speed: q, k and v in one
product, gate and up in one, keys and values in buffers made once. Each work has several ways (`works`); the fastest counts.
"""
import functools

import torch
import torch.nn.functional as F
from torch import nn

from torch_common import BF16, attend, fused_is_faster, rms_norm, sample


def rope(x, cos, sin):
    """x [b, length, heads, d], tables [length, 1, d / 2]."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def angles(positions, dim, theta):
    """[positions, dim / 2], in f32."""
    return positions[:, None].float() * theta ** -(torch.arange(0, dim, 2).float() / dim)


def keep_tables(module, angle):
    """Cosines and sines [positions, 1, dim / 2] as buffers `cos` and `sin`."""
    module.register_buffer("cos", angle.cos().to(BF16)[:, None])
    module.register_buffer("sin", angle.sin().to(BF16)[:, None])


PROMPT, WRITTEN = 512, 128
DECODER = dict(layers=24, width=2048, heads=16, kv_heads=4, ffn=1280, vocab=32_768)
ENCODER = dict(layers=36, pre_layers=12, width=1536, heads=16, hidden=1536, patch=14, side=32)


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return rms_norm(x, self.weight)


class DecoderBlock(nn.Module):
    def __init__(self, width, heads, kv_heads, ffn, positions):
        super().__init__()
        self.heads, self.kv_heads, self.dim = heads, kv_heads, width // heads
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.dim, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, width, bias=False)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, kv_heads, positions, self.dim))

    def forward(self, x, cos, sin, start, fused):
        n, groups = x.shape[1], self.heads // self.kv_heads
        h = self.qkv(self.norm1(x)).view(1, n, -1, self.dim)
        q, k, v = h.split((self.heads, self.kv_heads, self.kv_heads), 2)
        q, k, v = (t.transpose(1, 2) for t in (rope(q, cos, sin), rope(k, cos, sin), v))
        self.keys[:, :, start : start + n] = k
        self.values[:, :, start : start + n] = v
        if n > 1:  # the prompt: nothing lies before it
            k, v = (t.repeat_interleave(groups, 1) for t in (k, v))
            y = attend(q, k, v, True, fused)
        else:  # a group's queries are rows over the same keys
            k, v = self.keys[:, :, : start + 1], self.values[:, :, : start + 1]
            y = attend(q.view(1, self.kv_heads, groups, self.dim), k, v, False, fused)
            y = y.reshape(1, self.heads, 1, self.dim)
        x = x + self.out(y.transpose(1, 2).reshape(x.shape))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, layers, width, heads, kv_heads, ffn, vocab, positions):
        super().__init__()
        self.table = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(
            DecoderBlock(width, heads, kv_heads, ffn, positions) for _ in range(layers)
        )
        self.norm = RMSNorm(width)
        dim = width // heads
        keep_tables(self, angles(torch.arange(positions), dim, 500_000.0))
        self.fused_prompt = fused_is_faster(BF16, heads, PROMPT, PROMPT, dim, True)
        self.fused_token = fused_is_faster(BF16, kv_heads, heads // kv_heads, PROMPT, dim, False)

    def forward(self, ids, start):
        """ids [1, n] behind `start` positions; the likeliest next token [1, 1]."""
        n = ids.shape[1]
        x = self.table(ids)
        cos, sin = self.cos[start : start + n], self.sin[start : start + n]
        for block in self.blocks:
            x = block(x, cos, sin, start, self.fused_prompt if n > 1 else self.fused_token)
        return F.linear(self.norm(x[:, -1:]), self.table.weight).argmax(-1)


class EncoderBlock(nn.Module):
    """'pre': x + F(LayerNorm(x)); else x + RMSNorm(F(x)). Queries and keys are normalised by head."""

    def __init__(self, width, heads, hidden, pre):
        super().__init__()
        self.heads, self.pre = heads, pre
        norm = nn.LayerNorm if pre else RMSNorm
        self.norm1, self.norm2 = norm(width), norm(width)
        self.q_norm, self.k_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def attention(self, x, cos, sin, fused):
        q, k, v = self.qkv(x).view(1, x.shape[1], 3, self.heads, -1).unbind(2)
        q, k = rope(self.q_norm(q), cos, sin), rope(self.k_norm(k), cos, sin)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return self.out(attend(q, k, v, False, fused).transpose(1, 2).reshape(x.shape))

    def mlp(self, x):
        return self.down(F.gelu(self.up(x)))

    def forward(self, x, cos, sin, fused):
        if self.pre:
            x = x + self.attention(self.norm1(x), cos, sin, fused)
            return x + self.mlp(self.norm2(x))
        x = x + self.norm1(self.attention(x, cos, sin, fused))
        return x + self.norm2(self.mlp(x))


class Encoder(nn.Module):
    def __init__(self, layers, pre_layers, width, heads, hidden, patch, side):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.places = nn.Parameter(torch.zeros(1, side * side, width))
        self.blocks = nn.ModuleList(
            EncoderBlock(width, heads, hidden, i < pre_layers) for i in range(layers)
        )
        self.norm = RMSNorm(width)
        dim = width // heads
        rows, columns = (torch.arange(side * side) // side, torch.arange(side * side) % side)
        angle = torch.cat([angles(p, dim // 2, 10_000.0) for p in (rows, columns)], 1)
        keep_tables(self, angle)
        self.fused = fused_is_faster(BF16, heads, side * side, side * side, dim, False)

    def forward(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.fused)
        return self.norm(x)


def in_bf16(make):
    """A module whose weights are made in bf16 at once."""
    torch.set_default_dtype(BF16)
    try:
        return make().eval()
    finally:
        torch.set_default_dtype(torch.float32)


def compiled(module):
    """By inductor, with weights as constants, which oneDNN then has packed once."""
    import torch._inductor.config as config

    config.freezing = True
    torch._dynamo.reset()
    return torch.compile(module)


# Steps: (ids [1, n], start) to the likeliest next token [1, 1].


@functools.lru_cache(1)
def plain_decoder():
    return in_bf16(lambda: Decoder(**DECODER, positions=PROMPT + WRITTEN))


def compiled_decoder():
    return compiled(plain_decoder())


def transformers_decoder():
    """transformers' LlamaForCausalLM, its attention by scaled_dot_product_attention."""
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=DECODER["vocab"],
        hidden_size=DECODER["width"],
        intermediate_size=DECODER["ffn"],
        num_hidden_layers=DECODER["layers"],
        num_attention_heads=DECODER["heads"],
        num_key_value_heads=DECODER["kv_heads"],
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    model = in_bf16(lambda: LlamaForCausalLM(config))
    cache = DynamicCache(config=config)

    def step(ids, start):
        if cache.get_seq_length() > start:
            cache.crop(start)
        y = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return y.logits[:, -1].argmax(-1, keepdim=True)

    return step


def prefill(step):
    ids = torch.randint(0, DECODER["vocab"], (1, PROMPT))
    return lambda: step(ids, 0).item()


def decode(step):
    token = step(torch.randint(0, DECODER["vocab"], (1, PROMPT)), 0)

    def run():
        last = token
        for i in range(WRITTEN):
            last = step(last, PROMPT + i)
            last.item()  # a user reads each

    return run


def encode(model):
    side = ENCODER["patch"] * ENCODER["side"]
    pixels = torch.randn(1, 3, side, side).to(BF16)
    return lambda: model(pixels)


def plain_encoder():
    return in_bf16(lambda: Encoder(**ENCODER))


def fastest(work, ways):
    """
    A setup: the work in all ways that run here, of which the fastest is returned. `run.way` has its name, and what the others
    came to.
    """

    def setup():
        inference = getattr(torch, "inference_mode", torch.no_grad)
        runs, spent, failed = {}, {}, []
        for name, make in ways.items():
            try:
                with inference():
                    runs[name] = run = work(make())
                    spent[name] = min(sample(run, 0))
            except Exception as error:  # no compiler, no transformers
                runs.pop(name, None)
                failed.append(f"no {name}: {type(error).__name__}")
        if not runs:
            raise RuntimeError(", ".join(failed))
        way = min(spent, key=spent.get)
        others = [f"{name} {ms:.0f} ms" for name, ms in spent.items() if name != way] + failed
        best = runs[way]
        runs.clear()  # the others' weights

        def timed():
            with inference():
                best()

        timed.way = f"{way} ({', '.join(others)})" if others else way
        return timed

    return setup


DECODERS = {
    "plain": plain_decoder,
    "compiled": compiled_decoder,
    "transformers": transformers_decoder,
}
works = {
    "decoder prefill 512 bf16": fastest(prefill, DECODERS),
    "decoder decode 128 bf16": fastest(decode, DECODERS),
    "vision encoder 448x448 bf16": fastest(
        encode, {"plain": plain_encoder, "compiled": lambda: compiled(plain_encoder())}
    ),
}
