// Element by element and place by place: arithmetic, moves, indices, pictures, the optimiser, random numbers.
import {
  adamw_,
  arange,
  cat,
  dropout,
  embedding,
  full,
  globalNorm,
  interpolate,
  multinomial,
  randint,
  randn,
  randperm,
  rand,
  swiglu,
  truncatedNormal,
  where,
  type Tensor,
} from '@shakti/tensor'
import { type Case, sizes, floats, many, one, each } from '../deal.js'

export const elements: Readonly<Record<string, readonly Case[]>> = {
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
          source.clone().indexCopy_(0, d.integers(5, [9]), d.normal([9, n])),
          source
            .clone()
            .mT()
            .indexCopy_(1, d.integers(5, [2]), d.normal([n, 2])),
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
}
