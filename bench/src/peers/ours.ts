import { clearCache, tidy, tidyAsync, zeros } from '@shakti/tensor'
import { sample } from '../lib/stats.js'
import type { Work } from './works.js'

/** Milliseconds of each run, from the call until its result is there, for about so many seconds. */
export type Measure = (seconds: number) => Promise<readonly number[]>

/** Runs, until the result is there. */
function issued(run: () => unknown): () => void {
  const mark = zeros([1])
  return () => {
    tidy(() => void run())
    // Any reading waits for all that was issued before.
    mark.dataSync()
  }
}

/** Sets a work up and lends `use` its measuring; what was made is freed when `use` is done. */
export async function withOurs(
  work: Work,
  use: (measure: Measure) => Promise<void>,
): Promise<void> {
  await tidyAsync(async () => {
    const once = 'setupTimed' in work ? work.setupTimed() : issued(work.setup())
    await once()
    await use((seconds) => sample(once, seconds))
  })
  clearCache()
}
