import { crossEntropy, layerNorm, ones, randint, randn, rmsNorm, zeros } from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

const [rows, width] = [2048, 1024]
const bytes = 8 * rows * width

export const norms: Bench[] = [
  {
    name: `rmsNorm f32 [${rows}, ${width}]`,
    bytes,
    setup: () => {
      const [x, w] = [randn([rows, width]), ones([width])]
      return () => rmsNorm(x, w)
    },
  },
  {
    name: `layerNorm f32 [${rows}, ${width}]`,
    bytes,
    setup: () => {
      const [x, w, b] = [randn([rows, width]), ones([width]), zeros([width])]
      return () => layerNorm(x, w, b)
    },
  },
  {
    name: `softmax f32 [${rows}, ${width}]`,
    bytes,
    setup: () => {
      const x = randn([rows, width])
      return () => x.softmax(-1)
    },
  },
  {
    name: `sum f32 [${rows}, ${width}] over the last dimension`,
    bytes: bytes / 2,
    setup: () => {
      const x = randn([rows, width])
      return () => x.sum(-1)
    },
  },
  {
    name: `sum f32 [${rows}, ${width}] over the first dimension`,
    bytes: bytes / 2,
    setup: () => {
      const x = randn([rows, width])
      return () => x.sum(0)
    },
  },
  {
    name: 'crossEntropy f32 [512, 4096], backward too',
    bytes: 3 * 4 * 512 * 4096,
    setup: () => {
      const logits = randn([512, 4096], { requiresGrad: true })
      const target = randint(0, 4096, [512])
      return () => {
        crossEntropy(logits, target).backward()
        logits.grad = undefined
      }
    },
  },
]
