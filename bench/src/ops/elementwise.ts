import { randn, where, type Tensor } from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

const sizes = [1 << 10, 1 << 16, 1 << 22]

function unary(name: string, f: (x: Tensor) => Tensor): Bench[] {
  return sizes.map((n) => ({
    name: `${name} f32 ${n}`,
    bytes: 8 * n,
    setup: () => {
      const x = randn([n])
      return () => f(x)
    },
  }))
}

function binary(name: string, f: (a: Tensor, b: Tensor) => Tensor): Bench[] {
  return sizes.map((n) => ({
    name: `${name} f32 ${n}`,
    bytes: 12 * n,
    setup: () => {
      const [a, b] = [randn([n]), randn([n])]
      return () => f(a, b)
    },
  }))
}

export const elementwise: Bench[] = [
  ...binary('add', (a, b) => a.add(b)),
  ...binary('mul', (a, b) => a.mul(b)),
  ...unary('exp', (x) => x.exp()),
  ...unary('gelu', (x) => x.gelu()),
  ...unary('silu', (x) => x.silu()),
  ...unary('to bf16', (x) => x.to('bf16')),
  {
    name: 'add f32 [1024, 1024] + [1024]',
    bytes: 8 << 20,
    setup: () => {
      const [a, b] = [randn([1024, 1024]), randn([1024])]
      return () => a.add(b)
    },
  },
  {
    name: 'contiguous of transposed f32 [1024, 1024]',
    bytes: 8 << 20,
    setup: () => {
      const x = randn([1024, 1024]).mT()
      return () => x.contiguous()
    },
  },
  {
    name: 'where f32 [1024, 1024]',
    bytes: 13 << 20,
    setup: () => {
      const [a, b] = [randn([1024, 1024]), randn([1024, 1024])]
      const mask = a.gt(b)
      return () => where(mask, a, b)
    },
  },
]
