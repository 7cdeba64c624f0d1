// The whole recipe in one place: sizes, steps, rates. Change it and run again; every run prints and stores it.
import type { ShaktiVlmConfigInput } from '@shakti/vlm'

export interface Recipe {
  readonly seed: number
  readonly vocabulary: number
  readonly vision: ShaktiVlmConfigInput['vision']
  readonly decoder: Omit<ShaktiVlmConfigInput['decoder'], 'vocab'>
  /** Context and rotary base after the extension phase of stage 1. */
  readonly extended: { readonly context: number; readonly ropeTheta: number }
  readonly language: { readonly steps: number; readonly batch: number; readonly lr: number }
  readonly extension: { readonly steps: number; readonly batch: number; readonly lr: number }
  readonly alignment: {
    readonly steps: number
    readonly batch: number
    readonly vision: number
    readonly projector: number
  }
  readonly instruction: {
    readonly steps: number
    readonly batch: number
    readonly textShare: number
    readonly lr: number
    readonly vision: number
  }
  readonly preference: {
    readonly steps: number
    readonly pairs: number
    readonly batch: number
    readonly lr: number
    readonly beta: number
  }
  /** Scenes asked about in each evaluation. */
  readonly evaluation: { readonly scenes: number }
}

export const recipe: Recipe = {
  seed: 1,
  vocabulary: 640,
  vision: {
    layers: 6,
    preNormLayers: 2,
    width: 64,
    heads: 4,
    mlp: 64,
    patchSizes: [4, 6],
    basePatch: 6,
    posGrid: 12,
    maxPatches: 144,
  },
  decoder: {
    layers: 3,
    width: 96,
    heads: 3,
    kvHeads: [3, 3, 1],
    ffn: 192,
    tied: true,
    ropeTheta: 100,
    context: 192,
  },
  extended: { context: 512, ropeTheta: 120 },
  language: { steps: 1100, batch: 16, lr: 3e-3 },
  extension: { steps: 40, batch: 4, lr: 1e-3 },
  alignment: { steps: 1000, batch: 32, vision: 3e-3, projector: 3e-3 },
  instruction: { steps: 500, batch: 24, textShare: 0.15, lr: 2e-3, vision: 2e-3 },
  preference: { steps: 16, pairs: 128, batch: 8, lr: 1e-5, beta: 0.1 },
  evaluation: { scenes: 150 },
}
