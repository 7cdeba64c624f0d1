// The whole recipe in one place: sizes, steps, rates. Every run stores it.
import type { ShaktiVlmConfigInput } from '@shakti/vlm'
import { patch } from './cards.js'

export interface Recipe {
  readonly seed: number
  readonly vocabulary: number
  readonly vision: ShaktiVlmConfigInput['vision']
  readonly decoder: Omit<ShaktiVlmConfigInput['decoder'], 'vocab'>
  /** The first `lessons` steps look things up and nothing else; the others ask every type of question. */
  readonly language: {
    readonly steps: number
    readonly lessons: number
    readonly batch: number
    readonly lr: number
  }
  /** First half of stage 2: the visual tokens of a half against the words for it. */
  readonly naming: {
    readonly steps: number
    readonly batch: number
    readonly lr: number
    /** Weight of the squared distance to the words' embeddings beside the cross-entropy. */
    readonly pull: number
  }
  readonly alignment: { readonly steps: number; readonly batch: number; readonly lr: number }
  readonly instruction: {
    readonly steps: number
    readonly batch: number
    readonly textShare: number
    readonly lr: number
    readonly vision: number
  }
  readonly evaluation: { readonly cards: number }
}

export const recipe: Recipe = {
  seed: 1,
  vocabulary: 384,
  vision: {
    layers: 4,
    preNormLayers: 2,
    width: 64,
    heads: 4,
    mlp: 128,
    patchSizes: [patch],
    basePatch: patch,
    posGrid: 8,
    maxPatches: 32,
  },
  decoder: {
    layers: 3,
    width: 128,
    heads: 4,
    kvHeads: [4, 4, 2],
    ffn: 256,
    tied: true,
    ropeTheta: 100,
    context: 256,
  },
  language: { steps: 700, lessons: 200, batch: 24, lr: 1e-3 },
  naming: { steps: 1000, batch: 48, lr: 3e-3, pull: 0.05 },
  alignment: { steps: 100, batch: 32, lr: 1e-3 },
  instruction: { steps: 300, batch: 24, textShare: 0.12, lr: 5e-4, vision: 5e-4 },
  evaluation: { cards: 300 },
}
