// What the test files share: comparison of numbers, and errors checked by class and text.
import * as assert from 'uvu/assert'

export { test } from 'uvu'
export { assert }

/** Every element within atol + rtol * |want|; a failure names the worst one. */
export function assertClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance = 1e-4,
  what = 'values',
): void {
  assert.is(got.length, want.length, `${what}: number of elements`)
  let worst = -1
  let by = 0
  for (let i = 0; i < want.length; i++) {
    const off = Math.abs(got[i]! - want[i]!) / (tolerance * (1 + Math.abs(want[i]!)))
    if (!(off <= 1) && !(off <= by)) [worst, by] = [i, off]
  }
  if (worst >= 0)
    assert.unreachable(
      `${what}: worst at ${worst}: got ${got[worst]}, wanted ${want[worst]} (tolerance ${tolerance})`,
    )
}

/** `fn` throws an error of class `type` whose text holds every part. */
export function assertThrows<E extends Error>(
  fn: () => unknown,
  type: abstract new (...args: never[]) => E,
  ...parts: string[]
): E {
  let error: unknown
  try {
    fn()
  } catch (e) {
    error = e
  }
  if (error === undefined) assert.unreachable(`expected ${type.name}, nothing was thrown`)
  if (!(error instanceof type)) throw error
  for (const part of parts)
    assert.ok(error.message.includes(part), `'${error.message}' does not name '${part}'`)
  return error
}

/** The numbers that fixtures/make.py fills tensors with. */
export function fill(k: number, n: number, plus = 0): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => Math.fround(0.2 * Math.sin(1.3 * i + k)) + plus)
}

/** As `assertThrows`, for a promise. */
export async function rejects<E extends Error>(
  promise: Promise<unknown>,
  type: abstract new (...args: never[]) => E,
  ...parts: string[]
): Promise<void> {
  let error: unknown
  try {
    await promise
  } catch (e) {
    error = e
  }
  assertThrows(
    () => {
      if (error !== undefined) throw error as Error
    },
    type,
    ...parts,
  )
}
