// Multi-head attention: grouped queries, QK-norm, rotary positions, packed sequences, KV cache.
import {
  noGrad,
  normRope,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  ShapeError,
  ShaktiError,
  type Tensor,
} from '@shakti/tensor'
import { initOnes, type Initializer } from './init.js'
import { frugal } from './frugal.js'
import type { KeysValues, KVCache } from './kvCache.js'
import { Linear } from './layers.js'
import { Module } from './module.js'
import { parameter, type Parameter } from './parameter.js'
import { jointly } from './quantizedLinear.js'
import type { RotaryTable } from './rope.js'

/**
 * RMS normalisation of queries and keys before the rotation (PAPER.md 6.2): with one weight vector of the head's size that
 * all heads share ('head', as Qwen3), over the whole width ('full', as OLMo 2), or not at all.
 */
export type QkNorm = 'head' | 'full' | 'none'

export interface AttentionConfig {
  width: number
  heads: number
  /** Default: heads. */
  kvHeads?: number
  /** Default: width / heads. */
  headDim?: number
  /** Of the q, k, v and output products; 'qkv': of the first three alone (Qwen 2). Default true. */
  bias?: boolean | 'qkv'
  /** Default 'none'. */
  qkNorm?: QkNorm
  /** Default 1e-6. */
  eps?: number
  causal?: boolean
  /** Keys seen by a causal query; default all. */
  window?: number
  outInit?: Initializer
}

export interface AttentionInputs {
  rotary?: RotaryTable
  /** bool (true = may look) or added to the scores; [batch, heads, queries, keys] by broadcasting. */
  mask?: Tensor
  /** Borders of packed sequences, i32 [n + 1]; batch 1. */
  cuSeqlens?: Tensor
  cache?: KVCache
  /** Which of the cache's layers is this one's. */
  layer?: number
}

class HeadNorm extends Module {
  readonly weight: Parameter
  constructor(
    width: number,
    readonly eps: number,
  ) {
    super()
    this.weight = parameter([width], initOnes)
  }
  /** Normalises, and rotates what is normalised when there is a table for it. */
  forward(x: Tensor, rotary?: RotaryTable): Tensor {
    const weight = this.weight.ready(x.device)
    return rotary
      ? normRope(x, weight, rotary.cos, rotary.sin, this.eps)
      : rmsNorm(x, weight, this.eps)
  }
}

export class Attention extends Module {
  static override names = { outProj: 'o_proj' }
  readonly qProj: Linear
  readonly kProj: Linear
  readonly vProj: Linear
  readonly outProj: Linear
  readonly qNorm: HeadNorm | undefined
  readonly kNorm: HeadNorm | undefined
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number

  constructor(readonly config: AttentionConfig) {
    super()
    const {
      width,
      heads,
      kvHeads = heads,
      headDim = width / heads,
      bias = true,
      qkNorm = 'none',
      eps = 1e-6,
      outInit,
    } = config
    if (!Number.isInteger(headDim) || heads % kvHeads !== 0) {
      throw new ShaktiError(
        'Attention',
        `width ${width}, heads ${heads} and kvHeads ${kvHeads} do not divide evenly.`,
      )
    }
    this.heads = heads
    this.kvHeads = kvHeads
    this.headDim = headDim
    const into = (n: number): Linear => new Linear(width, n * headDim, { bias: bias !== false })
    this.qProj = into(heads)
    this.kProj = into(kvHeads)
    this.vProj = into(kvHeads)
    this.outProj = new Linear(heads * headDim, width, {
      bias: bias === true,
      ...(outInit ? { init: outInit } : {}),
    })
    const norm = (n: number): HeadNorm | undefined =>
      qkNorm === 'none' ? undefined : new HeadNorm(qkNorm === 'head' ? headDim : n * headDim, eps)
    this.qNorm = norm(heads)
    this.kNorm = norm(kvHeads)
  }

