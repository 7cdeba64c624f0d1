// The whole recipe in one place: sizes, steps, rates. Change it and run again; every run prints and stores it.
import type { ShaktiVlmConfigInput } from '@shakti/vlm'

export interface Recipe {
  readonly seed: number
  readonly vocabulary: number
  readonly vision: ShaktiVlmConfigInput['vision']
  readonly decoder: Omit<ShaktiVlmConfigInput['decoder'], 'vocab'>
  /** So many heads of each decoder layer start with keys like their queries: they look things up by content. */
  readonly contentHeads: number
  /** Context and rotary base after the extension phase of stage 1. */
  readonly extended: { readonly context: number; readonly ropeTheta: number }
  /** The first `lessons` steps ask what stands where and whether something is there, and nothing else. */
  readonly language: {
    readonly steps: number
    readonly lessons: number
    readonly batch: number
    readonly lr: number
  }
  readonly extension: { readonly steps: number; readonly batch: number; readonly lr: number }
  /** First half of stage 2: the visual tokens of a quarter against the words for it. */
  readonly naming: {
    readonly steps: number
    readonly batch: number
    readonly lr: number
    /** Weight of the squared distance to the words' embeddings beside the cross-entropy. */
    readonly pull: number
  }
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
    layers: 4,
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
    layers: 4,
    width: 128,
    heads: 4,
    kvHeads: [4, 4, 2, 2],
    ffn: 128,
    tied: true,
    ropeTheta: 10_000,
    context: 192,
  },
  contentHeads: 2,
  extended: { context: 512, ropeTheta: 20_000 },
  language: { steps: 1200, lessons: 400, batch: 16, lr: 3e-3 },
  extension: { steps: 40, batch: 4, lr: 1e-4 },
  naming: { steps: 1200, batch: 32, lr: 3e-3, pull: 0.05 },
  alignment: { steps: 200, batch: 32, vision: 2e-3, projector: 2e-3 },
  instruction: { steps: 700, batch: 24, textShare: 0.16, lr: 1e-3, vision: 3e-4 },
  preference: { steps: 16, pairs: 128, batch: 8, lr: 2e-4, beta: 0.1 },
  evaluation: { scenes: 150 },
}
