// The loss that never holds all logits: equal to the one that does, and in less memory.
import {
  AutogradError,
  DTypeError,
  crossEntropy,
  linearCrossEntropy,
  manualSeed,
  memory,
  noGrad,
  randint,
  randn,
  ShaktiError,
  ShapeError,
  tensor,
  tidy,
  type CrossEntropyOptions,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, test } from './assert.js'

const [n, d, classes] = [37, 24, 50]

interface Outcome {
  readonly loss: Tensor
  readonly hidden: Tensor
  readonly weight: Tensor
}

/** Loss and gradients of a function of the same hidden states and weights; 3 multiplies the loss. */
function outcome(dtype: DType, f: (hidden: Tensor, weight: Tensor) => Tensor): Outcome {
  manualSeed(4)
  const hidden = randn([n, d]).to(dtype).requiresGrad_()
  const weight = randn([classes, d]).to(dtype).requiresGrad_()
  const loss = f(hidden, weight)
  loss.mul(3).backward()
  return { loss, hidden: hidden.grad!, weight: weight.grad! }
}

manualSeed(3)
const target = randint(0, classes, [n])
const withIgnored = tensor(
  Int32Array.from(target.dataSync() as Int32Array, (v, i) => (i % 5 === 0 ? 7 : v)),
)

const cases: readonly [string, Tensor, CrossEntropyOptions & { reduction?: 'mean' | 'sum' }][] = [
  ['the mean', target, {}],
  ['the sum', target, { reduction: 'sum' }],
  ['label smoothing', target, { labelSmoothing: 0.1 }],
  ['an ignored class', withIgnored, { ignoreIndex: 7, labelSmoothing: 0.2 }],
]
const tolerance = {
  f64: { rtol: 1e-12, atol: 1e-12 },
  f32: { rtol: 1e-5, atol: 1e-5 },
  bf16: { rtol: 2e-2, atol: 2e-2 },
} as const

for (const [what, labels, options] of cases) {
  for (const dtype of ['f64', 'f32', 'bf16'] as const) {
    test(`${what} in ${dtype} equals linear and crossEntropy, for any number of rows at a time`, () => {
      tidy(() => {
        const want = outcome(dtype, (h, w) => crossEntropy(h.linear(w), labels, options))
        for (const rows of [1, 5, n, undefined]) {
          const got = outcome(dtype, (h, w) =>
            linearCrossEntropy(h, w, labels, { ...options, ...(rows ? { rows } : {}) }),
          )
          // The products of few rows add up in another order.
          const few = { rtol: dtype === 'bf16' ? 1e-3 : tolerance[dtype].rtol }
          assertClose(got.loss.dataSync(), want.loss.dataSync(), few, `rows ${rows}`)
          for (const name of ['hidden', 'weight'] as const) {
            assert.is(got[name].dtype, dtype)
            assertClose(
              got[name].double().dataSync(),
              want[name].double().dataSync(),
              tolerance[dtype],
              `${name}, rows ${rows}`,
            )
          }
        }
      })
    })
  }
}

test('a frozen operand gets no gradient, and without any the loss is the same', () => {
  tidy(() => {
    const [h, w] = [randn([n, d], { requiresGrad: true }), randn([classes, d])]
    const loss = linearCrossEntropy(h, w, target)
    loss.backward()
    assert.ok(h.grad)
    assert.is(w.grad, undefined)
    const again = noGrad(() => linearCrossEntropy(h, w, target))
    assert.not(again.requiresGrad)
    assert.is(again.itemSync(), loss.itemSync())
    const [h2, w2] = [h.detach(), randn([classes, d], { requiresGrad: true })]
    linearCrossEntropy(h2, w2, target).backward()
    assert.ok(w2.grad)
  })
})

test('no rows give 0 as a sum and NaN as a mean', () => {
  tidy(() => {
    const [h, w, t] = [randn([0, d]), randn([classes, d]), tensor(new Int32Array(0))]
    assert.is(linearCrossEntropy(h, w, t, { reduction: 'sum' }).itemSync(), 0)
    assert.ok(Number.isNaN(linearCrossEntropy(h, w, t).itemSync()))
  })
})

test('memory: a few rows of logits at a time, never all', () => {
  const [many, vocabulary, width, rows] = [2048, 8192, 16, 64]
  const allLogits = 4 * many * vocabulary
  tidy(() => {
    const [h, w] = [
      randn([many, width], { requiresGrad: true }),
      randn([vocabulary, width], { requiresGrad: true }),
    ]
    const labels = randint(0, vocabulary, [many])
    h.sum().itemSync()
    const before = memory().peakBytes
    linearCrossEntropy(h, w, labels, { rows }).backward()
    h.grad!.sum().itemSync()
    const chunked = memory().peakBytes - before
    assert.ok(chunked < allLogits / 8, `${chunked} bytes, all logits are ${allLogits}`)
    // What it is compared with does hold them.
    crossEntropy(h.linear(w), labels).backward()
    h.grad!.sum().itemSync()
    assert.ok(memory().peakBytes - before > allLogits)
  })
})

test('second derivatives, unlike shapes and dtypes, and unknown options are refused', () => {
  const [h, w] = [randn([n, d], { requiresGrad: true }), randn([classes, d])]
  assertThrows(
    () => linearCrossEntropy(h, w, target).backward(undefined, { createGraph: true }),
    AutogradError,
    'second derivative',
  )
  assertThrows(() => linearCrossEntropy(h, w.mT(), target), ShapeError, '[37, 24]', '[24, 50]')
  assertThrows(() => linearCrossEntropy(h, w, target.narrow(0, 1, 3)), ShapeError, '[3]')
  assertThrows(() => linearCrossEntropy(h, w.to('bf16'), target), DTypeError, 'bf16')
  assertThrows(() => linearCrossEntropy(h, w, target, { rows: 0 }), ShaktiError, '0')
  assertThrows(
    () => linearCrossEntropy(h, w, target, { reduction: 'none' as never }),
    ShaktiError,
    'none',
  )
})

test.run()
