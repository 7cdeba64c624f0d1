// What a model is, as one plain object: the whole model is a function of it. Values follow PAPER.md (sections 1, 6 and 8);
// what can be worked out from others is derived here and stored nowhere.
import { z } from 'zod'
import { ShaktiError } from '@shakti/tensor'

// A config may come from a file: the bounds keep a hostile one from building a model that no machine holds.
const count = (most: number) => z.number().int().positive().max(most)
const layers = count(1024)
const width = count(65_536)

/** Unknown names, with the nearest known one; zod says only that they are unknown. */
function unknownField(known: readonly string[], keys: readonly string[]): string {
  const near = (key: string): string | undefined => {
    const ranked = known
      .map((k) => [editDistance(key.toLowerCase(), k.toLowerCase()), k] as const)
      .sort((a, b) => a[0] - b[0])
    return ranked[0] && ranked[0][0] <= Math.max(2, key.length / 3) ? ranked[0][1] : undefined
  }
  return keys
    .slice(0, 8)
    .map((key) => {
      const other = near(key.slice(0, 64))
      return `unknown field '${key.slice(0, 64)}'${other ? ` (did you mean '${other}'?)` : ''}`
    })
    .join(', ')
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        next[j - 1]! + 1,
        row[j]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      )
    }
    row = next
  }
  return row[b.length]!
}

export const visionSchema = z
  .object({
    layers,
    /** The first so many layers are Pre-LayerNorm, the others have RMSNorm as `lateNorm` says. */
    preNormLayers: z.number().int().min(0),
    /** 'branch': x + RMS(F(x)), 'classic': RMS(x + F(x)), 'pre': x + F(RMS(x)). */
    lateNorm: z.enum(['branch', 'classic', 'pre']).default('branch'),
    width,
    heads: count(1024),
    /** Width of the hidden layer of the MLP. */
    mlp: count(262_144),
    qkNorm: z.enum(['head', 'full', 'none']).default('head'),
    /** Pixels of a patch's side; the image processor chooses among them by the image's size. */
    patchSizes: z.array(count(64)).min(1).max(64),
    /** Side of the learned kernel; other sizes are made of it (FlexiViT). */
    basePatch: count(64),
    /** Entries of each table of the position bias. */
    posGrid: count(4096),
    ropeTheta: z.number().positive().default(10_000),
    /** Patches of an image, at most. */
    maxPatches: count(1 << 20),
    normEps: z.number().positive().default(1e-6),
  })
  .strict()

export const projectorSchema = z
  .object({
    /** merge x merge neighbouring patches become one visual token. */
    merge: z.number().int().min(1).max(4).default(2),
  })
  .strict()

/** Stretching the rotary positions beyond the context trained on, as RotaryEmbedding of @shakti/nn explains. */
export const ropeScalingSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('linear'), factor: z.number().min(1) }).strict(),
  z.object({ type: z.literal('ntk'), factor: z.number().min(1) }).strict(),
  z
    .object({
      type: z.literal('yarn'),
      factor: z.number().min(1),
      original: count(16_777_216),
      betaFast: z.number().positive().default(32),
      betaSlow: z.number().positive().default(1),
    })
    .strict(),
  z
    .object({
      type: z.literal('by-parts'),
      factor: z.number().min(1),
      original: count(16_777_216),
      lowFrequency: z.number().positive().default(1),
      highFrequency: z.number().positive().default(4),
    })
    .strict(),
])

