// Random numbers of the data side: functions of (seed, step) alone, apart from the tensors' generator, so that batches
// can be made ahead of time and again.

/** 32 bits from a list of numbers; murmur3's finaliser after each. */
export function hash(...values: number[]): number {
  let h = 0x9e3779b9
  for (const v of values) {
    // Both halves of a 53-bit integer count.
    for (const part of [v | 0, Math.floor(v / 2 ** 32) | 0]) {
      h = Math.imul(h ^ part, 0x85ebca6b)
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
      h ^= h >>> 16
    }
  }
  return h >>> 0
}

/** A generator of numbers in [0, 1): mulberry32, started from (seed, ...keys). */
export function random(seed: number, ...keys: number[]): () => number {
  let a = hash(seed, ...keys)
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Shuffles in place (Fisher and Yates). */
export function shuffle<T extends { length: number; [i: number]: unknown }>(
  items: T,
  next: () => number,
): T {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const t = items[i]
    items[i] = items[j]
    items[j] = t
  }
  return items
}
