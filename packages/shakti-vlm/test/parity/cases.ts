// Decoders that are held against llama.cpp, and how far the logits may differ.
import type { Decoder, DecoderConfigInput, GgufType } from '../../src/index.js'
import { randomDecoder } from '../randomDecoder.js'

const base = { width: 512, ffn: 512, layers: 4, vocab: 500, tied: false } as const

export const decoders: Readonly<Record<string, Partial<DecoderConfigInput>>> = {
  'llama, head dim 128, 16 heads over 4': {
    ...base,
    width: 1024,
    headDim: 128,
    heads: 16,
    kvHeads: 4,
  },
  'llama, head dim 80, yarn': {
    ...base,
    width: 640,
    heads: 8,
    kvHeads: 2,
    ropeTheta: 10_000,
    ropeScaling: { type: 'yarn', factor: 4, original: 64 },
  },
  'llama, llama3 scaling, head dim 96': {
    ...base,
    width: 384,
    heads: 4,
    kvHeads: 2,
    ropeScaling: { type: 'by-parts', factor: 8, original: 128 },
  },
  'llama, linear scaling': {
    ...base,
    heads: 4,
    kvHeads: 2,
    ropeScaling: { type: 'linear', factor: 4 },
  },
  'llama, ntk scaling': { ...base, heads: 4, kvHeads: 2, ropeScaling: { type: 'ntk', factor: 4 } },
  'llama, tied': { ...base, heads: 4, kvHeads: 2, tied: true },
  'granite_swa, window in every layer': { ...base, heads: 8, kvHeads: 2, slidingWindow: 7 },
  'granite_swa, window, every third layer sees all, llama3 scaling': {
    ...base,
    layers: 6,
    heads: 4,
    kvHeads: 2,
    slidingWindow: 5,
    globalEvery: 3,
    ropeScaling: { type: 'by-parts', factor: 8, original: 128 },
  },
  'deci, heads by layer': { ...base, heads: 8, kvHeads: [8, 4, 2, 1] },
  'qwen2, biases': { ...base, heads: 4, kvHeads: 2, attentionBias: true, ropeTheta: 1_000_000 },
  'qwen3, head norms': {
    ...base,
    heads: 8,
    kvHeads: 2,
    headDim: 128,
    qkNorm: 'head',
    normEps: 1e-6,
  },
}

/**
 * Root mean square of the difference over that of the logits. Seen on a Xeon with AMX (2026-11): f32 4e-7 (1.5e-6 without likely
 * successors), f16 3e-4, bf16 6e-3, q8_0 and q4_0 7e-3: llama.cpp rounds activations to the kind of the weights.
 */
export const bounds: Readonly<Record<GgufType, number>> = {
  f32: 5e-6,
  f16: 1.5e-3,
  bf16: 2e-2,
  q8_0: 2e-2,
  q4_0: 2e-2,
}

/** In f32 greedy steps hang on every part of the decoder; where rounding differs, tokens have likely successors. */
export const decoderFor = (config: Partial<DecoderConfigInput>, type: GgufType): Decoder =>
  randomDecoder(config, { successors: type === 'f32' ? 1 : 2 })
