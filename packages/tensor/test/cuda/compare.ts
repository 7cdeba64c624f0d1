// Results of the GPU beside the CPU's.
import type { DType, Tensor } from '@shakti/tensor'

const rounding: Partial<Record<DType, number>> = {
  f64: 2 ** -45,
  f32: 2 ** -20,
  f16: 2 ** -10,
  bf16: 2 ** -7,
}

export interface Numbers {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: ArrayLike<number | bigint> & { readonly buffer: ArrayBufferLike }
}

/** What a tensor holds. */
export const numbersOf = (t: Tensor): Numbers =>
  ({ dtype: t.dtype, shape: t.shape, data: t.dataSync() }) as never

/** The first result that is too far off, in words. Numbers near 0 are not asked for more digits than their terms had, of about that size. */
export function difference(
  got: readonly Numbers[],
  want: readonly Numbers[],
  slack: number,
  terms = 1 / 16,
): string {
  if (got.length !== want.length) return `${got.length} results, the CPU has ${want.length}`
  for (const [i, g] of got.entries()) {
    const w = want[i]!
    if (g.dtype !== w.dtype || String(g.shape) !== String(w.shape))
      return `result ${i} is ${g.dtype}[${g.shape.join()}], the CPU's ${w.dtype}[${w.shape.join()}]`
    const eps = (rounding[g.dtype] ?? 0) * slack
    let largest = terms
    for (let k = 0; k < w.data.length; k++) {
      const v = Math.abs(Number(w.data[k]))
      if (v > largest && v < Infinity) largest = v
    }
    for (let k = 0; k < w.data.length; k++) {
      const [a, b] = [Number(g.data[k]), Number(w.data[k])]
      if (Object.is(a, b) || a === b) continue
      if (Math.abs(a - b) <= eps * largest) continue
      return `result ${i}, ${g.dtype}[${g.shape.join()}], element ${k}: ${a}, the CPU has ${b}`
    }
  }
  return ''
}
