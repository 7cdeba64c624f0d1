// What a forward pass under noGrad holds at once beside weights and cache: the tensors of the code (block.ts and attention.ts of
// @shakti/nn, vision/encoder.ts, projector.ts, decoder.ts), in which a layer's own go when the layer is done.
import { blockBytes } from '@shakti/tensor'
import { decoderHeadDim, type DecoderConfig, type ShaktiVlmConfig } from '../config.js'
import { attentionWorkspace, productWorkspace, type Layout } from './workspaces.js'

/** Bytes of tensors that are there together, as the allocator takes blocks for them. */
const held = (...bytes: number[]): number =>
  bytes.reduce((n, b) => n + (b > 0 ? blockBytes(b) : 0), 0)

interface Numbers {
  /** Bytes of an activation. */
  readonly size: number
  readonly layout: Layout
}

interface Rows extends Numbers {
  readonly batch: number
  /** Of each sequence. */
  readonly length: number
}

/** Most at once in one product, given what is there already; its epilogue is an op of its own behind quantised weights. */
function product(
  before: number,
  m: number,
  n: number,
  k: number,
  { size, layout }: Numbers,
  epilogue = false,
): number {
  const out = held(m * n * size)
  const run = before + out + held(productWorkspace(m, n, k, size, layout))
  return typeof layout === 'object' && epilogue ? Math.max(run, before + 2 * out) : run
}

interface AttentionShape {
  readonly width: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly keys: number
  readonly normed: boolean
}

/** @param before what is there when it begins, x included */
function attention(before: number, shape: AttentionShape, rows: Rows, residual: boolean): number {
  const { width, heads, kvHeads, headDim, keys, normed } = shape
  const { batch, length, size } = rows
  const m = batch * length
  const [q, kv] = [m * heads * headDim, m * kvHeads * headDim]
  const statistics = (of: number): number => (normed ? m * of * 4 : 0)
  const peaks = [product(before, m, heads * headDim, width, rows)]
  peaks.push(before + held(q * size, q * size, statistics(heads)))
  let at = before + held(q * size)
  peaks.push(product(at, m, kvHeads * headDim, width, rows))
  peaks.push(at + held(kv * size, kv * size, statistics(kvHeads)))
  at += held(kv * size)
  peaks.push(product(at, m, kvHeads * headDim, width, rows))
  at += held(kv * size, q * size, m * heads * 4)
  const queries = length * (heads / kvHeads)
  peaks.push(at + held(attentionWorkspace(batch * kvHeads, queries, keys, headDim)))
  peaks.push(product(at, m, width, heads * headDim, rows, residual))
  return Math.max(...peaks)
}

/** One half of a block around `f`: the norm before it, or behind it. */
function half(
  before: number,
  m: number,
  width: number,
  branch: boolean,
  size: number,
  f: (before: number, residual: boolean) => number,
): number {
  const x = held(m * width * size)
  const norm = x + held(m * 4)
  return branch ? Math.max(f(before, false), before + x + norm + x) : f(before + norm, true)
}

/** Most at once in the decoder for `length` new tokens of each sequence, when the cache then holds `keys`. */
export function decoderActivations(
  d: DecoderConfig,
  kvHeads: readonly number[],
  keys: number,
  rows: Rows,
): number {
  const { batch, length, size } = rows
  const m = batch * length
  const headDim = decoderHeadDim(d)
  const x = held(m * d.width * size)
  // The embeddings, which the pass holds to its end, the block's input, and cosines and sines.
  const base = (d.layers > 1 ? 2 : 1) * x + held(length * headDim * 2, length * headDim * 2)
  const block = (kv: number): number => {
    const shape = {
      width: d.width,
      heads: d.heads,
      kvHeads: kv,
      headDim,
      keys,
      normed: d.qkNorm !== 'none',
    }
    const first = half(base, m, d.width, false, size, (at, r) => attention(at, shape, rows, r))
    const second = half(base + x, m, d.width, false, size, (at) => {
      const hidden = held(m * d.ffn * size)
      const gate = product(at, m, d.ffn, d.width, rows)
      const upward = product(at + hidden, m, d.ffn, d.width, rows, true)
      return Math.max(gate, upward, product(at + 2 * hidden, m, d.width, d.ffn, rows, true))
    })
    return Math.max(first, second)
  }
  // The last norm, then the logits of the last token of each sequence, in f32 for the sampler.
  const last = base + x + held(m * 4, batch * d.width * size)
  const logits = Math.max(
    product(last, batch, d.vocab, d.width, rows),
    last + held(batch * d.vocab * size, size === 4 ? 0 : batch * d.vocab * 4),
  )
  return Math.max(logits, ...[...new Set(kvHeads)].map(block))
}

export interface ImageSize {
  readonly height: number
  readonly width: number
  readonly patch: number
}

/** Most at once in the encoder and the projector for one image, with its pixels. */
export function visionActivations(
  { vision: v, projector, decoder }: ShaktiVlmConfig,
  { height, width, patch: p }: ImageSize,
  numbers: Numbers,
): number {
  const { size } = numbers
  const [rows, columns] = [height / p, width / p]
  const m = rows * columns
  const [depth, x] = [3 * p * p, held(m * v.width * size)]
  const whole = (n: number): number => (size === 4 ? 0 : n)
  const pixels = held(height * width * 3 * 4)
  // The kernel at this size, and pixels patch by patch, in the dtype of the weights.
  const kernel =
    p === v.basePatch
      ? 0
      : held(
          whole(v.width * 3 * v.basePatch ** 2 * 4),
          v.width * depth * 4,
          whole(v.width * depth * 2),
        )
  const patches = pixels + kernel + held(whole(m * depth * 2), m * depth * size)
  const embedded = patches + x
  const bias =
    held(rows * v.width * 4, columns * v.width * 4, m * v.width * 4) + (size === 4 ? 0 : x)
  const embed = Math.max(
    product(patches, m, v.width, depth, { size, layout: 'plain' }),
    embedded + bias + x,
  )

  const base = pixels + (v.layers > 1 ? 2 : 1) * x
  const input: Rows = { ...numbers, batch: 1, length: m }
  const heads = { width: v.width, heads: v.heads, kvHeads: v.heads, headDim: v.width / v.heads }
  const shape = { ...heads, keys: m, normed: v.qkNorm !== 'none' }
  const block = (branch: boolean): number =>
    Math.max(
      half(base, m, v.width, branch, size, (at, r) => attention(at, shape, input, r)),
      half(base + x, m, v.width, branch, size, (at, r) =>
        Math.max(
          product(at, m, v.mlp, v.width, numbers, true),
          product(at + held(m * v.mlp * size), m, v.width, v.mlp, numbers, r),
        ),
      ),
    )
  const blocks = [
    ...(v.preNormLayers > 0 ? [block(false)] : []),
    ...(v.preNormLayers < v.layers ? [block(v.lateNorm === 'branch')] : []),
  ]

  const tokens = m / projector.merge ** 2
  const merged = v.width * projector.merge ** 2
  // Embedded patches, the last block's output, its norm; then the patches merged and normed.
  const projected = base + x + held(m * 4) + 2 * x + held(tokens * 4, tokens * 4)
  const first = product(projected, tokens, decoder.width, merged, numbers, true)
  const hidden = projected + held(tokens * decoder.width * size)
  const second = product(hidden, tokens, decoder.width, decoder.width, numbers)
  return Math.max(embed, ...blocks, first, second)
}
