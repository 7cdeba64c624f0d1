// What is compared with the peers: the same works as in their programs, under the same names. Targets are those of
// issues 3 and 6: the best peer's time over ours, and where they name one, our share of the machine's limit.
import {
  adamw_,
  crossEntropy,
  layerNorm,
  ones,
  packedLinear,
  packWeight,
  quantizedLinear,
  quantizeWeight,
  randint,
  randn,
  rmsNorm,
  scaledDotProductAttention,
  zeros,
  zerosLike,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'
import { makeStep, stepFlops } from '../train/step.js'
import { encoderFlops, makeEncoder } from './encoder.js'
import {
  decodeBytes,
  makeDecoder,
  makeVisionEncoder,
  prefillFlops,
  visionEncoderFlops,
} from './shakti.js'

interface Facts extends Omit<Bench, 'setup'> {
  readonly dtype: string
  /** Of a language model's text, in one run. */
  readonly tokens?: number
  /** A peer's time over ours, at least; undefined where none was set. */
  readonly target?: number
  /**
   * What the machine can do that bounds this work: multiply-adds with such factors, or `bytes` through memory: read, copied
   * (half of them read), or updated in place as an optimiser does.
   */
  readonly limit?: 'f32' | 'bf16' | 'int8' | 'read' | 'copy' | 'update'
  /** Of that limit, at least. */
  readonly targetShare?: number
}

/** What is timed is made once: a function, or one that takes its time and tells which milliseconds count. */
export type Work = Facts &
  (Pick<Bench, 'setup'> | { readonly setupTimed: () => () => Promise<number> })

const product = (dtype: 'f32' | 'bf16', m: number, k: number, n: number, packed = false): Work => ({
  name: `product ${dtype} ${m}x${k}x${n}${packed ? ' packed' : ''}`,
  dtype,
  target: dtype === 'bf16' ? 1.1 : 1,
  limit: dtype,
  ...(dtype === 'f32' ? { targetShare: 0.8 } : {}),
  flops: 2 * m * k * n,
  setup: () => {
    const [a, b] = [randn([m, k]).to(dtype), randn([k, n]).to(dtype)]
    if (!packed) return () => a.matmul(b)
    // The right factor may lie as one likes, outside of the timed part.
    const w = packWeight(b.mT())
    return () => packedLinear(a, w)
  },
})

interface LayerKind {
  /** Of one weight. */
  readonly bytes: number
  readonly rows: DType
  /** From f32 weights [out, in]. */
  readonly make: (weights: Tensor) => (x: Tensor) => Tensor
}

const packedLayer =
  (dtype: DType) =>
  (weights: Tensor): ((x: Tensor) => Tensor) => {
    const w = packWeight(weights.to(dtype))
    return (x) => packedLinear(x, w)
  }

/** Layers for few rows, as when decoding, by the dtype of their weights, which are packed once. */
const layers = {
  f32: { bytes: 4, rows: 'f32', make: packedLayer('f32') },
  bf16: { bytes: 2, rows: 'bf16', make: packedLayer('bf16') },
  // x is f32 and rounded to 8 bits on the way: PyTorch's dynamic quantisation. A scale of 16 bits for 64 weights.
  int8: {
    bytes: 1 + 2 / 64,
    rows: 'f32',
    make: (weights) => {
      const w = quantizeWeight(weights)
      return (x) => quantizedLinear(x, w)
    },
  },
} satisfies Record<string, LayerKind>

const linear = (dtype: keyof typeof layers, m: number): Work => ({
  name: `linear ${dtype} ${m}x4096x4096`,
  dtype,
  target: 1.2,
  limit: 'read',
  targetShare: 0.9,
  bytes: 4096 * 4096 * layers[dtype].bytes,
  setup: () => {
    const x = randn([m, 4096]).to(layers[dtype].rows)
    const layer = layers[dtype].make(randn([4096, 4096]))
    return () => layer(x)
  },
})

const attention = (dtype: 'f32' | 'bf16', length: number, backward: boolean): Work => ({
  name: `attention ${dtype} T${length}${backward ? ' with backward' : ''}`,
  dtype,
  target: 1.5,
  limit: dtype,
  // Two products forward, five backward with one recomputed; half of each is masked.
  flops: 2 * 8 * length * length * 64 * (backward ? 3.5 : 1),
  setup: () => {
    const [q, k, v] = [0, 1, 2].map(() =>
      randn([1, 8, length, 64]).to(dtype).requiresGrad_(backward),
    ) as [Tensor, Tensor, Tensor]
    return () => {
      const y = scaledDotProductAttention(q, k, v, { isCausal: true })
      if (!backward) return
      y.sum().backward()
      q.grad = k.grad = v.grad = undefined
    }
  },
})

function rowWorks(rows: number, width: number): Work[] {
  const at = `f32 ${rows}x${width}`
  const bytes = 8 * rows * width
  const x = (): Tensor => randn([rows, width])
  const common = { dtype: 'f32', target: 1, limit: 'copy', targetShare: 0.85, bytes } as const
  return [
    {
      ...common,
      name: `layer norm ${at}`,
      setup: () => {
        const [a, w, b] = [x(), ones([width]), zeros([width])]
        return () => layerNorm(a, w, b)
      },
    },
    {
      ...common,
      name: `RMS norm ${at}`,
      setup: () => {
        const [a, w] = [x(), ones([width])]
        return () => rmsNorm(a, w)
      },
    },
    {
      ...common,
      name: `softmax ${at}`,
      setup: () => {
        const a = x()
        return () => a.softmax(-1)
      },
    },
    {
      ...common,
      name: `GELU ${at}`,
      setup: () => {
        const a = x()
        return () => a.gelu()
      },
    },
    {
      ...common,
      name: `cross-entropy ${at}`,
      limit: 'read',
      bytes: bytes / 2,
      setup: () => {
        const [a, target] = [x(), randint(0, width, [rows])]
        return () => crossEntropy(a, target)
      },
    },
  ]
}

const decoder = {
  layers: 6,
  width: 384,
  heads: 6,
  ffn: 1024,
  vocab: 8192,
  batch: 8,
  length: 256,
} as const

const vit = { batch: 8, tokens: 196, patch: 768, width: 384, heads: 6, layers: 12 } as const

const many = 100_000_000

export const works: readonly Work[] = [
  ...[1024, 2048].map((s) => product('f32', s, s, s)),
  ...[false, true].flatMap((packed) => [
    ...[1024, 2048].map((s) => product('bf16', s, s, s, packed)),
    product('bf16', 4096, 4096, 1024, packed),
  ]),
  ...[1, 4, 16].flatMap((m) =>
    (Object.keys(layers) as (keyof typeof layers)[]).map((dtype) => linear(dtype, m)),
  ),
  ...[1024, 4096].flatMap((length) =>
    (['f32', 'bf16'] as const).flatMap((dtype) =>
      [false, true].map((backward) => attention(dtype, length, backward)),
    ),
  ),
  ...rowWorks(4096, 1024),
  ...rowWorks(2048, 32_768),
  {
    name: 'AdamW f32 100M',
    dtype: 'f32',
    target: 1,
    limit: 'update',
    targetShare: 0.85,
    // Reads weight, gradient and two moments, writes all but the gradient.
    bytes: 7 * 4 * many,
    setup: () => {
      const p = randn([many])
      const [g, m, v] = [randn([many]), zerosLike(p), zerosLike(p)]
      let step = 0
      return () => adamw_([p], [g], [m], [v], { lr: 1e-4, weightDecay: 0.1, step: ++step })
    },
  },
  {
    name: 'training step f32',
    dtype: 'f32',
    target: 1.6,
    limit: 'f32',
    flops: stepFlops(decoder),
    setup: () => makeStep(decoder),
  },
  {
    name: 'training step bf16',
    dtype: 'bf16',
    target: 2.5,
    limit: 'bf16',
    flops: stepFlops(decoder),
    setup: () => makeStep(decoder, 'medium'),
  },
  ...(['f32', 'bf16'] as const).map((dtype): Work => ({
    name: `vision encoder ${dtype}`,
    dtype,
    target: dtype === 'bf16' ? 2 : 1.5,
    limit: dtype,
    flops: encoderFlops(vit),
    setup: () => makeEncoder(vit, dtype),
  })),
  {
    name: 'decoder prefill 512 bf16',
    dtype: 'bf16',
    target: 1.4,
    limit: 'bf16',
    flops: prefillFlops(512),
    tokens: 512,
    setupTimed: () => makeDecoder(512, 0, (timing) => timing.firstToken),
  },
  {
    name: 'decoder decode 128 bf16',
    dtype: 'bf16',
    limit: 'read',
    targetShare: 0.85,
    bytes: decodeBytes(512, 128),
    tokens: 128,
    setupTimed: () => makeDecoder(512, 128, (timing) => timing.decode),
  },
  {
    name: 'vision encoder 448x448 bf16',
    dtype: 'bf16',
    limit: 'bf16',
    flops: visionEncoderFlops(448, 14),
    setup: () => makeVisionEncoder(448, 14),
  },
  {
    name: '1000 tiny adds f32',
    dtype: 'f32',
    target: 1,
    setup: () => {
      const [a, b] = [randn([4]), randn([4])]
      return () => {
        for (let i = 0; i < 1000; i++) a.add(b)
      }
    },
  },
  {
    name: '1000 tiny adds, graph f32',
    dtype: 'f32',
    target: 1,
    setup: () => {
      const [a, b] = [randn([4], { requiresGrad: true }), randn([4])]
      return () => {
        for (let i = 0; i < 1000; i++) a.add(b)
      }
    },
  },
  {
    name: '1000 tiny adds, sum, backward f32',
    dtype: 'f32',
    target: 2,
    setup: () => {
      const [a, b] = [randn([4], { requiresGrad: true }), randn([4])]
      return () => {
        for (let i = 0; i < 1000; i++) {
          a.add(b).sum().backward()
          a.grad = undefined
        }
      }
    },
  },
]
