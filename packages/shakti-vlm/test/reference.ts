// The decoder written out as its papers state it: plain ops on one sequence, no fused kernel, no cache, its own rotary tables.
// What the fast path is held against. It reads a state dict, so it serves a model of this package as well as a file.
import { cat, noGrad, tensor, tidy, type Tensor } from '@shakti/tensor'
import type { StateDict } from '@shakti/nn'
import type { DecoderConfig } from '../src/config.js'

export interface ReferenceOptions {
  /** What it computes in; f32 is within 1e-4 of f64 for the sizes of the tests. Default 'f32'. */
  dtype?: 'f32' | 'f64'
  /** Of each token. Default 0, 1, 2, ... */
  positions?: readonly number[]
  /** Of the decoder's names in the state dict, such as 'language_model.'. Default ''. */
  prefix?: string
}

/** Angles [position][headDim / 2] and the factor of YaRN, from the definition of each scaling. */
function rotary(
  config: DecoderConfig,
  positions: readonly number[],
): { angles: number[][]; gain: number } {
  const d = config.headDim ?? config.width / config.heads
  const s = config.ropeScaling
  const theta = s?.type === 'ntk' ? config.ropeTheta * s.factor ** (d / (d - 2)) : config.ropeTheta
  const speed = (i: number): number => {
    const f = theta ** ((-2 * i) / d)
    if (s === null || s.type === 'ntk') return f
    if (s.type === 'linear') return f / s.factor
    const turns = (s.original * f) / (2 * Math.PI)
    if (s.type === 'by-parts') {
      if (turns > s.highFrequency) return f
      if (turns < s.lowFrequency) return f / s.factor
      const smooth = (turns - s.lowFrequency) / (s.highFrequency - s.lowFrequency)
      return ((1 - smooth) * f) / s.factor + smooth * f
    }
    // YaRN's ramp runs over the number of the pair, between those that turn betaFast and betaSlow times.
    const pair = (beta: number): number =>
      (d * Math.log(s.original / (beta * 2 * Math.PI))) / (2 * Math.log(theta))
    const low = Math.max(0, Math.floor(pair(s.betaFast)))
    const high = Math.min(d - 1, Math.ceil(pair(s.betaSlow)))
    const ramp = Math.min(1, Math.max(0, (i - low) / Math.max(0.001, high - low)))
    return (ramp * f) / s.factor + (1 - ramp) * f
  }
  return {
    angles: positions.map((p) => Array.from({ length: d / 2 }, (_, i) => p * speed(i))),
    gain: s?.type === 'yarn' ? 1 + 0.1 * Math.log(s.factor) : 1,
  }
}

/**
 * Logits of every position of one sequence.
 * @returns [length, vocab] in `dtype`
 */
export function referenceLogits(
  config: DecoderConfig,
  state: StateDict,
  ids: readonly number[],
  options: ReferenceOptions = {},
): Tensor {
  const { dtype = 'f32', positions = ids.map((_, i) => i), prefix = '' } = options
  const { heads, normEps, slidingWindow, globalEvery } = config
  const d = config.headDim ?? config.width / heads
  const n = ids.length
  const weight = (name: string): Tensor => {
    const t = state[prefix + name]
    if (!t) throw new Error(`reference: the state dict has no ${prefix}${name}`)
    return t.to(dtype)
  }
  const norm = (x: Tensor, name: string): Tensor =>
    x.mul(x.square().mean(-1, { keepDim: true }).add(normEps).rsqrt()).mul(weight(`${name}.weight`))
  const product = (x: Tensor, name: string, bias = false): Tensor => {
    const y = x.matmul(weight(`${name}.weight`).t())
    return bias ? y.add(weight(`${name}.bias`)) : y
  }
  const { angles, gain } = rotary(config, positions)
  const table = (f: (angle: number) => number): Tensor =>
    tensor(
      Float64Array.from(angles.flat(), (a) => gain * f(a)),
      { shape: [n, 1, d / 2] },
    ).to(dtype)
  const [cos, sin] = [table(Math.cos), table(Math.sin)]
  const rotate = (x: Tensor): Tensor => {
    const [a, b] = [x.narrow(2, 0, d / 2), x.narrow(2, d / 2, d / 2)]
    return cat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], 2)
  }

  const attention = (x: Tensor, layer: number): Tensor => {
    const at = `model.layers.${layer}.self_attn`
    const kv = typeof config.kvHeads === 'number' ? config.kvHeads : config.kvHeads[layer]!
    const project = (name: string, many: number): Tensor =>
      product(x, `${at}.${name}_proj`, config.attentionBias).reshape([n, many, d])
    const normed = (y: Tensor, name: string): Tensor =>
      config.qkNorm === 'head' ? norm(y, `${at}.${name}_norm`) : y
    const q = rotate(normed(project('q', heads), 'q'))
    const k = rotate(normed(project('k', kv), 'k'))
    const v = project('v', kv)
    const all = globalEvery !== null && (layer + 1) % globalEvery === 0
    const window = slidingWindow === null || all ? n : slidingWindow
    const hidden = tensor(
      Uint8Array.from({ length: n * n }, (_, i) => {
        const back = Math.floor(i / n) - (i % n)
        return back < 0 || back >= window ? 1 : 0
      }),
      { shape: [n, n] },
    ).bool()
    const head = (t: Tensor, h: number): Tensor => t.select(1, h)
    const seen = Array.from({ length: heads }, (_, h) => {
      const g = Math.floor(h / (heads / kv))
      const scores = head(q, h)
        .matmul(head(k, g).t())
        .mul(1 / Math.sqrt(d))
      return scores.maskedFill(hidden, -Infinity).softmax(-1).matmul(head(v, g))
    })
    return product(cat(seen, 1), `${at}.o_proj`)
  }
  const mlp = (x: Tensor, layer: number): Tensor => {
    const at = `model.layers.${layer}.mlp`
    const gate = product(x, `${at}.gate_proj`)
    return product(gate.mul(gate.sigmoid()).mul(product(x, `${at}.up_proj`)), `${at}.down_proj`)
  }

  return tidy(() =>
    noGrad(() => {
      let x = weight('model.embed_tokens.weight').indexSelect(0, tensor(Int32Array.from(ids)))
      for (let i = 0; i < config.layers; i++) {
        x = x.add(attention(norm(x, `model.layers.${i}.input_layernorm`), i))
        x = x.add(mlp(norm(x, `model.layers.${i}.post_attention_layernorm`), i))
      }
      return product(norm(x, 'model.norm'), config.tied ? 'model.embed_tokens' : 'lm_head')
    }),
  )
}
