// What a list of times says: the middle of it, and how far its middle half spreads. Means would be carried by the few
// runs in which a neighbour on the machine was busy.

export interface Spread {
  readonly median: number
  /** A quarter of the runs took less. */
  readonly q1: number
  /** A quarter took more. */
  readonly q3: number
  readonly samples: number
}

/** Median and quartiles, between neighbours by linear interpolation. */
export function spreadOf(times: readonly number[]): Spread {
  if (times.length === 0) throw new RangeError('spreadOf: no times.')
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number => {
    const place = share * (sorted.length - 1)
    const below = sorted[Math.floor(place)]!
    return below + (sorted[Math.ceil(place)]! - below) * (place % 1)
  }
  return { median: at(0.5), q1: at(0.25), q3: at(0.75), samples: sorted.length }
}

/** Half the distance of the quartiles, in percent of the median. */
export const plusMinus = ({ median, q1, q3 }: Spread): number => (50 * (q3 - q1)) / median

/**
 * Milliseconds of run after run, each from the call until the result is there, for about so many seconds. The same loop
 * as in the peers' programs (serve.h, torch_common.py).
 * @param run may tell which milliseconds count, where they are not all
 */
export async function sample(
  run: () => void | Promise<void | number>,
  seconds: number,
): Promise<readonly number[]> {
  await run()
  const times: number[] = []
  const end = performance.now() + seconds * 1e3
  while (times.length < 2 || (performance.now() < end && times.length < 2000)) {
    const start = performance.now()
    const done = run()
    const told = done && (await done)
    times.push(told ?? performance.now() - start)
  }
  return times
}
