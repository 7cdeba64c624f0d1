import { manualSeed, noGrad, randn, tensor } from '@shakti/tensor'
import { kernelResize, PatchEmbed, pseudoInverse, resizeMatrix } from '../src/index.js'
import { assert, assertClose, fill, test } from './assert.js'

/** R x Rᵀ: a patch of n x n resized to p x p. */
function resize(patch: ArrayLike<number>, n: number, p: number): Float64Array {
  const r = resizeMatrix(n, p)
  const out = new Float64Array(p * p)
  for (let i = 0; i < p; i++) {
    for (let j = 0; j < p; j++) {
      for (let a = 0; a < n; a++)
        for (let b = 0; b < n; b++) out[i * p + j]! += r[i]![a]! * r[j]![b]! * patch[a * n + b]!
    }
  }
  return out
}

test('a token of an enlarged patch equals the token of the patch, for every size from the base on', () => {
  // PAPER.md 6.4's oracle: <w, x> = <w_p, R x> for p >= base, to rounding.
  for (const [base, p] of [
    [4, 4],
    [4, 5],
    [4, 7],
    [4, 8],
    [6, 14],
    [14, 32],
  ] as const) {
    const w = Float64Array.from({ length: base * base }, (_, i) => Math.sin(3 * i))
    const x = Float64Array.from({ length: base * base }, (_, i) => Math.cos(5 * i + 1))
    const one = pseudoInverse(base, p)
    const wp = new Float64Array(p * p)
    for (let i = 0; i < p; i++) {
      for (let j = 0; j < p; j++) {
        for (let a = 0; a < base; a++)
          for (let b = 0; b < base; b++)
            wp[i * p + j]! += one[i]![a]! * one[j]![b]! * w[a * base + b]!
      }
    }
    const dot = (u: ArrayLike<number>, v: ArrayLike<number>): number =>
      Array.from(u).reduce((s, e, i) => s + e * v[i]!, 0)
    assertClose([dot(wp, resize(x, base, p))], [dot(w, x)], 1e-12, `base ${base}, p ${p}`)
  }
})

test('below the base the kernel is the least-squares one: the residue is orthogonal to what resizing can say', () => {
  const [base, p] = [6, 4]
  const r = resizeMatrix(base, p)
  const one = pseudoInverse(base, p)
  // w_p = pinv(Rᵀ) w solves the normal equations R Rᵀ w_p = R w.
  const w = Float64Array.from({ length: base }, (_, i) => Math.sin(2 * i))
  const wp = one.map((row) => row.reduce((s, v, k) => s + v * w[k]!, 0))
  const back = Array.from({ length: base }, (_, k) =>
    r.reduce((s, row, i) => s + row[k]! * wp[i]!, 0),
  )
  r.forEach((row) =>
    assertClose([row.reduce((s, v, k) => s + v * (w[k]! - back[k]!), 0)], [0], 1e-12),
  )
})

test('patch embedding of an enlarged image equals that of the image, through the tensors', () => {
  manualSeed(1)
  const [base, p] = [4, 6]
  const e = new PatchEmbed(5, base)
  const small = fill(2, 8 * 4 * 3)
  // Each channel of each patch is enlarged on its own.
  const large = new Float32Array(12 * 6 * 3)
  for (let patch = 0; patch < 2; patch++) {
    for (let c = 0; c < 3; c++) {
      const x = Float64Array.from(
        { length: 16 },
        (_, i) => small[((patch * 4 + (i >> 2)) * 4 + (i & 3)) * 3 + c]!,
      )
      resize(x, base, p).forEach(
        (v, i) => (large[((patch * 6 + Math.floor(i / 6)) * 6 + (i % 6)) * 3 + c] = v),
      )
    }
  }
  noGrad(() => {
    const a = e.forward(tensor(small, { shape: [1, 8, 4, 3] }), base)
    const b = e.forward(tensor(large, { shape: [1, 12, 6, 3] }), p)
    assert.equal(a.shape, [1, 2, 5])
    assertClose(b.dataSync(), a.dataSync(), 1e-5)
  })
})

test('the matrix of a size is made once, and gradients reach the learned kernel through it', () => {
  assert.is(kernelResize(4, 6), kernelResize(4, 6))
  const e = new PatchEmbed(2, 4)
  e.forward(randn([1, 6, 6, 3]), 6)
    .sum()
    .backward()
  assert.equal(e.weight.grad!.shape, [2, 3, 4, 4])
  assert.ok(e.weight.grad!.dataSync().some((v) => v !== 0))
})

test.run()
