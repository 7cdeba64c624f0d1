// Sources of batches. Each is a function of (seed, step): what comes at a step depends on nothing that came before, so
// the cursor of a run is its step, and a resumed run sees exactly what it would have seen.
import { ShaktiError } from '@shakti/tensor'
import { random, shuffle } from './random.js'
import { pack, supervised, truncate, type Sample, type TokenBatch } from './samples.js'
import type { DataSource } from './types.js'

export interface BatchOptions<S, B> {
  /** Samples of one optimiser step. */
  batchSize: number
  /** Makes the batch. */
  collate: (samples: S[]) => B | Promise<B>
  /** Samples that go through the model at once (gradient accumulation); default: batchSize. */
  microBatchSize?: number
  /** Default 0. */
  seed?: number
  /** A new order every epoch. Default true. */
  shuffle?: boolean
  /** Length of a sample: those of similar length come together, which saves padding. Default: no grouping. */
  length?: (sample: S) => number
}

function positive(op: string, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1)
    throw new ShaktiError(op, `${name} is ${value}. It must be an integer from 1.`)
}

/** Remembers the last value: consecutive steps share an epoch, and the next may be asked for ahead of time. */
function remember<T>(make: (epoch: number) => T): (epoch: number) => T {
  const recent = new Map<number, T>()
  return (epoch) => {
    let value = recent.get(epoch)
    if (value === undefined) {
      if (recent.size > 1) recent.delete(recent.keys().next().value!)
      recent.set(epoch, (value = make(epoch)))
    }
    return value
  }
}

// Within so many batches samples are sorted by length: little padding, still a fresh mix each epoch.
const batchesPerSort = 50

/** Batches of a list of samples, epoch after epoch. What does not fill a last batch waits for the next epoch's order. */
export function batches<S, B>(samples: ArrayLike<S>, options: BatchOptions<S, B>): DataSource<B> {
  const {
    batchSize,
    collate,
    microBatchSize = batchSize,
    seed = 0,
    shuffle: mix = true,
    length,
  } = options
  positive('batches', 'batchSize', batchSize)
  positive('batches', 'microBatchSize', microBatchSize)
  const n = samples.length
  if (n < batchSize)
    throw new ShaktiError('batches', `${n} samples do not fill a batch of ${batchSize}.`)
  const perEpoch = Math.floor(n / batchSize)

  const order = remember((epoch) => {
    const next = random(seed, epoch)
    const all = Int32Array.from({ length: n }, (_, i) => i)
    if (mix) shuffle(all, next)
    if (!length) return all
    // Cut before sorting: cut after it, the longest samples would be left out of every epoch.
    const ids = all.subarray(0, perEpoch * batchSize)
    const chunk = batchSize * batchesPerSort
    for (let i = 0; i < ids.length; i += chunk)
      ids.subarray(i, i + chunk).sort((a, b) => length(samples[a]!) - length(samples[b]!) || a - b)
    if (!mix) return ids
    const firsts = shuffle(
      Int32Array.from({ length: perEpoch }, (_, i) => i * batchSize),
      next,
    )
    const grouped = new Int32Array(ids.length)
    firsts.forEach((first, i) => grouped.set(ids.subarray(first, first + batchSize), i * batchSize))
    return grouped
  })

  return {
    stepsPerEpoch: perEpoch,
    async batch(step) {
      const ids = order(Math.floor(step / perEpoch))
      const first = (step % perEpoch) * batchSize
      const out: B[] = []
      for (let at = 0; at < batchSize; at += microBatchSize) {
        const part = ids.subarray(first + at, first + Math.min(at + microBatchSize, batchSize))
        out.push(await collate(Array.from(part, (i) => samples[i]!)))
      }
      return out
    },
  }
}

export interface PackOptions {
  /** Tokens of a packed batch, at most; longer samples are truncated as `truncate` says. */
  length: number
  /** Packed batches of one optimiser step; default 1. */
  microBatches?: number
  seed?: number
  shuffle?: boolean
}

/**
 * Samples packed into rows of up to `length` tokens: no padding, and nothing crosses from one sequence to another (see
 * `pack`). Each epoch packs anew, a sample going into the first open row that has room.
 */
