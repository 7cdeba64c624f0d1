import {
  crossEntropy,
  layerNorm,
  normRope,
  ones,
  randint,
  randn,
  rmsNorm,
  rope,
  zeros,
  type Tensor,
} from '@shakti/tensor'
import { RotaryEmbedding } from '@shakti/nn'
import type { Bench } from '../lib/metabench.js'

const [rows, width] = [2048, 1024]
const bytes = 8 * rows * width

type Heads = readonly [number, number, number, number]
type NormAndTurn = (x: Tensor, w: Tensor, cos: Tensor, sin: Tensor) => Tensor

/** What attention does to queries and keys, in one op and in two. */
const normAndTurn: Record<string, NormAndTurn> = {
  normRope: (x, w, cos, sin) => normRope(x, w, cos, sin),
  'rmsNorm then rope': (x, w, cos, sin) => rope(rmsNorm(x, w), cos, sin),
}

function queries(name: string, shape: Heads): Bench[] {
  const [, l, , d] = shape
  const fn = normAndTurn[name]!
  const operands = (requiresGrad: boolean): Parameters<NormAndTurn> => {
    const { cos, sin } = new RotaryEmbedding(d, 10_000).range(0, l)
    return [randn(shape, { requiresGrad }), ones([d], { requiresGrad }), cos, sin]
  }
  return [
    {
      name: `${name} f32 [${shape}]`,
      setup: () => {
        const given = operands(false)
        return () => fn(...given)
      },
    },
    {
      name: `${name} f32 [${shape}], backward too`,
      setup: () => {
        const [given, g] = [operands(true), randn(shape)]
        return () => {
          fn(...given).backward(g)
          given[0].grad = given[1].grad = undefined
        }
      },
    },
  ]
}

export const norms: Bench[] = [
  ...(
    [
      [8, 256, 6, 64],
      [16, 104, 4, 32],
    ] as const
  ).flatMap((shape) => Object.keys(normAndTurn).flatMap((name) => queries(name, shape))),
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
