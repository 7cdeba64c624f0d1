// The tape itself: what is recorded, in which order gradients add up, and the tools around it. Rules of single ops are
// in ops.test.ts.
import {
  AutogradError,
  DTypeError,
  ShapeError,
  arange,
  checkpoint,
  clipGradNorm_,
  customFunction,
  detectAnomaly,
  dropout,
  embedding,
  gradcheck,
  interpolate,
  isGradEnabled,
  keep,
  manualSeed,
  memory,
  noGrad,
  ones,
  profile,
  randn,
  tensor,
  tidy,
  where,
  zeros,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, counts, test } from './assert.js'

const values = (t: Tensor | undefined): number[] => [...t!.dataSync()]
const leaf = (...data: number[]): Tensor => tensor(data, { requiresGrad: true })

test('gradients of disjoint parts of one tensor are put in their places without adding', async () => {
  const x = leaf(1, 2, 3, 4, 5, 6)
  const profiled = await profile(() =>
    tidy(() => {
      const [a, b, c] = x.mul(1).reshape([3, 2]).unbind(0) as [Tensor, Tensor, Tensor]
      a.mul(2).add(b.mul(3)).add(c.mul(4)).sum().backward()
    }),
  )
  const calls = (name: string): number => profiled.find(({ op }) => op === name)?.calls ?? 0
  assert.equal(values(x.grad), [2, 2, 3, 3, 4, 4])
  assert.is(calls('add'), 2, 'those of the forward pass')
  assert.is(calls('fill'), 2, 'the seed, and one tensor for the three parts')
})

test('gradients of parts that overlap, repeat, lie in other dimensions or meet the whole add up', () => {
  const grad = (f: (y: Tensor) => Tensor): number[] => {
    const x = leaf(1, 2, 3, 4)
    f(x.mul(1)).backward()
    return values(x.grad)
  }
  assert.equal(
    grad((y) =>
      y
        .narrow(0, 0, 3)
        .sum()
        .add(y.narrow(0, 2, 2).mul(10).sum()),
    ),
    [1, 1, 11, 10],
  )
  assert.equal(
    grad((y) =>
      y
        .narrow(0, 0, 2)
        .sum()
        .add(y.narrow(0, 0, 2).mul(10).sum()),
    ),
    [11, 11, 0, 0],
  )
  assert.equal(
    grad((y) =>
      y
        .narrow(0, 0, 2)
        .sum()
        .add(y.mul(10).sum())
        .add(y.narrow(0, 2, 2).sum()),
    ),
    [11, 11, 11, 11],
  )
  assert.equal(
    grad((y) => {
      const square = y.reshape([2, 2])
      return square.select(0, 0).sum().add(square.select(1, 1).mul(10).sum())
    }),
    [1, 11, 0, 10],
  )
  assert.equal(
    grad((y) =>
      y
        .slice([0, 4, 2])
        .sum()
        .add(y.slice([1, 4, 2]).mul(10).sum()),
    ),
    [1, 10, 1, 10],
  )
})

test('gradients of two backward calls add up, and start anew when grad is cleared', () => {
  const w = leaf(1, 2)
  w.mul(3).sum().backward()
  w.square().sum().backward()
  assert.equal(values(w.grad), [5, 7])
  w.grad = undefined
  w.mul(2).sum().backward()
  assert.equal(values(w.grad), [2, 2])
})

test('a tensor used several times gets the sum over all uses', () => {
  const x = leaf(2, 3)
  x.mul(x).add(x).add(x.neg().exp().mul(0)).sum().backward()
  assert.equal(values(x.grad), [5, 7])
})

test('clipGradNorm_ brings the gradients taken together down to a length, and returns the one before', () => {
  const [a, b, unused] = [leaf(1, 1), leaf(1), leaf(1)]
  a.mul(tensor([3, 0]))
    .sum()
    .add(b.mul(4).sum())
    .backward()
  assertClose(clipGradNorm_([a, b, unused], 1).dataSync(), [5])
  assertClose(a.grad!.dataSync(), [0.6, 0])
  assertClose(b.grad!.dataSync(), [0.8])
  clipGradNorm_([a, b], 10)
  assertClose(b.grad!.dataSync(), [0.8])
  assert.equal(values(clipGradNorm_([unused], 1)), [0])
})

test('thousands of shares of a 16-bit gradient add up, whichever op handed them out', () => {
  const n = 3000
  const ids = zeros([n], { dtype: 'i32' })
  const shares: Record<string, (x: Tensor) => Tensor> = {
    indexSelect: (x) => x.indexSelect(0, ids),
    gather: (x) => x.gather(0, ids),
    take: (x) => x.take(ids),
    expand: (x) => x.expand([n]),
    embedding: (x) => embedding(ids, x.reshape([1, 1])),
    interpolate: (x) => interpolate(x.reshape([1, 1, 1, 1]), { size: [30, 100] }),
  }
  for (const dtype of ['bf16', 'f16'] as const) {
    for (const [op, share] of Object.entries(shares)) {
      const x = zeros([1], { dtype, requiresGrad: true })
      share(x).sum().backward()
      assert.equal(values(x.grad), values(tensor([n]).to(dtype).float()), `${op} ${dtype}`)
      assert.is(x.grad!.dtype, dtype)
    }
    const sum = zeros([1], { dtype }).scatterAdd(0, ids, ones([n], { dtype }))
    assert.equal(values(sum), values(tensor([n]).to(dtype)))
  }
})

