// What the test files share: the tensor package's checks, here with one number as both tolerances.
import { assertClose as within } from '../../tensor/test/assert.js'

export { assert, assertThrows, counts, test } from '../../tensor/test/assert.js'

/** Every element within tolerance * (1 + |want|); a failure names the worst one. */
export function assertClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance = 1e-4,
  what = 'values',
): void {
  within(got, want, { rtol: tolerance, atol: tolerance }, what)
}

/** The numbers that fixtures/make.py fills tensors with. */
export function fill(k: number, n: number, plus = 0): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => Math.fround(0.4 * Math.sin(1.3 * i + k)) + plus)
}
