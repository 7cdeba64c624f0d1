import { clearCache, tidy, tidyAsync, zeros } from '@shakti/tensor'
import { sample } from '../lib/stats.js'
import type { Work } from './works.js'

/** Milliseconds of each run, from the call until its result is there, for about so many seconds. */
export type Measure = (seconds: number) => Promise<readonly number[]>

/** Sets a work up and lends `use` its measuring; what was made is freed when `use` is done. */
export async function withOurs(
  work: Work,
  use: (measure: Measure) => Promise<void>,
): Promise<void> {
  await tidyAsync(async () => {
    const run = work.setup()
    const mark = zeros([1])
    const once = (): void => {
      tidy(() => void run())
      // Any reading waits for all that was issued before.
      mark.dataSync()
    }
    once()
    await use((seconds) => sample(once, seconds))
  })
  clearCache()
}
