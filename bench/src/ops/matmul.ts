import {
  randn,
  setFloat32MatmulPrecision,
  type DType,
  type MatmulPrecision,
  type Tensor,
} from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

// Squares, and the shapes of a small Shakti-VLM: [tokens, in] x [in, out].
const shapes = [
  [64, 64, 64],
  [256, 256, 256],
  [1024, 1024, 1024],
  [512, 256, 768],
  [2048, 128, 512],
  [1, 1024, 4096],
] as const

function matmul(
  dtype: DType,
  m: number,
  k: number,
  n: number,
  precision: MatmulPrecision = 'highest',
): Bench {
  return {
    name: `matmul ${dtype}${precision === 'medium' ? ' as bf16' : ''} ${m}x${k}x${n}`,
    flops: 2 * m * k * n,
    setup: () => {
      const [a, b] = [randn([m, k]).to(dtype), randn([k, n]).to(dtype)]
      return () => {
        setFloat32MatmulPrecision(precision)
        const y = a.matmul(b)
        setFloat32MatmulPrecision('highest')
        return y
      }
    },
  }
}

export const products: Bench[] = [
  ...shapes.map(([m, k, n]) => matmul('f32', m, k, n)),
  matmul('f32', 1024, 1024, 1024, 'medium'),
  matmul('f32', 2048, 128, 512, 'medium'),
  matmul('bf16', 1024, 1024, 1024),
  matmul('f64', 512, 512, 512),
  {
    name: 'linear f32 512x256x768, backward too',
    flops: 3 * 2 * 512 * 256 * 768,
    setup: () => {
      const x = randn([512, 256], { requiresGrad: true })
      const w = randn([768, 256], { requiresGrad: true })
      return () => {
        x.linear(w).sum().backward()
        x.grad = w.grad = undefined
      }
    },
  },
  ...(['f32', 'bf16'] as const).flatMap((dtype): Bench[] => {
    const [m, k, n] = [2048, 384, 1536]
    const setup =
      (f: (x: Tensor, w: Tensor, bias: Tensor, residual: Tensor) => Tensor): Bench['setup'] =>
      () => {
        const [x, w, bias, residual] = [[m, k], [n, k], [n], [m, n]].map((s) =>
          randn(s).to(dtype),
        ) as [Tensor, Tensor, Tensor, Tensor]
        return () => f(x, w, bias, residual)
      }
    const linear = `linear ${dtype} ${m}x${k}x${n}`
    return [
      { name: linear, setup: setup((x, w, b) => x.linear(w, b)) },
      { name: `${linear}, then add`, setup: setup((x, w, b, r) => x.linear(w, b).add(r)) },
      {
        name: `${linear}, residual`,
        setup: setup((x, w, b, residual) => x.linear(w, b, { residual })),
      },
      { name: `${linear}, then gelu`, setup: setup((x, w, b) => x.linear(w, b).gelu()) },
      {
        name: `${linear}, gelu within`,
        setup: setup((x, w, b) => x.linear(w, b, { activation: 'gelu' })),
      },
    ]
  }),
  {
    name: 'matmul f32 batch 16 of 128x64x128',
    flops: 16 * 2 * 128 * 64 * 128,
    setup: () => {
      const [a, b] = [randn([16, 128, 64]), randn([16, 64, 128])]
      return () => a.matmul(b)
    },
  },
]