export function packed<I>(
  samples: readonly Sample<I>[],
  options: PackOptions,
): DataSource<TokenBatch<I>> {
  const { length, microBatches = 1, seed = 0, shuffle: mix = true } = options
  positive('packed', 'length', length)
  positive('packed', 'microBatches', microBatches)
  const kept = samples
    .map((s) => truncate(s, length))
    .filter((s) => s !== undefined && supervised(s) > 0) as Sample<I>[]
  if (kept.length === 0)
    throw new ShaktiError(
      'packed',
      `none of ${samples.length} samples fits into ${length} tokens with something to learn in it.`,
    )

  const rowsOf = (epoch: number): Sample<I>[][] => {
    const ids = Array.from(kept.keys())
    if (mix) shuffle(ids, random(seed, epoch))
    const rows: Sample<I>[][] = []
    const open: { row: Sample<I>[]; room: number }[] = []
    for (const id of ids) {
      const sample = kept[id]!
      let slot = open.find((o) => o.room >= sample.ids.length)
      if (!slot) {
        rows.push((slot = { row: [] as Sample<I>[], room: length }).row)
        open.push(slot)
        // Few rows stay open, else this is quadratic.
        if (open.length > 32) open.shift()
      }
      slot.row.push(sample)
      slot.room -= sample.ids.length
    }
    return rows
  }
  const rows = remember(rowsOf)
  // Orders differ in how many rows they need; the first one's number counts for all, so that steps map to epochs.
  const perEpoch = Math.max(1, Math.floor(rows(0).length / microBatches))

  return {
    stepsPerEpoch: perEpoch,
    batch(step) {
      const all = rows(Math.floor(step / perEpoch))
      const first = (step % perEpoch) * microBatches
      return Array.from({ length: microBatches }, (_, i) => pack(all[(first + i) % all.length]!))
    },
  }
}

/**
 * Batches made on the spot: an endless supply.
 * @param make gets the step and a generator of numbers in [0, 1) that depends on (seed, step) alone
 * @param options.kind what sort of data a step brings, from the same numbers; default: all steps are alike
 */
export function generated<B>(
  make: (step: number, next: () => number) => B | readonly B[] | Promise<B | readonly B[]>,
  options: { seed?: number; kind?: (step: number, next: () => number) => string } = {},
): DataSource<B> {
  const { seed = 0, kind } = options
  return {
    ...(kind ? { kind: (step: number) => kind(step, random(seed, step)) } : {}),
    async batch(step) {
      const made = await make(step, random(seed, step))
      return Array.isArray(made) ? (made as readonly B[]) : [made as B]
    },
  }
}

/** Several sources, one chosen for each step in proportion to its weight; each goes through its own data in order. */
export function mixed<B>(
  parts: readonly { source: DataSource<B>; weight: number }[],
  options: { seed?: number } = {},
): DataSource<B> {
  const { seed = 0 } = options
  const total = parts.reduce((sum, p) => sum + p.weight, 0)
  if (parts.length === 0 || parts.some((p) => !(p.weight >= 0)) || !(total > 0)) {
    throw new ShaktiError(
      'mixed',
      `weights are [${parts.map((p) => p.weight).join(', ')}]. They must be numbers from 0 with a sum above 0.`,
    )
  }
  const choice = (step: number): number => {
    let x = random(seed, step)() * total
    return Math.max(
      0,
      parts.findIndex((p) => (x -= p.weight) < 0),
    )
  }
  // How often the source was chosen before is counted once and extended: a step costs O(1) in order, O(n) after a jump.
  const chosen: number[] = []
  const before: number[] = []
  const counts = parts.map(() => 0)
  /** The source of a step, and the step that it is for that source. */
  const at = (step: number): { part: number; its: number } => {
    for (let s = chosen.length; s <= step; s++) {
      const c = choice(s)
      chosen.push(c)
      before.push(counts[c]!++)
    }
    return { part: chosen[step]!, its: before[step]! }
  }
  return {
    kind(step) {
      const { part, its } = at(step)
      return `${part}/${parts[part]!.source.kind?.(its) ?? ''}`
    },
    batch(step) {
      const { part, its } = at(step)
      return parts[part]!.source.batch(its)
    },
  }
}
