// Every op against what PyTorch computed (fixtures/make.py): values and gradients, in each floating dtype, on operands
// that lie in order and on views that do not, and against finite differences in f64.
import { gradcheck, tensor, type Tensor } from '@shakti/tensor'
import { assert, test } from './assert.js'
import {
  cases,
  collect,
  contiguousOnly,
  dtypesOf,
  run,
  tensors,
  type Case,
  type Layout,
} from './ops-run.js'
import { table } from './ops-table.js'

for (const op of new Set(cases.map((c) => c.op))) {
  const mine = cases.filter((c) => c.op === op)
  test(`${op} equals PyTorch, forward and backward, in each dtype and layout`, () => {
    assert.ok(op in table, `${op} is missing in ops-table.ts`)
    const layouts: Layout[] = contiguousOnly.has(op) ? ['in order'] : ['in order', 'as views']
    collect(mine.flatMap((c) => dtypesOf(c).flatMap((d) => layouts.map((l) => () => run(c, d, l)))))
  })

  // Elements that a difference can be taken of: few, and away from the kinks that bf16-rounded inputs may hit.
  const smooth = mine.filter(
    (c) =>
      c.floats === true &&
      c.grads &&
      size(c) <= 130 &&
      !['floor', 'ceil', 'round', 'sign'].includes(op),
  )
  if (smooth.length === 0) continue
  test(`${op} has the gradient that finite differences give`, () => {
    collect(
      smooth.slice(0, 4).map((c) => () => {
        const inputs = c.in.map((i) => {
          const t = tensors[i!.t]!
          if (i!.fixed) return t.to('f32')
          // A shift off the grid of bf16 numbers, different for each element, parts ties and leaves kinks.
          return i!.grad ? jitter(t).requiresGrad_() : t
        })
        c.out.forEach((_, k) => {
          if (c.g![k] === null) return
          gradcheck((...args) => {
            const result = table[op]!(args as never, c.attrs)
            return result instanceof Array ? result[k]! : (result as Tensor)
          }, inputs)
        })
      }),
    )
  })
}

function size(c: Case): number {
  return c.in.reduce((n, i) => n + (i?.grad ? tensors[i.t]!.numel : 0), 0)
}

function jitter(t: Tensor): Tensor {
  const data = Float64Array.from(t.dataSync(), (v, i) => v + 0.0005 + 0.0001 * Math.sin(i * 7.3))
  return tensor(data, { shape: t.shape })
}

test('the table and the fixtures name the same ops', () => {
  assert.equal([...new Set(cases.map((c) => c.op))].sort(), Object.keys(table).sort())
})

test.run()
