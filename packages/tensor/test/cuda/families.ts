// What each family of kernels (kernels/src/ops/<family>/cuda.cu) is tried with: sizes on both sides of a warp, of a block, of a tile
// and of a stage, in each dtype, forward and backward. One table for three uses: against the CPU, under every way the simulator can
// run a program (modes.test.ts), and with faults planted in the kernels (kernels/test/cuda/mutants.ts).
import {
  adamw_,
  arange,
  cat,
  conv2d,
  crossEntropy,
  dropout,
  embedding,
  full,
  globalNorm,
  interpolate,
  layerNorm,
  linearCrossEntropy,
  manualSeed,
  multinomial,
  normRope,
  noGrad,
  packedLinear,
  packWeight,
  quantizedLinear,
  quantizeWeight,
  randint,
  randn,
  randperm,
  rand,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  swiglu,
  tensor,
  truncatedNormal,
  where,
  type AttentionOptions,
  type DeviceName,
  type DType,
  type Tensor,
} from '@shakti/tensor'

/** Hands out operands, the same on every device: they are drawn on the CPU and moved. */
export class Deal {
  constructor(readonly device: DeviceName) {
    manualSeed(12)
  }
  normal(shape: readonly number[], dtype: DType = 'f32', scale = 1): Tensor {
    return noGrad(() => randn(shape, { device: 'cpu' }).mul(scale).to(dtype).to(this.device))
  }
  integers(below: number, shape: readonly number[], dtype: DType = 'i32'): Tensor {
    return randint(0, below, shape, { device: 'cpu' }).to(dtype).to(this.device)
  }
  of(values: readonly number[], dtype: DType): Tensor {
    return tensor(values, { dtype, device: this.device })
  }
  /** What fn gives for these operands, and the gradients that come back to them. */
  both(operands: readonly Tensor[], fn: (...operands: Tensor[]) => Tensor): Tensor[] {
    const leaves = operands.map((t) => t.detach().requiresGrad_())
    const y = fn(...leaves)
    y.backward(this.normal(y.shape, y.dtype))
    return [y.detach(), ...leaves.map((t) => t.grad!)]
  }
}

export interface Case {
  readonly name: string
  /** The results, in an order of its own. */
  run(d: Deal): Tensor[]
  /** How many times the rounding of its dtype a result may be off; default 1, 0: not at all. */
  readonly slack?: number
}

export const sizes = [1, 7, 31, 33, 64, 100]
const floats = ['f32', 'bf16', 'f16', 'f64'] as const
/** More elements than threads that any grid has. */
const many = 620_000

