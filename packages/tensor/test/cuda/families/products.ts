// Products: matrices, attention, convolution, quantised layers.
import {
  conv2d,
  packedLinear,
  packWeight,
  quantizedLinear,
  quantizeWeight,
  scaledDotProductAttention,
  type AttentionOptions,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { type Deal, type Case, sizes, floats, one, each } from '../deal.js'

interface Heads {
  readonly d: number
  readonly l: number
  readonly lk?: number
  readonly h?: number
  readonly hk?: number
  readonly b?: number
  readonly dtype?: DType
  readonly options?: Omit<AttentionOptions, 'mask'>
  readonly mask?: 'bool' | 'own' | 'f32'
  /** Keys and values in bytes, with scales. */
  readonly bytes?: boolean
}
const attention: Heads[] = [
  { d: 64, l: 1, lk: 100 },
  { d: 64, l: 33, h: 4, hk: 2 },
  { d: 80, l: 64, h: 2, hk: 1, options: { isCausal: true } },
  { d: 80, l: 100, mask: 'own' },
  { d: 96, l: 31, b: 2, options: { isCausal: true, window: 9 } },
  { d: 96, l: 130, lk: 150, h: 4, hk: 2, options: { isCausal: true } },
  { d: 128, l: 7, lk: 70, mask: 'bool' },
  { d: 128, l: 100, h: 2, hk: 1, options: { isCausal: true, layout: 'blhd' } },
  { d: 40, l: 65, dtype: 'f16', mask: 'f32' },
  // Few queries, for which the keys are split.
  { d: 96, l: 3, lk: 300, h: 4, hk: 1, options: { isCausal: true } },
  { d: 64, l: 1, lk: 300, h: 4, hk: 2, dtype: 'f32' },
  // Those that tensor cores do not take: f32, f64, short and wide heads.
  { d: 80, l: 33, h: 2, hk: 1, dtype: 'f32', options: { isCausal: true } },
  { d: 64, l: 70, lk: 100, dtype: 'f32', mask: 'bool' },
  { d: 128, l: 40, dtype: 'f32', options: { isCausal: true, window: 7 } },
  { d: 12, l: 31, h: 4, hk: 2 },
  { d: 200, l: 20, dtype: 'f32' },
  { d: 300, l: 9, dtype: 'f32', options: { isCausal: true } },
  { d: 16, l: 33, dtype: 'f64', mask: 'own' },
  // Keys in bytes: few queries, split and not; many, short heads and f32.
  { bytes: true, d: 48, l: 1, lk: 100 },
  { bytes: true, d: 80, l: 3, lk: 300, h: 4, hk: 1, options: { isCausal: true } },
  { bytes: true, d: 128, l: 5, lk: 150, h: 4, hk: 2, b: 2, dtype: 'f16', mask: 'bool' },
  { bytes: true, d: 96, l: 40, lk: 70, h: 2, hk: 1, options: { isCausal: true, window: 30 } },
  { bytes: true, d: 20, l: 2, lk: 50, dtype: 'f32', options: { layout: 'blhd' } },
]
function attend(d: Deal, c: Heads): Tensor[] {
  const { l, lk = l, h = 2, hk = h, b = 1, dtype = 'bf16', options = {} } = c
  const shape = (n: number, heads: number): number[] =>
    options.layout === 'blhd' ? [b, n, heads, c.d] : [b, heads, n, c.d]
  const mask =
    c.mask === undefined
      ? undefined
      : c.mask === 'bool'
        ? d.normal([1, 1, l, lk]).gt(-0.5)
        : d.normal([1, h, l, lk], c.mask === 'own' ? dtype : 'f32')
  if (c.bytes) {
    const numbers = (): Tensor => d.integers(256, shape(lk, hk), 'u8')
    const scales = (): Tensor => d.normal(shape(lk, hk).with(3, 1)).abs().add(1).mul(0.01)
    return [
      scaledDotProductAttention(d.normal(shape(l, h), dtype), numbers(), numbers(), {
        ...options,
        ...(mask ? { mask } : {}),
        keyScale: scales(),
        valueScale: scales(),
      }),
    ]
  }
  return d.both(
    [
      d.normal(shape(l, h), dtype),
      d.normal(shape(lk, hk), dtype),
      d.normal(shape(lk, hk), dtype),
    ] as const,
    (q, k, v) =>
      scaledDotProductAttention(q!, k!, v!, mask === undefined ? options : { ...options, mask }),
  )
}

interface Sizes {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly batch?: number
}
const shapes: Sizes[] = [
  ...sizes.map((s, i) => ({ m: s, n: sizes[(i + 2) % 6]!, k: sizes[(i + 4) % 6]! })),
  { m: 72, n: 136, k: 104 },
  { m: 5, n: 100, k: 64 }, // few rows
  { m: 3, n: 40, k: 800 }, // the depth in pieces
  { m: 40, n: 40, k: 800 },
  { m: 136, n: 136, k: 40, batch: 33 }, // large tiles
]
/** a b with each of them as it is, or as the transpose of what lies in memory; and its sums before they are rounded. */
function multiply(d: Deal, { m, n, k, batch }: Sizes, dtype: DType): Tensor[] {
  const head = batch ? [batch] : []
  const found = (['nn', 'nt', 'tn', 'tt'] as const).map((order) => {
    const a = d.normal(order[0] === 'n' ? [...head, m, k] : [...head, k, m], dtype)
    const b = d.normal(order[1] === 'n' ? [...head, k, n] : [...head, n, k], dtype)
    return (order[0] === 'n' ? a : a.mT()).matmul(order[1] === 'n' ? b : b.mT())
  })
  if (dtype !== 'bf16' && dtype !== 'f16') return found
  const x = d.normal([...head, m, k], dtype)
  return [...found, x.linear(d.normal([n, k], dtype), undefined, { dtype: 'f32' })]
}
const dtypesOf = (c: Sizes): readonly DType[] =>
  c.batch ? (['bf16'] as const) : c.m * c.n * c.k > 500_000 ? (['f32', 'bf16'] as const) : floats

export const products: Readonly<Record<string, readonly Case[]>> = {
  attention: [
    ...each(attention, (c) => `${JSON.stringify(c)}`, attend, 2),
    one(
      'packed sequences',
      (d) => {
        const cu = d.of([0, 7, 40, 41, 105], 'i32')
        return (['bf16', 'f32'] as const).flatMap((dtype) =>
          d.both(
            [0, 1, 2].map(() => d.normal([1, 105, 2, 80], dtype)),
            (q, k, v) =>
              scaledDotProductAttention(q!, k!, v!, {
                layout: 'blhd',
                cuSeqlensQ: cu,
                isCausal: dtype === 'bf16',
              }),
          ),
        )
      },
      2,
    ),
  ],

  conv: each(
    [
      { stride: 1, padding: 1, groups: 1, dilation: 1, dtype: 'f32' },
      { stride: 2, padding: 0, groups: 2, dilation: 1, dtype: 'bf16' },
      { stride: [2, 3] as const, padding: [1, 2] as const, groups: 2, dilation: 2, dtype: 'f32' },
    ] as const,
    (c) => JSON.stringify(c),
    (d, { dtype, ...options }) =>
      d.both(
        [
          d.normal([2, 4, 13, 17], dtype),
          d.normal([6, 4 / options.groups, 3, 3], dtype),
          d.normal([6], dtype),
        ],
        (x, w, b) => conv2d(x!, w!, b, options),
      ),
    2,
  ),

  matmul: [
    ...each(
      shapes,
      (c) => JSON.stringify(c),
      (d, c) => dtypesOf(c).flatMap((dtype) => multiply(d, c, dtype)),
      4,
    ),
    ...each(
      [
        { m: 3, n: 40, k: 64 },
        { m: 50, n: 72, k: 40 },
        { m: 33, n: 33, k: 700 },
      ],
      (c) => `epilogues ${JSON.stringify(c)}`,
      (d, { m, n, k }) =>
        (['f32', 'bf16'] as const).flatMap((dtype) => {
          const [x, w] = [d.normal([m, k], dtype, 0.2), d.normal([n, k], dtype)]
          const [bias, beside] = [d.normal([n], dtype), d.normal([m, n], dtype)]
          return [
            x.linear(w, bias, { activation: 'gelu', residual: beside }),
            x.linear(w, bias, { activation: 'geluTanh' }),
            x.linear(w, undefined, { activation: 'silu', scale: 0.5 }),
            x.linear(w, bias, { swiglu: beside, residual: beside }),
            ...d.both([x, w, bias], (a, b, c) => a!.linear(b!, c)),
          ]
        }),
      4,
    ),
    ...each(
      [1, 7, 16, 33],
      (m) => `packed weights, ${m} rows`,
      (d, m) =>
        (['f32', 'bf16'] as const).flatMap((dtype) => {
          const weight = packWeight(d.normal([70, 51], dtype))
          return [
            weight.unpack(),
            packedLinear(d.normal([m, 51], dtype), weight, d.normal([70], dtype), {
              activation: 'silu',
            }),
          ]
        }),
      4,
    ),
    // As many as keep warpgroups busy: more tiles than multiprocessors, more steps than stages.
    one(
      'many tiles',
      (d) => {
        const [m, n, k] = [2168, 2040, 264]
        return [
          d.normal([m, k], 'bf16').matmul(d.normal([n, k], 'bf16').mT()),
          d
            .normal([k, m], 'bf16')
            .mT()
            .matmul(d.normal([k, n], 'bf16')),
        ]
      },
      4,
    ),
    one(
      'lines of 16 bytes whose last is not whole',
      (d) => {
        const [a, b] = [d.normal([72, 64], 'bf16'), d.normal([64, 72], 'bf16')]
        const [rows, columns] = [a.narrow(1, 0, 61), b.narrow(0, 0, 61)]
        return [
          rows.matmul(columns.narrow(1, 0, 70)),
          // Both go on behind the depth.
          rows.narrow(0, 0, 67).matmul(d.normal([72, 64], 'bf16').narrow(1, 0, 61).mT()),
          b
            .mT()
            .narrow(0, 0, 69)
            .matmul(a.mT().narrow(1, 0, 53)),
        ]
      },
      4,
    ),
    one(
      'a batch of few against one',
      (d) => [
        d.normal([3, 1, 33, 16], 'bf16').matmul(d.normal([2, 16, 40], 'bf16')),
        d.normal([3, 2, 5], 'f32').matmul(d.normal([5, 31], 'f32')),
      ],
      4,
    ),
  ],

  quant: [
    ...each(
      ([8, 4] as const).flatMap((bits) =>
        ([32, 64, 128] as const).flatMap((group) =>
          [false, true].map((zeroPoint) => ({ bits, group, zeroPoint })),
        ),
      ),
      (c) => JSON.stringify(c),
      (d, format) =>
        [31, 64, 100, 515].flatMap((k) => {
          const weight = quantizeWeight(d.normal([45, k], 'f32'), format)
          const short = quantizeWeight(d.normal([33, k], 'bf16'), format)
          return [
            weight.packed,
            weight.dequantize(),
            quantizedLinear(d.normal([7, k]), weight, d.normal([45])),
            short.dequantize(),
            quantizedLinear(d.normal([1, k], 'bf16'), short),
          ]
        }),
    ),
    ...each(
      ([8, 4] as const).flatMap((bits) =>
        ([32, 128] as const).map((group) => ({ bits, group, zeroPoint: group === 32 })),
      ),
      (c) => `many rows, and a long one ${JSON.stringify(c)}`,
      (d, format) => {
        const [wide, long] = [515, 1100].map((k) => quantizeWeight(d.normal([70, k]), format))
        return [
          quantizedLinear(d.normal([70, 515], 'bf16'), wide!, d.normal([70], 'bf16')),
          quantizedLinear(d.normal([3, 1100]), long!),
        ]
      },
    ),
    one('a row of zeros, and rows that do not lie in order', (d) => {
      const w = d
        .normal([64, 40])
        .mT()
        .mul(d.of([0, ...Array<number>(39).fill(1)], 'f32').unsqueeze(1))
      return ([8, 4] as const).flatMap((bits) => {
        return [false, true].flatMap((zeroPoint) => {
          const weight = quantizeWeight(w, { bits, group: 32, zeroPoint })
          return [weight.dequantize(), quantizedLinear(d.normal([64, 3]).mT(), weight)]
        })
      })
    }),
  ],
}