  /**
   * Starts the keys of the first `n` key/value heads at the weights of a query head of theirs: such a head looks for
   * positions that hold what the asking one holds, before anything is learned (mimetic initialisation, arXiv 2305.09828, in
   * its plainest form). Under rotary positions this carries as far as the slow pairs hardly turn. For a module just made.
   * @param n default: all
   * @throws ShaktiError when there are not so many
   */
  startKeysAtQueries(n = this.kvHeads): void {
    if (!Number.isInteger(n) || n < 0 || n > this.kvHeads)
      throw new ShaktiError(
        'Attention',
        `startKeysAtQueries(${n}): there are ${this.kvHeads} key/value heads.`,
      )
    const queriesPerKey = this.heads / this.kvHeads
    const rows = (of: Tensor, head: number): Tensor =>
      of.narrow(0, head * this.headDim, this.headDim)
    const pairs: [Tensor, Tensor][] = [[this.qProj.weight, this.kProj.weight]]
    if (this.qProj.bias && this.kProj.bias) pairs.push([this.qProj.bias, this.kProj.bias])
    noGrad(() => {
      for (const [q, k] of pairs)
        for (let head = 0; head < n; head++) rows(k, head).copy_(rows(q, head * queriesPerKey))
    })
  }

  /** Queries or keys [batch, length, n * headDim] as heads, normalised and turned. */
  #heads(project: () => Tensor, n: number, norm?: HeadNorm, rotary?: RotaryTable): Tensor {
    return frugal(() => {
      let y = project()
      const [b, l] = y.shape as [number, number]
      if (norm && this.config.qkNorm === 'full') y = norm.forward(y)
      y = y.reshape([b, l, n, this.headDim])
      if (norm && this.config.qkNorm === 'head') return norm.forward(y, rotary)
      return rotary ? rope(y, rotary.cos, rotary.sin) : y
    })
  }

  /**
   * [batch, length, width] to the same.
   * @param residual added to the result
   */
  forward(x: Tensor, inputs: AttentionInputs = {}, residual?: Tensor): Tensor {
    const { rotary, mask, cuSeqlens, cache, layer = 0 } = inputs
    const { causal = false, window } = this.config
    if (x.ndim !== 3 || x.shape[2] !== this.config.width) {
      throw new ShapeError(
        'Attention',
        `x must be [batch, length, width ${this.config.width}], got ${x.describe()}.`,
        [x.shape],
      )
    }
    if (
      rotary &&
      (rotary.cos.shape[1] !== x.shape[1] || rotary.cos.shape[2] !== this.headDim / 2)
    ) {
      throw new ShapeError(
        'Attention',
        `rotary must be [1 or batch, length ${x.shape[1]}, head dim / 2 = ${this.headDim / 2}], got ${rotary.cos.describe()}.`,
        [x.shape, rotary.cos.shape],
      )
    }
    const [b, l] = x.shape as [number, number]
    return frugal(() => {
      const projections = [this.qProj, this.kProj, this.vProj]
      const joint = jointly(x, projections)
      const project = (i: number) => (): Tensor => joint?.[i] ?? projections[i]!.forward(x)
      const q = this.#heads(project(0), this.heads, this.qNorm, rotary)
      let k = this.#heads(project(1), this.kvHeads, this.kNorm, rotary)
      let v = this.#heads(project(2), this.kvHeads)
      const bound = causal ? window : undefined
      let borders: KeysValues['borders']
      let scales: KeysValues['scales']
      if (cache) ({ k, v, borders, scales } = cache.append(layer, k, v, bound))
      // A cache may have let go of keys that the window does not reach: the last ones are here.
      const keys = k.shape[1]!
      const past = cache && mask && mask.shape.at(-1)! > keys ? mask.shape.at(-1)! - keys : 0
      const visible = past > 0 ? mask!.narrow(-1, past, keys) : mask
      const y = scaledDotProductAttention(q, k, v, {
        layout: 'blhd',
        isCausal: causal,
        ...(visible ? { mask: visible } : {}),
        ...(bound ? { window: bound } : {}),
        ...(cuSeqlens ? { cuSeqlensQ: cuSeqlens } : {}),
        ...(scales ? { keyScale: scales.k, valueScale: scales.v } : {}),
        ...(borders ? { cuSeqlensQ: borders.q, cuSeqlensK: borders.k } : {}),
      })
      return this.outProj.forward(y.reshape([b, l, this.heads * this.headDim]), { residual })
    })
  }
}
