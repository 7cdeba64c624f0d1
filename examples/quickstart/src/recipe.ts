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
  readonly alignment: { readonly steps: number; readonly batch: number; readonly vision: number; readonly projector: number }
  readonly instruction: { readonly steps: number; readonly batch: number; readonly textShare: number; readonly lr: number; readonly vision: number }
  readonly preference: { readonly steps: number; readonly pairs: number; readonly batch: number; readonly lr: number; readonly beta: number }
  /** Scenes asked about in each evaluation. */
  readonly evaluation: { readonly scenes: number }
}

export const recipe: Recipe = {
  seed: 1,
  vocabulary: 1024,
  vision: {
    layers: 6, preNormLayers: 2, width: 64, heads: 4, mlp: 128,
    patchSizes: [4, 6, 8], basePatch: 6, posGrid: 12, maxPatches: 144,
  },
  decoder: {
    layers: 4, width: 96, heads: 4, kvHeads: [4, 2, 2, 1], ffn: 192, tied: true,
    ropeTheta: 10_000, context: 128,
  },
  extended: { context: 512, ropeTheta: 50_000 },
  language: { steps: 600, batch: 32, lr: 3e-3 },
  extension: { steps: 40, batch: 8, lr: 6e-4 },
  alignment: { steps: 1000, batch: 32, vision: 2e-3, projector: 2e-3 },
  instruction: { steps: 400, batch: 32, textShare: 0.15, lr: 1e-3, vision: 5e-4 },
  preference: { steps: 20, pairs: 160, batch: 8, lr: 2e-5, beta: 0.1 },
  evaluation: { scenes: 150 },
}