export const decoderSchema = z
  .object({
    layers,
    width,
    heads: count(1024),
    /** Key/value heads: one number, or one for each layer (variable grouped-query attention). */
    kvHeads: z.union([count(1024), z.array(count(1024)).max(1024)]),
    /** Width of a head; null: width / heads. */
    headDim: count(4096).nullable().default(null),
    /** 'head': RMSNorm of each head of the queries and keys, before the rotation (Qwen 3). */
    qkNorm: z.enum(['none', 'head']).default('none'),
    /** Biases of the query, key and value products (Qwen 2); the output product has none. */
    attentionBias: z.boolean().default(false),
    /** Width of the SwiGLU's hidden layer. */
    ffn: count(262_144),
    vocab: count(4_194_304),
    /** The output matrix is the embedding. */
    tied: z.boolean(),
    ropeTheta: z.number().positive().default(500_000),
    /** Context extension without training; null: none. */
    ropeScaling: ropeScalingSchema.nullable().default(null),
    /** Longest sequence. */
    context: count(16_777_216),
    normEps: z.number().positive().default(1e-5),
    /** Keys that a query sees; null: all. */
    slidingWindow: count(16_777_216).nullable().default(null),
    /** With slidingWindow: every so many layers one sees all keys; null: none does. */
    globalEvery: count(1024).nullable().default(null),
  })
  .strict()

export const configSchema = z
  .object({
    modelType: z.literal('shakti_vlm').default('shakti_vlm'),
    version: z.literal(1).default(1),
    vision: visionSchema,
    projector: projectorSchema,
    decoder: decoderSchema,
    /** Special tokens that the model itself needs to know. */
    imageToken: z.number().int().min(0).optional(),
  })
  .strict()

export type VisionConfig = z.output<typeof visionSchema>
export type RopeScalingConfig = z.output<typeof ropeScalingSchema>
export type DecoderConfig = z.output<typeof decoderSchema>
export type DecoderConfigInput = z.input<typeof decoderSchema>
export type ShaktiVlmConfig = z.output<typeof configSchema>
export type ShaktiVlmConfigInput = z.input<typeof configSchema>

function refuse(field: string, message: string): never {
  throw new ShaktiError('config', `${field}: ${message}`)
}

const knownFields: Readonly<Record<string, readonly string[]>> = {
  config: Object.keys(configSchema.shape),
  vision: Object.keys(visionSchema.shape),
  projector: Object.keys(projectorSchema.shape),
  decoder: Object.keys(decoderSchema.shape),
}

function parse<S extends z.ZodType>(schema: S, input: unknown, whole: string): z.output<S> {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const first = parsed.error.issues[0]!
  const field = first.path.join('.') || whole
  if (first.code === 'unrecognized_keys')
    refuse(field, `${unknownField(knownFields[field] ?? [], first.keys)}.`)
  refuse(field, `${first.message}.`)
}

/** Combinations of a decoder that its schema cannot see. @param at where the config stands in what the user wrote */
function checkDecoder(decoder: DecoderConfig, at = 'decoder.'): void {
  const { width, heads, kvHeads } = decoder
  const headDim = decoderHeadDim(decoder)
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    refuse(
      `${at}${decoder.headDim === null ? 'heads' : 'headDim'}`,
      decoder.headDim === null
        ? `width ${width} over ${heads} heads gives a head dim of ${headDim}; it must be even.`
        : `is ${headDim}; it must be even.`,
    )
  }
  if (typeof kvHeads !== 'number' && kvHeads.length !== decoder.layers) {
    refuse(`${at}kvHeads`, `lists ${kvHeads.length} numbers for ${decoder.layers} layers.`)
  }
  for (const n of decoderKvHeads(decoder)) {
    if (heads % n !== 0) refuse(`${at}kvHeads`, `${n} does not divide the ${heads} heads.`)
  }
  const { ropeScaling: scaling } = decoder
  if (scaling?.type === 'by-parts' && scaling.lowFrequency >= scaling.highFrequency) {
    refuse(
      `${at}ropeScaling.lowFrequency`,
      `is ${scaling.lowFrequency}; it must be below highFrequency, ${scaling.highFrequency}.`,
    )
  }
  if (decoder.globalEvery !== null && decoder.slidingWindow === null) {
    refuse(
      `${at}globalEvery`,
      `is ${decoder.globalEvery} without a slidingWindow: every layer sees all keys already.`,
    )
  }
}

