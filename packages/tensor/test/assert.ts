// What every test file imports: uvu's `test` and `assert`, and the comparison of numbers. uvu appears here alone, so
// that it can be replaced.
import { memory } from '@shakti/tensor'
import * as assert from 'uvu/assert'

export { suite, test } from 'uvu'
export { assert }

export interface Tolerance {
  /** Relative to the wanted value. */
  readonly rtol?: number
  /** Absolute. */
  readonly atol?: number
}

const single = new Float32Array(1)
const bits = new Int32Array(single.buffer)

/** Place of `x` among all f32 values in their order, so that differences count representable values. */
function f32Place(x: number): number {
  single[0] = x
  const b = bits[0]!
  return b < 0 ? -(b & 0x7fffffff) : b
}

/** Distance of two numbers in units of the last place of f32. */
export function ulpDistance(a: number, b: number): number {
  return Math.abs(f32Place(a) - f32Place(b))
}

/** memory(), with nothing left of earlier tests that could vanish between two counts (the runner passes --expose-gc). */
export function counts(): ReturnType<typeof memory> {
  // Hands the gradients that wait over to the collector.
  memory()
  ;(globalThis as { gc?: () => void }).gc?.()
  return memory()
}

type Numbers = ArrayLike<number>

/** True when equal under the tolerance; NaN equals NaN, infinities equal themselves only. */
function close(got: number, want: number, rtol: number, atol: number): boolean {
  if (Object.is(got, want) || got === want) return true
  if (Number.isNaN(got) || Number.isNaN(want)) return Number.isNaN(got) && Number.isNaN(want)
  if (!Number.isFinite(got) || !Number.isFinite(want)) return false
  return Math.abs(got - want) <= atol + rtol * Math.abs(want)
}

/** How far outside the tolerance a pair lies, for finding the worst one. */
function excess(got: number, want: number, rtol: number, atol: number): number {
  const d = Math.abs(got - want) / (atol + rtol * Math.abs(want))
  return Number.isNaN(d) ? Infinity : d
}

/**
 * Every element within `atol + rtol * |want|`. A failure names the worst element, its index and its distance in units
 * of the last f32 place.
 */
export function assertClose(
  got: Numbers,
  want: Numbers,
  { rtol = 1e-5, atol = 1e-6 }: Tolerance = {},
  what = 'values',
): void {
  if (got.length !== want.length) {
    assert.unreachable(`${what}: ${got.length} elements, wanted ${want.length}`)
  }
  let bad = 0
  let worst = -1
  let worstBy = -1
  for (let i = 0; i < want.length; i++) {
    if (close(got[i]!, want[i]!, rtol, atol)) continue
    bad++
    const by = excess(got[i]!, want[i]!, rtol, atol)
    if (by > worstBy) {
      worstBy = by
      worst = i
    }
  }
  if (bad === 0) return
  const g = got[worst]!
  const w = want[worst]!
  assert.unreachable(
    `${what}: ${bad} of ${want.length} elements outside rtol ${rtol}, atol ${atol}; worst at ${worst}: ` +
      `got ${g}, wanted ${w}, off by ${Math.abs(g - w)} (${ulpDistance(g, w)} f32 ulp)`,
  )
}

/** `fn` throws an error of class `type` whose text holds every one of `parts`. Returns the error. */
export function assertThrows<E extends Error>(
  fn: () => unknown,
  type: abstract new (...args: never[]) => E,
  ...parts: string[]
): E {
  try {
    fn()
  } catch (error) {
    return checkError(error, type, parts)
  }
  return assert.unreachable(`expected ${type.name}, nothing was thrown`) as never
}

/** As `assertThrows`, for a promise. */
export async function assertRejects<E extends Error>(
  promise: Promise<unknown>,
  type: abstract new (...args: never[]) => E,
  ...parts: string[]
): Promise<E> {
  try {
    await promise
  } catch (error) {
    return checkError(error, type, parts)
  }
  return assert.unreachable(`expected ${type.name}, nothing was thrown`) as never
}

function checkError<E extends Error>(
  error: unknown,
  type: abstract new (...args: never[]) => E,
  parts: string[],
): E {
  if (!(error instanceof type)) throw error
  for (const part of parts) {
    if (!error.message.includes(part)) {
      assert.unreachable(`the message '${error.message}' does not name '${part}'`)
    }
  }
  return error
}