test('a diamond of shared results is walked once a node', () => {
  const x = leaf(1)
  let y = x.mul(1)
  for (let i = 0; i < 40; i++) y = y.add(y)
  y.sum().backward()
  assert.equal(values(x.grad), [2 ** 40])
})

test('a chain of 20,000 operations does not overflow the stack', () => {
  const x = leaf(1)
  let y = x.add(0)
  for (let i = 0; i < 20_000; i++) y = y.add(1e-4)
  y.sum().backward()
  assert.equal(values(x.grad), [1])
})

test('noGrad records nothing, detach stops the gradient, and both nest', () => {
  const x = leaf(2)
  const y = noGrad(() => {
    assert.not(isGradEnabled())
    return noGrad(() => x.mul(2))
  })
  assert.ok(isGradEnabled())
  assert.not(y.requiresGrad)
  x.mul(x.detach()).sum().backward()
  assert.equal(values(x.grad), [2])
})

test('the result of a comparison or an integer op needs no gradient', () => {
  const x = leaf(1, -1)
  assert.not(x.gt(0).requiresGrad)
  assert.not(x.argmax(0).requiresGrad)
  where(x.gt(0), x, x.mul(-3)).sum().backward()
  assert.equal(values(x.grad), [1, -3])
})

test('only leaves that ask get a gradient', () => {
  const a = leaf(1, 2)
  const b = tensor([3, 4])
  a.mul(b).sum().backward()
  assert.is(b.grad, undefined)
  assert.ok(a.isLeaf)
  assert.not(a.mul(b).isLeaf)
})

test('a gradient can be given, of the right shape and dtype only', () => {
  const x = leaf(1, 2)
  const y = x.mul(2)
  assertThrows(() => y.backward(ones([3])), ShapeError, '[3]', '[2]')
  assertThrows(() => y.backward(ones([2], { dtype: 'f64' })), DTypeError, 'f64', 'f32')
  y.backward(tensor([10, 100]))
  assert.equal(values(x.grad), [20, 200])
})

test('a second backward through a freed graph is refused; retainGraph allows it', () => {
  const x = leaf(3)
  const y = x.square().sum()
  y.backward(undefined, { retainGraph: true })
  y.backward()
  assert.equal(values(x.grad), [12])
  assertThrows(() => y.backward(), AutogradError)
})

test('createGraph gives second derivatives', () => {
  const x = leaf(2, 3)
  x.pow(3).sum().backward(undefined, { createGraph: true })
  const g = x.grad!
  assert.equal(values(g), [12, 27])
  const first = keep(g.mul(1))
  x.grad = undefined
  first.sum().backward()
  assert.equal(values(x.grad), [12, 18])
})

test('the gradient through a cast comes back in the leaf dtype', () => {
  const x = leaf(1.5, 2.5)
  x.to('bf16').mul(3).to('f64').sum().backward()
  assert.is(x.grad!.dtype, 'f32')
  assert.equal(values(x.grad), [3, 3])
})

test('views share gradients with their base', () => {
  const x = tensor(
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    { requiresGrad: true },
  )
  x.mT()
    .slice([1, 3])
    .mul(
      tensor([
        [1, 10],
        [100, 1000],
      ]),
    )
    .sum()
    .backward()
  assert.equal(x.grad!.toArraySync(), [
    [0, 1, 100],
    [0, 10, 1000],
  ])
})

test('the gradient of a weight that is used transposed is not copied, unless somebody else holds its memory', async () => {
  manualSeed(4)
  const [x, w] = [randn([5, 3]), randn([4, 3]).requiresGrad_()]
  const want = x.sum(0).dataSync()
  const profiled = await profile(() => tidy(() => x.linear(w).sum().backward()))
  assert.ok(profiled.some((p) => p.op === 'matmul'))
  assert.not(profiled.some((p) => p.op === 'copy'))
  const taken = w.grad!
  for (const row of [0, 3]) assertClose(taken.select(0, row).dataSync(), want, { rtol: 1e-6 })

  const [a, b] = [leaf(1, 2), leaf(3, 4)]
  const given = ones([2])
  const both = a
    .reshape([2, 1])
    .reshape([2])
    .add(b.reshape([2, 1]).reshape([2]))
  both.registerHook(() => given)
  both.backward(ones([2]))
  noGrad(() => {
    given.mul_(5)
    a.grad!.mul_(7)
  })
  assert.equal(
    [values(a.grad), values(b.grad)],
    [
      [7, 7],
      [1, 1],
    ],
  )
})