/** As `checkDecoder`, of an encoder. */
function checkVision(vision: VisionConfig, at = 'vision.'): void {
  const { preNormLayers, layers, width, heads, patchSizes } = vision
  if (preNormLayers > layers)
    refuse(`${at}preNormLayers`, `is ${preNormLayers}, more than the ${layers} layers.`)
  if (width % heads !== 0 || (width / heads) % 4 !== 0) {
    refuse(
      `${at}heads`,
      `width ${width} over ${heads} heads gives a head dim of ${width / heads}; it must be a multiple of 4 (2-D RoPE).`,
    )
  }
  if (patchSizes.some((p, i) => i > 0 && p <= patchSizes[i - 1]!))
    refuse(`${at}patchSizes`, `must ascend, got [${patchSizes.join(', ')}].`)
}

/** Checks a config and fills in defaults. Unknown fields and impossible combinations are refused by name. */
export function parseConfig(input: unknown): ShaktiVlmConfig {
  const config = parse(configSchema, input, 'config')
  const { vision, decoder } = config
  checkVision(vision)
  checkDecoder(decoder)
  if (config.imageToken !== undefined && config.imageToken >= decoder.vocab) {
    refuse('imageToken', `${config.imageToken} lies outside the vocabulary of ${decoder.vocab}.`)
  }
  return config
}

/** As `parseConfig`, of an encoder that stands alone. */
export function parseVisionConfig(input: unknown): VisionConfig {
  const config = parse(visionSchema, input, 'vision')
  checkVision(config, '')
  return config
}

/** As `parseConfig`, of a decoder that stands alone. */
export function parseDecoderConfig(input: unknown): DecoderConfig {
  const config = parse(decoderSchema, input, 'decoder')
  checkDecoder(config, '')
  return config
}

/** Width of a decoder's head. */
export function decoderHeadDim({ headDim, width, heads }: DecoderConfig): number {
  return headDim ?? width / heads
}

/** Key/value heads of each layer of a decoder. */
export function decoderKvHeads({ kvHeads, layers }: DecoderConfig): readonly number[] {
  return typeof kvHeads === 'number' ? new Array<number>(layers).fill(kvHeads) : kvHeads
}

/** What follows from a config. */
export interface Derived {
  readonly visionHeadDim: number
  readonly decoderHeadDim: number
  /** For each decoder layer. */
  readonly kvHeads: readonly number[]
  /** Width of what enters the projector: merge * merge patches side by side. */
  readonly projectorIn: number
}

export function derive({ vision, projector, decoder }: ShaktiVlmConfig): Derived {
  return {
    visionHeadDim: vision.width / vision.heads,
    decoderHeadDim: decoderHeadDim(decoder),
    kvHeads: decoderKvHeads(decoder),
    projectorIn: vision.width * projector.merge ** 2,
  }
}

export interface ParameterCount {
  readonly encoder: number
  readonly projector: number
  readonly decoder: number
  readonly total: number
}

/** Parameters of a decoder, in closed form. */
export function countDecoder(d: DecoderConfig): number {
  const headDim = decoderHeadDim(d)
  const queries = d.heads * headDim
  const layers = decoderKvHeads(d).reduce((n, kv) => {
    const keys = kv * headDim
    const products = 2 * d.width * (queries + keys) + 3 * d.width * d.ffn
    const biases = d.attentionBias ? queries + 2 * keys : 0
    const norms = 2 * d.width + (d.qkNorm === 'head' ? 2 * headDim : 0)
    return n + products + biases + norms
  }, 0)
  return d.vocab * d.width * (d.tied ? 1 : 2) + layers + d.width
}

