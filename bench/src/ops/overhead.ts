// What a call costs when the kernel costs nothing: the way through TypeScript, the border and the stream.
import { randn, tidy } from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

export const overhead: Bench[] = [
  {
    name: 'add of 16 elements',
    setup: () => {
      const [a, b] = [randn([16]), randn([16])]
      return () => a.add(b)
    },
  },
  {
    name: 'add of 16 elements, recorded on the tape',
    setup: () => {
      const [a, b] = [randn([16], { requiresGrad: true }), randn([16])]
      return () => a.add(b)
    },
  },
  {
    name: 'add of 4 elements, sum, backward',
    setup: () => {
      const [a, b] = [randn([4], { requiresGrad: true }), randn([4])]
      return () => {
        a.add(b).sum().backward()
        a.grad = undefined
      }
    },
  },
  {
    name: 'chain of 100 adds of 16 elements',
    setup: () => {
      const [a, b] = [randn([16]), randn([16])]
      return () => {
        let x = a
        for (let i = 0; i < 100; i++) x = x.add(b)
      }
    },
  },
  {
    name: 'transpose (a view, no command)',
    setup: () => {
      const x = randn([4, 4])
      return () => x.transpose(0, 1)
    },
  },
  { name: 'an empty tidy', setup: () => () => tidy(() => undefined) },
]
