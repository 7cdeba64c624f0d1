// Linear layers of a decoding step, 4096 x 4096, with weights in bf16, plain and packed, in 8 and in 4 bits. The weights are
// those of several layers in turn, 130 MB and more, so that they come from memory as they do in a model; bytes are those of one.
import {
  packedLinear,
  packWeight,
  quantizedLinear,
  quantizeWeight,
  randn,
  type QuantBits,
  type Tensor,
} from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

const width = 4096
const atLeast = 130e6

/** Calls `work` with one of the items after the other. */
function inTurn<T>(items: readonly T[], work: (item: T) => unknown): () => unknown {
  let i = 0
  return () => work(items[i++ % items.length]!)
}

const half = (m: number, packed: boolean): Bench => ({
  name: `linear bf16${packed ? ' packed' : ''} ${m}x${width}x${width} from memory`,
  bytes: 2 * width * width,
  setup: () => {
    const x = randn([m, width]).to('bf16')
    const weight = (): Tensor => randn([width, width]).to('bf16')
    const each = { length: Math.ceil(atLeast / (2 * width * width)) }
    return packed
      ? inTurn(
          Array.from(each, () => packWeight(weight())),
          (w) => packedLinear(x, w),
        )
      : inTurn(Array.from(each, weight), (w) => x.linear(w))
  },
})

const quantized = (bits: QuantBits, m: number, zeroPoint = false): Bench => {
  // As packed, with default groups: a bf16 scale, and a byte of zero point, for 64 weights of 8 bits, for 32 of 4.
  const head = zeroPoint ? 3 : 2
  const bytes = width * width * (bits === 8 ? 1 + head / 64 : 0.5 + head / 32)
  return {
    name: `linear int${bits}${zeroPoint ? ' with zero points' : ''} ${m}x${width}x${width} from memory`,
    bytes,
    setup: () => {
      const x = randn([m, width])
      const weights = Array.from({ length: Math.ceil(atLeast / bytes) }, () =>
        quantizeWeight(randn([width, width]), { bits, zeroPoint }),
      )
      return inTurn(weights, (w) => quantizedLinear(x, w))
    },
  }
}

export const quant: Bench[] = [
  ...[1, 4, 16, 512].flatMap((m) => [
    half(m, false),
    half(m, true),
    quantized(8, m),
    quantized(4, m),
    quantized(4, m, true),
  ]),
  ...([8, 4] as const).map((bits) => ({
    name: `quantizeWeight int${bits} ${width}x${width}`,
    setup: () => {
      const w = randn([width, width])
      return () => quantizeWeight(w, { bits }).dispose()
    },
  })),
]
