// One learned kernel for every patch size (FlexiViT, arXiv 2212.08013, section 3.4): the kernel for size p is the one whose
// tokens agree best with the learned kernel's on resized patches. It is linear in the learned one, so the matrix is a constant.
import { getDefaultDevice, tensor, type DeviceName, type Tensor } from '@shakti/tensor'

type Matrix = Float64Array[]

/** The matrix [to, from] of bilinear resizing in one dimension, half-pixel centres. */
export function resizeMatrix(from: number, to: number): Matrix {
  return Array.from({ length: to }, (_, i) => {
    const row = new Float64Array(from)
    const u = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1)
    const low = Math.floor(u)
    const high = Math.min(low + 1, from - 1)
    row[low]! += 1 - (u - low)
    row[high]! += u - low
    return row
  })
}

function multiply(a: Matrix, b: Matrix): Matrix {
  return a.map((row) => {
    const out = new Float64Array(b[0]!.length)
    row.forEach((v, k) => b[k]!.forEach((w, j) => (out[j]! += v * w)))
    return out
  })
}

const transpose = (a: Matrix): Matrix =>
  Array.from(a[0]!, (_, j) => Float64Array.from(a, (row) => row[j]!))

/** By Gauss-Jordan with pivots; the matrices here are small and well conditioned (PAPER.md 6.4). */
function inverse(m: Matrix): Matrix {
  const n = m.length
  const a = m.map((row, i) =>
    Float64Array.from({ length: 2 * n }, (_, j) => (j < n ? row[j]! : j - n === i ? 1 : 0)),
  )
  for (let c = 0; c < n; c++) {
    let p = c
    for (let r = c + 1; r < n; r++) if (Math.abs(a[r]![c]!) > Math.abs(a[p]![c]!)) p = r
    ;[a[c], a[p]] = [a[p]!, a[c]!]
    const pivot = a[c]![c]!
    a[c] = a[c]!.map((v) => v / pivot)
    for (let r = 0; r < n; r++) {
      const f = a[r]![c]!
      if (r !== c && f !== 0) a[r] = a[r]!.map((v, j) => v - f * a[c]![j]!)
    }
  }
  return a.map((row) => row.slice(n))
}

/** pinv(Rᵀ) of the one-dimensional resize R [to, from]: [to, from]. */
export function pseudoInverse(from: number, to: number): Matrix {
  const r = resizeMatrix(from, to)
  const rt = transpose(r)
  // Full column rank when enlarging, full row rank when shrinking.
  return to >= from ? multiply(r, inverse(multiply(rt, r))) : multiply(inverse(multiply(r, rt)), r)
}

const cache = new Map<string, Tensor>()

/** The matrix [base * base, p * p] that turns a learned kernel, flattened, into the one for patches of p x p. */
export function kernelResize(
  base: number,
  p: number,
  device: DeviceName = getDefaultDevice(),
): Tensor {
  const key = `${base}:${p} on ${device}`
  let t = cache.get(key)
  if (!t) {
    const one = pseudoInverse(base, p)
    const data = new Float32Array(base * base * p * p)
    for (let a = 0; a < base; a++) {
      for (let b = 0; b < base; b++) {
        for (let i = 0; i < p; i++) {
          for (let j = 0; j < p; j++)
            data[(a * base + b) * p * p + i * p + j] = one[i]![a]! * one[j]![b]!
        }
      }
    }
    t = tensor(data, { shape: [base * base, p * p], device })
    t.kept = true
    cache.set(key, t)
  }
  return t
}
