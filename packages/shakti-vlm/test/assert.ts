// What the test files share: the checks of nn's and tensor's tests, and the fixtures' numbers.
export { assert, assertClose, assertThrows, counts, test } from '../../nn/test/assert.js'
export { assertRejects as rejects } from '../../tensor/test/assert.js'

/** The numbers that fixtures/make.py fills tensors with. */
export function fill(k: number, n: number, plus = 0): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => Math.fround(0.2 * Math.sin(1.3 * i + k)) + plus)
}
