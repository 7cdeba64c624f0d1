// What goes along rows and heads: norms, softmax, losses, rotations, reductions, sorting.
import {
  crossEntropy,
  full,
  layerNorm,
  linearCrossEntropy,
  normRope,
  randn,
  rmsNorm,
  rope,
  tensor,
  where,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { each, floats, many, one, sizes, type Case, type Deal } from '../deal.js'

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

export const rows: Readonly<Record<string, readonly Case[]>> = {
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
