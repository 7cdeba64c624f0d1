// The fused op against the two that it replaces; PyTorch's numbers and finite differences are in ops.test.ts.
import {
  deviceInfo,
  manualSeed,
  normRope,
  randn,
  rmsNorm,
  rope,
  setNumThreads,
  tensor,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, test } from './assert.js'

/** Cosines and sines of any angles: [rows, length, half]. */
function angles(rows: number, length: number, half: number): { cos: Tensor; sin: Tensor } {
  const of = (f: (a: number) => number): Tensor =>
    tensor(
      Float32Array.from({ length: rows * length * half }, (_, i) => f(0.7 * i)),
      { shape: [rows, length, half] },
    )
  return { cos: of(Math.cos), sin: of(Math.sin) }
}

/** Result, and gradients of qkv and the weight, of queries and keys that are views of one tensor. */
function outcome(
  fn: (x: Tensor, w: Tensor) => Tensor,
  [b, l, h, d]: readonly [number, number, number, number],
  dtype: DType,
): Tensor[] {
  manualSeed(5)
  const qkv = randn([b, l, 3, h, d], { dtype, requiresGrad: true })
  const weight = randn([d], { dtype, requiresGrad: true })
  const [q, k] = [0, 1].map((i) => fn(qkv.select(2, i), weight))
  // The gradient of k comes as a view whose last dimension does not lie in order.
  const g = randn([b, l, d, h], { dtype }).transpose(2, 3)
  q!.mul(2).add(k!.mul(g)).sum().backward()
  return [q!, k!, qkv.grad!, weight.grad!]
}

const tolerance = { f64: 1e-13, f32: 3e-6, f16: 4e-3, bf16: 3e-2 }

for (const [dtype, tol] of Object.entries(tolerance) as [keyof typeof tolerance, number][]) {
  test(`normRope is rope of rmsNorm, gradients too, on views of one qkv tensor (${dtype})`, () => {
    for (const shape of [
      [1, 1, 1, 2],
      [2, 5, 3, 6],
      [2, 23, 3, 34],
      [1, 70, 2, 64],
      [1, 2, 1, 4096],
    ] as const) {
      const [b, l, , d] = shape
      for (const rows of new Set([1, b])) {
        const { cos, sin } = angles(rows, l, d / 2)
        const got = outcome((x, w) => normRope(x, w, cos, sin, 1e-5), shape, dtype)
        const want = outcome((x, w) => rope(rmsNorm(x, w, 1e-5), cos, sin), shape, dtype)
        got.forEach((t, i) => {
          const expected = want[i]!.dataSync()
          const largest = Math.max(...Array.from(expected, Math.abs))
          assertClose(t.dataSync(), expected, { rtol: tol, atol: tol * largest }, `${shape} ${i}`)
        })
      }
    }
  })
}

test('16-bit heads are rounded once, at the end', () => {
  const { cos, sin } = angles(1, 9, 20)
  for (const dtype of ['bf16', 'f16'] as const) {
    const [x, w] = [randn([2, 9, 3, 40], { dtype }), randn([40], { dtype })]
    const wide = normRope(x.to('f32'), w.to('f32'), cos, sin)
    assert.equal(normRope(x, w, cos, sin).dataSync(), wide.to(dtype).dataSync())
    assert.equal(normRope(x, w.to('f32'), cos, sin).dataSync(), wide.to(dtype).dataSync())
  }
})

test('the number of threads changes no bit of the result or of the gradients', () => {
  const { threads: usual } = deviceInfo()
  const { cos, sin } = angles(1, 300, 16)
  const run = (threads: number): ArrayLike<number>[] => {
    setNumThreads(threads)
    return outcome((x, w) => normRope(x, w, cos, sin), [2, 300, 5, 32], 'f32').map((t) =>
      t.dataSync(),
    )
  }
  try {
    const one = run(1)
    for (const threads of [2, 3]) assert.equal(run(threads), one)
  } finally {
    setNumThreads(usual)
  }
})

test.run()