const one = (name: string, run: Case['run'], slack = 1): Case => ({ name, run, slack })
const each = <T>(
  values: readonly T[],
  name: (v: T) => string,
  run: (d: Deal, v: T) => Tensor[],
  slack = 1,
): Case[] => values.map((v) => one(name(v), (d) => run(d, v), slack))

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
  // Those that tensor cores do not take: f32, f64, short and wide heads.
  { d: 80, l: 33, h: 2, hk: 1, dtype: 'f32', options: { isCausal: true } },
  { d: 64, l: 70, lk: 100, dtype: 'f32', mask: 'bool' },
  { d: 128, l: 40, dtype: 'f32', options: { isCausal: true, window: 7 } },
  { d: 12, l: 31, h: 4, hk: 2 },
  { d: 200, l: 20, dtype: 'f32' },
  { d: 300, l: 9, dtype: 'f32', options: { isCausal: true } },
  { d: 16, l: 33, dtype: 'f64', mask: 'own' },
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
const products: Sizes[] = [
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

const norms = (d: Deal, rows: number, n: number, dtype: DType, own: DType): Tensor[] => [
  ...d.both([d.normal([rows, n], dtype), d.normal([n], own), d.normal([n], own)], (x, w, b) =>
    layerNorm(x!, w, b),
  ),
  ...d.both([d.normal([rows, n], dtype), d.normal([n], own)], (x, w) => rmsNorm(x!, w)),
]

/** Angles of positions, [1, l, d / 2]. */
const angles = (d: Deal, l: number, width: number): [Tensor, Tensor] => {
  const a = randn([1, l, width / 2], { device: 'cpu' })
  return [a.cos().to(d.device), a.sin().to(d.device)]
}

const table: Readonly<Record<string, readonly Case[]>> = {
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

  copy: [
    ...each(
      sizes,
      (n) => `transpose, convert and place, n ${n}`,
      (d, n) => {
        const x = d.normal([3, n, 70])
        const short = x.bfloat16()
        return [
          x.mT().contiguous(),
          short.mT().contiguous(),
          x.to('u8').mT().contiguous(),
          x.double().permute([2, 0, 1]).contiguous(),
          short,
          short.half(),
          short.float(),
          x.mul(1000).int(),
          x.mul(1000).int().long(),
          x.select(0, 1).narrow(1, 3, 30).to('f16'),
          cat([x, x.narrow(1, 0, 1)], 1),
          x.pad([
            [2, 1],
            [0, 3],
          ]),
          x.flip([1, 2]),
          x.tril(-1),
          short.triu(2),
          arange(0, n, 1, { device: d.device }),
          full([n, 3], 7, { device: d.device, dtype: 'i64' }),
          // Bytes in order that are no multiple of 16.
          x.to('bool').clone(),
        ]
      },
    ),
    one('more elements than threads', (d) => {
      const x = d.normal([many])
      const pairs = x.reshape([-1, 2])
      return [x.bfloat16(), pairs.select(1, 1).clone(), pairs.narrow(1, 0, 1).tril()]
    }),
  ],

  elementwise: [
    ...each(
      [...sizes, 5000],
      (n) => `dense, broadcast, scalar and view, n ${n}`,
      (d, n) =>
        floats.flatMap((dtype) => {
          const [x, y] = [d.normal([n], dtype), d.normal([n], dtype)]
          const table = d.normal([3, n], dtype)
          return [
            x.add(y),
            x.mul(0.37),
            table.sub(y),
            table.mT().mul(table.mT()),
            x.div(y.square().add(1)),
            x.gt(y),
            where(x.gt(0), x, y),
            where(x.gt(0), x, 2).mul(where(x.gt(0), 3, y)),
            x.clamp(-0.5, 0.5),
          ]
        }),
      0,
    ),
    ...each(
      [...sizes, 5000],
      (n) => `functions, n ${n}`,
      (d, n) =>
        floats.flatMap((dtype) => {
          const x = d.normal([n], dtype)
          return [
            x.gelu(),
            x.exp(),
            x.silu(),
            x.tanh(),
            x.square().add(1).log(),
            ...d.both([x], (t) => t!.gelu({ approximate: 'tanh' })),
            ...d.both([x], (t) => t!.sigmoid()),
          ]
        }),
      2,
    ),
    one('integers', (d) => {
      const [x, y] = [d.integers(200, [33]), d.integers(9, [33])]
      return [x.add(y), x.long().mul(3), x.to('u8').maximum(y.to('u8')), x.ge(y.mul(20)), x.neg()]
    }),
    one('more elements than threads', (d) => {
      const x = d.normal([many])
      const dense = d.normal([4 * many + 3])
      return [x.reshape([-1, 2]).mT().add(1), dense.mul(2), dense.gt(0.5)]
    }),
  ],

  index: [
    ...each(
      sizes,
      (n) => `n ${n}`,
      (d, n) => {
        const table = d.normal([50, n])
        const ids = d.integers(50, [3, 40])
        const places = d.integers(n, [5, 31])
        const source = d.normal([5, n])
        return [
          ...d.both([table], (w) => embedding(ids, w!)),
          ...d.both([table.bfloat16()], (w) => embedding(ids.long(), w!)),
          ...d.both([source], (x) => x!.gather(1, places)),
          source.scatterAdd(1, places, d.normal([5, 31])),
          ...d.both([source], (x) => x!.indexSelect(1, d.integers(n, [45]))),
          source.indexAdd(0, d.integers(5, [9]), d.normal([9, n])),
        ]
      },
    ),
    one('more rows than a block has threads, one of them read by all', (d) => {
      const ids = d.integers(1500, [3000])
      return [
        ...d.both([d.normal([1500, 3])], (w) => embedding(ids, w!)),
        ...d.both([d.normal([4, 70])], (w) => embedding(ids.mul(0), w!)),
      ]
    }),
    one('more places than threads', (d) => {
      const ids = d.integers(9, [many])
      const table = d.normal([9])
      return [
        table.gather(0, ids),
        table.indexSelect(0, ids),
        embedding(ids.narrow(0, 0, 20_000), d.normal([9, 1])),
      ]
    }),
  ],

  interpolate: each(
    (['nearest', 'bilinear', 'bicubic'] as const).flatMap((mode) =>
      (mode === 'nearest' ? [false] : [false, true]).map((alignCorners) => ({
        mode,
        alignCorners,
      })),
    ),
    (c) => JSON.stringify(c),
    (d, options) =>
      (
        [
          [7, 9, 13, 5],
          [16, 3, 31, 33],
          [1, 1, 4, 4],
        ] as const
      ).flatMap(([h, w, height, width]) =>
        (['f32', 'bf16'] as const).flatMap((dtype) =>
          d.both([d.normal([2, 2, h, w], dtype)], (x) =>
            interpolate(x!, { ...options, size: [height, width] }),
          ),
        ),
      ),
    2,
  ),

  loss: [
    ...each(
      [...sizes, 1000, 5003],
      (classes) => `${classes} classes`,
      (d, classes) => {
        const target = d.integers(classes, [9])
        return floats.flatMap((dtype) => [
          ...d.both([d.normal([9, classes], dtype, 3)], (x) =>
            crossEntropy(x!, target, { reduction: 'none' }),
          ),
          ...d.both([d.normal([classes, 9], dtype).mT()], (x) =>
            crossEntropy(x!, target.long(), { labelSmoothing: 0.1, ignoreIndex: 0 }),
          ),
        ])
      },
      4,
    ),
    one(
      'without the logits',
      (d) => {
        const target = d.integers(70, [33])
        return d.both([d.normal([33, 24]), d.normal([70, 24])], (h, w) =>
          linearCrossEntropy(h!, w!, target),
        )
      },
      4,
    ),
    one('a row of -inf but one', (d) => {
      const x = full([3, 70], -Infinity, { device: 'cpu' })
      x.narrow(1, 5, 1).fill_(2)
      return [crossEntropy(x.to(d.device), d.of([5, 5, 5], 'i32'), { reduction: 'none' })]
    }),
  ],

  matmul: [
    ...each(
      products,
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

  mlp: [
    ...each(
      [...sizes, 4099],
      (n) => `n ${n}`,
      (d, n) =>
        floats.flatMap((dtype) => [
          ...d.both([d.normal([3, n], dtype), d.normal([3, n], dtype)], (g, u) => swiglu(g!, u!)),
          ...d.both([d.normal([n, 3], dtype).mT(), d.normal([3, n], dtype)], (g, u) =>
            swiglu(g!, u!),
          ),
        ]),
      2,
    ),
    one('more elements than threads', (d) => {
      const [gate, up] = [d.normal([2, many / 2]), d.normal([2, many / 2])]
      return [
        ...d.both([gate.mT(), up.mT().contiguous()], (g, u) => swiglu(g!, u!)),
        swiglu(d.normal([4 * many + 1]), d.normal([4 * many + 1])),
      ]
    }),
  ],

  norm: [
    ...each(
      [...sizes, 600, 2100, 5000],
      (n) => `rows of ${n}`,
      (d, n) => [
        ...floats.flatMap((dtype) => norms(d, 5, n, dtype, dtype)),
        ...norms(d, 3, n, 'bf16', 'f32'),
      ],
      8,
    ),
    one('many rows', (d) => norms(d, 1100, 33, 'f32', 'f32'), 16),
    one(
      'rows that do not lie in order',
      (d) => d.both([d.normal([40, 9]), d.normal([40])], (x, w) => rmsNorm(x!.mT(), w)),
      8,
    ),
  ],

  norm_rope: [
    ...each(
      [2, 64, 80, 96, 128, 300],
      (width) => `heads of ${width}`,
      (d, width) => {
        const [cos, sin] = angles(d, 7, width)
        return (
          [
            ['f32', 'f32'],
            ['bf16', 'bf16'],
            ['bf16', 'f32'],
            ['f64', 'f64'],
          ] as const
        ).flatMap(([dtype, own]) =>
          d.both([d.normal([2, 7, 3, width], dtype), d.normal([width], own)], (x, w) =>
            normRope(x!, w!, cos, sin, 1e-5),
          ),
        )
      },
      8,
    ),
    one(
      'more heads than warps',
      (d) => {
        const [cos, sin] = angles(d, 5, 2)
        return d.both([d.normal([400, 5, 10, 2]), d.normal([2])], (x, w) =>
          normRope(x!, w!, cos, sin, 1e-5),
        )
      },
      64,
    ),
  ],

  optim: [
    one(
      'lists of all sizes',
      (d) => {
        const list = [...sizes, 16_384, 16_391]
        const make = (): Tensor[] => list.map((n) => d.normal([n]))
        const [params, m] = [make(), make()]
        const v = make().map((t) => t.square())
        const copies = params.map((p) => p.bfloat16())
        const grads = make().map((g, i) => (i % 2 ? g.bfloat16() : g))
        const norm = globalNorm(grads)
        adamw_(params, grads, m, v, {
          lr: 0.01,
          weightDecay: 0.1,
          step: 3,
          scale: norm.reciprocal(),
          copies,
        })
        return [
          norm,
          ...params,
          ...m,
          ...v,
          // Rounded to the nearest, whatever they were.
          ...copies.map((c, i) => c.eq(params[i]!.bfloat16()).all()),
        ]
      },
      2,
    ),
    one(
      'more tensors than a launch holds',
      (d) => {
        const make = (): Tensor[] => Array.from({ length: 130 }, (_, i) => d.normal([1 + (i % 5)]))
        const [params, grads, m] = [make(), make(), make()]
        const v = make().map((t) => t.square())
        adamw_(params, grads, m, v, { lr: 0.01, step: 1 })
        return [...params, globalNorm(grads), globalNorm(grads.map((g) => g.half()))]
      },
      2,
    ),
  ],

  quant: [
    ...each(
      ([8, 4] as const).flatMap((bits) =>
        ([32, 64, 128] as const).map((group) => ({ bits, group })),
      ),
      (c) => JSON.stringify(c),
      (d, format) =>
        [31, 64, 100, 515].flatMap((k) => {
          const weight = quantizeWeight(d.normal([45, k], 'f32'), format)
          const short = quantizeWeight(d.normal([33, k], 'bf16'), format)
          return [
            weight.dequantize(),
            quantizedLinear(d.normal([7, k]), weight, d.normal([45])),
            short.dequantize(),
            quantizedLinear(d.normal([1, k], 'bf16'), short),
          ]
        }),
    ),
    one('a row of zeros, and rows that do not lie in order', (d) => {
      const w = d
        .normal([64, 40])
        .mT()
        .mul(d.of([0, ...Array<number>(39).fill(1)], 'f32').unsqueeze(1))
      return ([8, 4] as const).flatMap((bits) => {
        const weight = quantizeWeight(w, { bits, group: 32 })
        return [weight.dequantize(), quantizedLinear(d.normal([64, 3]).mT(), weight)]
      })
    }),
  ],

  random: [
    ...each(
      sizes,
      (n) => `n ${n}`,
      (d, n) => {
        const on = { device: d.device }
        const weights = d.normal([3, n]).square()
        return [
          rand([n], on),
          randn([n, 3], { ...on, dtype: 'bf16' }),
          truncatedNormal([n], { std: 2, high: 1 }, on),
          randint(-5, 100, [n], on),
          randperm(n, on),
          dropout(d.normal([n, 3]).mT(), 0.3),
          multinomial(weights, 5, { replacement: true }),
          multinomial(weights, Math.min(n, 5)),
        ]
      },
    ),
    one('more than threads, and more classes than a block has', (d) => {
      const on = { device: d.device }
      const weights = d.normal([2, 3000]).square()
      return [
        rand([4 * many + 1], on),
        randint(0, 1 << 20, [many], on),
        dropout(d.normal([4 * many + 1]), 0.5),
        multinomial(weights, 40, { replacement: true }),
        multinomial(weights, 40),
      ]
    }),
  ],

  reduce: [
    ...each(
      [...sizes, 3000],
      (n) => `n ${n}`,
      (d, n) =>
        floats.flatMap((dtype) => {
          const x = d.normal([3, n, 40], dtype)
          return [
            x.sum([1]),
            x.sum([0, 2]),
            x.sum(),
            x.mT().sum([1]),
            x.amax([1]),
            x.amin([2]),
            x.narrow(1, 0, Math.min(n, 20)).prod([1]),
            ...Object.values(x.max(1)),
            x.argmin(2),
            x.var([1]),
            x.norm([2]),
          ] as Tensor[]
        }),
      32,
    ),
    one(
      'one output of many, and many of few',
      (d) => [
        d.normal([70_001]).sum(),
        d.normal([70_001]).argmax(),
        d.normal([many, 2]).sum([1]),
        d.normal([2, many]).sum([0]),
      ],
      256,
    ),
    one('integers', (d) => {
      const x = d.integers(100, [5, 700])
      return [
        x.sum([1]),
        x.long().sum(),
        x.amax([0]),
        x.to('u8').sum([0]),
        x.cumsum(1),
        x.gt(3).all([1]),
      ]
    }),
    one(
      'running sums, in f64 as on the CPU',
      (d) => [
        d.normal([70_000]).cumsum(0),
        ...d.both([d.normal([3, 1, 700])], (x) => x!.cumsum(2)),
        d.normal([3, 33], 'bf16').cumsum(1),
      ],
      1 / 8,
    ),
    one(
      'the first of equals',
      (d) => {
        const x = d.integers(3, [4, 500])
        return [
          ...Object.values(x.float().max(1)),
          ...Object.values(x.min(1)),
          x.argmax(1),
        ] as Tensor[]
      },
      0,
    ),
    one('NaN wins', (d) => {
      const x = d.of([1, NaN, 3, 2, NaN, -1], 'f32').reshape([2, 3])
      return [x.amax([1]), x.amin([0]), ...Object.values(x.max(1)), x.argmin(0)] as Tensor[]
    }),
  ],

  rope: [
    ...each(
      [2, 64, 80, 96, 128],
      (width) => `heads of ${width}`,
      (d, width) => {
        const [cos, sin] = angles(d, 7, width)
        const [of_batch, too] = [d.normal([2, 7, width / 2]), d.normal([2, 7, width / 2])]
        return floats.flatMap((dtype) => [
          ...d.both([d.normal([2, 7, 3, width], dtype)], (x) => rope(x!, cos, sin)),
          ...d.both([d.normal([2, 7, 3, width], dtype)], (x) => rope(x!, of_batch, too)),
        ])
      },
      4,
    ),
    one('more heads than warps', (d) => {
      const [cos, sin] = angles(d, 5, 2)
      return [rope(d.normal([400, 5, 10, 2]), cos, sin)]
    }),
  ],

  softmax: [
    ...each(
      [...sizes, 600, 2100, 5000],
      (n) => `rows of ${n}`,
      (d, n) =>
        floats.flatMap((dtype) => [
          ...d.both([d.normal([5, n], dtype, 4)], (x) => x!.softmax(-1)),
          ...d.both([d.normal([5, n], dtype, 4)], (x) => x!.logSoftmax(-1)),
          ...d.both([d.normal([n, 3], dtype)], (x) => x!.softmax(0)),
        ]),
      8,
    ),
    one(
      'logits far below 0, with ends of rows that are nothing',
      (d) => [7, 100, 2100].map((n) => d.normal([3, n]).sub(300).softmax(-1)),
      8,
    ),
    one('rows of -inf', (d) => {
      const x = full([3, 70], -Infinity, { device: 'cpu' })
      x.narrow(0, 1, 1).narrow(1, 5, 1).fill_(2)
      return [x.to(d.device).softmax(-1)]
    }),
  ],

  sort: [
    ...each(
      [...sizes, 1500, 2500],
      (n) => `n ${n}`,
      (d, n) => {
        const x = d.normal([3, n])
        const few = d.integers(9, [3, n])
        return [
          x,
          few,
          few.to('u8'),
          x.bfloat16(),
          x.double().mul(-1),
          few.gt(4),
          where(few.eq(3), tensor([NaN], { device: d.device }), x),
        ].flatMap(
          (t) =>
            [
              ...Object.values(t.sort(-1)),
              ...Object.values(t.sort(-1, { descending: true })),
              ...Object.values(t.topk(Math.min(n, 7))),
            ] as Tensor[],
        )
      },
    ),
    one('columns', (d) => Object.values(d.normal([40, 5]).sort(0)) as Tensor[]),
  ],
}

/** These compute what the CPU computes, step for step: to the bit. */
const exact = new Set(['copy', 'index', 'quant', 'random', 'sort'])

/** By name, as the folders of kernels/src/ops. */
export const families: Readonly<Record<string, readonly Case[]>> = Object.fromEntries(
  Object.entries(table).map(([name, cases]) => [
    name,
    exact.has(name) ? cases.map((c) => ({ ...c, slack: 0 })) : cases,
  ]),
)