test('broadcast operands get gradients of their own shapes', () => {
  const a = ones([3, 1, 2], { requiresGrad: true })
  const b = ones([4, 1], { requiresGrad: true })
  a.mul(b).sum().backward()
  assert.equal(a.grad!.shape, [3, 1, 2])
  assert.equal(b.grad!.shape, [4, 1])
  assert.equal(values(a.grad), Array(6).fill(4))
  assert.equal(values(b.grad), Array(4).fill(6))
})

test('gradients of tensors without elements have no elements', () => {
  const x = zeros([0, 3], { requiresGrad: true })
  const w = ones([2, 3], { requiresGrad: true })
  x.linear(w).sum().backward()
  assert.equal(x.grad!.shape, [0, 3])
  assert.equal(values(w.grad), Array(6).fill(0))
})

test('an operand that was overwritten after it was saved is noticed', () => {
  const w = leaf(1, 2)
  const x = tensor([3, 4])
  const y = w.mul(x).sum()
  x.fill_(0)
  const error = assertThrows(() => y.backward(), AutogradError)
  assert.match(error.message, /mul/)
})

test('writing in place into a tensor that the tape follows is refused outside of noGrad', () => {
  const w = leaf(1)
  assertThrows(() => w.fill_(0), AutogradError, '[fill_]')
  noGrad(() => w.fill_(5))
  assert.equal(values(w), [5])
  assertThrows(() => noGrad(() => w.mul(2)) && w.mul(2).zero_(), AutogradError)
})

test('hooks see and replace gradients; retainGrad keeps them', () => {
  const x = leaf(1, 2)
  const y = x.mul(3)
  const seen: number[][] = []
  y.registerHook((g) => {
    seen.push(values(g))
    return g.mul(10)
  })
  const z = y.mul(2)
  z.retainGrad()
  z.sum().backward()
  assert.equal(seen, [[2, 2]])
  assert.equal(values(z.grad), [1, 1])
  assert.equal(values(x.grad), [60, 60])
  assertThrows(() => x.registerHook(() => undefined), AutogradError)
})

test('checkpoint gives the same gradients, also for parameters it closes over and with dropout', () => {
  manualSeed(4)
  const w = randn([6, 5], { requiresGrad: true })
  const x = randn([4, 5], { requiresGrad: true })
  const f = (t: Tensor): Tensor => dropout(t.linear(w).gelu(), 0.5)
  manualSeed(9)
  f(x).square().sum().backward()
  const [gw, gx] = [values(w.grad), values(x.grad)]
  w.grad = x.grad = undefined
  manualSeed(9)
  checkpoint(f, x).square().sum().backward()
  assertClose(values(w.grad), gw, { rtol: 1e-6 })
  assertClose(values(x.grad), gx, { rtol: 1e-6 })
})

test('checkpoint keeps less than the function itself', () => {
  const x = randn([64, 64], { requiresGrad: true })
  const deep = (t: Tensor): Tensor => {
    let y = t
    for (let i = 0; i < 10; i++) y = y.tanh().mul(1.1)
    return y
  }
  const bytes = (f: () => Tensor): number => {
    const before = counts().liveBytes
    return tidy(() => {
      const y = tidy(f)
      const held = memory().liveBytes - before
      y.sum().backward()
      return held
    })
  }
  const plain = bytes(() => deep(x))
  const recomputed = bytes(() => checkpoint(deep, x))
  assert.ok(recomputed * 4 < plain, `${recomputed} bytes against ${plain}`)
})

test('a function with a rule of its own uses it', () => {
  const clipped = customFunction(
    'clipped',
    (x: Tensor) => x.clamp(-1, 1),
    (g) => [g.mul(7)],
  )
  const x = leaf(-5, 0.5)
  clipped(x).sum().backward()
  assert.equal(values(x.grad), [7, 7])
})

test('gradcheck accepts a right rule and refuses a wrong one with the element', () => {
  const x = tensor(Float64Array.of(0.3, -0.7), { requiresGrad: true })
  gradcheck((t) => t.exp().mul(t), [x])
  const wrong = customFunction(
    'wrong',
    (t: Tensor) => t.square(),
    (g, { inputs: [t] }) => [g.mul(t.mul(2.01))],
  )
  assertThrows(() => gradcheck((t) => wrong(t), [x]), AutogradError, 'input 0')
  assertThrows(() => gradcheck((t) => t, [leaf(1)]), AutogradError, 'f64')
})

test('detectAnomaly names the op that made the first NaN, forward and backward', () => {
  const x = leaf(-1, 4)
  const forward = assertThrows(
    () => detectAnomaly(() => x.add(1).mul(2).sub(3).log()),
    AutogradError,
    'log',
  )
  assert.is(forward.op, 'log')
  const y = leaf(0, 4)
  assertThrows(() => detectAnomaly(() => y.sqrt().sum().backward()), AutogradError)
})

test('integer leaves cannot require gradients', () => {
  assertThrows(() => arange(3).requiresGrad_(), DTypeError)
  assertThrows(() => tensor([1], { dtype: 'i64', requiresGrad: true }), DTypeError)
})

test.run()
