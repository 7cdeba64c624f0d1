// What is compared with the peers: the same works as in torch_peer.py, under the same names. Targets are those of issue 3:
// the peer's time over ours, against the best peer.
import {
  adamw_,
  crossEntropy,
  layerNorm,
  ones,
  quantizedLinear,
  quantizeWeight,
  randint,
  randn,
  rmsNorm,
  scaledDotProductAttention,
  zeros,
  zerosLike,
  type DType,
} from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'
import { makeStep, stepFlops } from '../train/step.js'

/** Which limit of the machine a work runs into: multiply-adds in a dtype, or memory. */
export type Limit = 'f32' | 'bf16' | 'copy' | 'read'

export interface Work extends Bench {
  readonly dtype: DType | 'int8'
  /** Peer's time over ours, at least. */
  readonly target: number
  readonly limit?: Limit
}

const product = (dtype: DType, m: number, k: number, n: number, target: number): Work => ({
  name: `product ${dtype} ${m}x${k}x${n}`,
  dtype,
  target,
  limit: dtype === 'bf16' ? 'bf16' : 'f32',
  flops: 2 * m * k * n,
  setup: () => {
    const [a, b] = [randn([m, k]).to(dtype), randn([k, n]).to(dtype)]
    return () => a.matmul(b)
  },
})

const linear = (dtype: DType, m: number): Work => ({
  name: `linear ${dtype} ${m}x4096x4096`,
  dtype,
  target: 1.2,
  limit: 'read',
  bytes: 4096 * 4096 * (dtype === 'bf16' ? 2 : 4),
  setup: () => {
    const [x, w] = [randn([m, 4096]).to(dtype), randn([4096, 4096]).to(dtype)]
    return () => x.linear(w)
  },
})

/** Weights in 8 bits, x in f32 and rounded to 8 bits on the way: PyTorch's dynamic quantisation. */
const linearInt8 = (m: number): Work => ({
  name: `linear int8 ${m}x4096x4096`,
  dtype: 'int8',
  target: 1.2,
  limit: 'read',
  bytes: 4096 * 4096 * (1 + 2 / 64),
  setup: () => {
    const [x, w] = [randn([m, 4096]), quantizeWeight(randn([4096, 4096]))]
    return () => quantizedLinear(x, w)
  },
})

const attention = (dtype: DType, length: number, backward: boolean): Work => ({
  name: `attention ${dtype} T${length}${backward ? ' with backward' : ''}`,
  dtype,
  target: 1.5,
  limit: dtype === 'bf16' ? 'bf16' : 'f32',
  // Two products forward, five backward with one recomputed; half of each is masked.
  flops: 2 * 8 * length * length * 64 * (backward ? 3.5 : 1),
  setup: () => {
    const [q, k, v] = [0, 1, 2].map(() =>
      randn([1, 8, length, 64]).to(dtype).requiresGrad_(backward),
    ) as [ReturnType<typeof randn>, ReturnType<typeof randn>, ReturnType<typeof randn>]
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
  const x = (): ReturnType<typeof randn> => randn([rows, width])
  const common = { dtype: 'f32', target: 1, limit: 'copy', bytes } as const
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

const many = 100_000_000

export const works: readonly Work[] = [
  ...[1024, 2048].flatMap((s) => [product('f32', s, s, s, 1), product('bf16', s, s, s, 1.1)]),
  product('bf16', 4096, 4096, 1024, 1.1),
  ...[1, 4, 16].flatMap((m) => [linear('f32', m), linear('bf16', m), linearInt8(m)]),
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
    limit: 'copy',
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
