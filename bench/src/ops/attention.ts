import { randn, scaledDotProductAttention } from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

// [batch, heads, kv heads, length, head dim]
const shapes = [
  [8, 4, 4, 128, 32],
  [1, 8, 2, 1024, 64],
] as const

export const attention: Bench[] = shapes.flatMap(([b, h, hkv, l, d]) =>
  [false, true].flatMap((isCausal) =>
    [false, true].map((backward): Bench => {
      // Two products forward, five backward (one recomputed); a causal mask halves them.
      const flops = (2 * b * h * l * l * d * 2 * (backward ? 3.5 : 1)) / (isCausal ? 2 : 1)
      return {
        name: `attention [${b}, ${h}/${hkv}, ${l}, ${d}]${isCausal ? ' causal' : ''}${backward ? ' backward too' : ''}`,
        flops,
        setup: () => {
          const options = { requiresGrad: backward }
          const q = randn([b, h, l, d], options)
          const [k, v] = [randn([b, hkv, l, d], options), randn([b, hkv, l, d], options)]
          return () => {
            const y = scaledDotProductAttention(q, k, v, { isCausal })
            if (!backward) return
            y.sum().backward()
            q.grad = k.grad = v.grad = undefined
          }
        },
      }
    }),
  ),
)