/** Exact numbers of parameters, in closed form (PAPER.md section 7); a model built on `meta` sums to the same. */
export function countParameters(config: ShaktiVlmConfig): ParameterCount {
  const { vision: v, decoder: d } = config
  const { visionHeadDim, projectorIn } = derive(config)
  const w = v.width
  const attention = 4 * (w * w + w)
  const mlp = 2 * w * v.mlp + v.mlp + w
  const qkNorm = v.qkNorm === 'head' ? 2 * visionHeadDim : v.qkNorm === 'full' ? 2 * w : 0
  const late = v.layers - v.preNormLayers
  const encoder =
    3 * v.basePatch ** 2 * w +
    w +
    2 * v.posGrid * w +
    v.layers * (attention + mlp + qkNorm) +
    v.preNormLayers * 2 * 2 * w +
    late * 2 * w +
    w
  const projector = 2 * projectorIn + projectorIn * d.width + d.width + d.width * d.width + d.width
  const decoder = countDecoder(d)
  return { encoder, projector, decoder, total: encoder + projector + decoder }
}

const preset = (input: ShaktiVlmConfigInput): ShaktiVlmConfig => parseConfig(input)

/** Shakti-VLM-1B: 1,039,417,088 parameters. */
export const shaktiVlm1B = preset({
  vision: {
    layers: 36,
    preNormLayers: 12,
    width: 1536,
    heads: 16,
    mlp: 1536,
    patchSizes: [14, 16, 20, 24, 28, 32],
    basePatch: 32,
    posGrid: 64,
    maxPatches: 4096,
  },
  projector: { merge: 2 },
  decoder: {
    layers: 24,
    width: 2048,
    heads: 16,
    kvHeads: 4,
    ffn: 1280,
    vocab: 32_768,
    tied: true,
    context: 16_384,
  },
})

/** Shakti-VLM-4B: 3,998,093,056 parameters. */
export const shaktiVlm4B = preset({
  vision: {
    layers: 48,
    preNormLayers: 18,
    width: 1920,
    heads: 24,
    mlp: 3840,
    patchSizes: [14, 16, 20, 24, 28, 32],
    basePatch: 32,
    posGrid: 64,
    maxPatches: 4096,
  },
  projector: { merge: 2 },
  decoder: {
    layers: 16,
    width: 4096,
    heads: 32,
    kvHeads: 8,
    ffn: 4096,
    vocab: 128_256,
    tied: false,
    context: 32_768,
  },
})

/** The 1B's proportions for two CPU cores: 1.0 M parameters. */
export const tiny1B = preset({
  vision: {
    layers: 6,
    preNormLayers: 2,
    width: 96,
    heads: 3,
    mlp: 96,
    patchSizes: [4, 6, 8],
    basePatch: 8,
    posGrid: 12,
    maxPatches: 144,
  },
  projector: { merge: 2 },
  decoder: {
    layers: 6,
    width: 128,
    heads: 4,
    kvHeads: [4, 2, 2, 2, 1, 1],
    ffn: 80,
    vocab: 1024,
    tied: true,
    context: 512,
  },
})

/** The 4B's proportions: 3.8 M parameters. */
export const tiny4B = preset({
  vision: {
    layers: 8,
    preNormLayers: 3,
    width: 128,
    heads: 4,
    mlp: 256,
    patchSizes: [4, 6, 8],
    basePatch: 8,
    posGrid: 12,
    maxPatches: 144,
  },
  projector: { merge: 2 },
  decoder: {
    layers: 4,
    width: 256,
    heads: 8,
    kvHeads: 2,
    ffn: 256,
    vocab: 2048,
    tied: false,
    context: 1024,
  },
})

/** For unit tests: 79,408 parameters. */
export const nano = preset({
  vision: {
    layers: 3,
    preNormLayers: 1,
    width: 32,
    heads: 2,
    mlp: 32,
    patchSizes: [4, 8],
    basePatch: 8,
    posGrid: 4,
    maxPatches: 16,
  },
  projector: { merge: 2 },
  decoder: {
    layers: 2,
    width: 48,
    heads: 3,
    kvHeads: [3, 1],
    ffn: 48,
    vocab: 320,
    tied: true,
    context: 128,
  },
})
