// Sets of code points as sorted, disjoint, non-adjacent ranges: [first, last, first, last, ...].

export type CodePointSet = readonly number[]

export const MAX_CODE_POINT = 0x10ffff
export const NONE: CodePointSet = []
export const ALL: CodePointSet = [0, MAX_CODE_POINT]

/** Sorts and joins ranges that may overlap or touch. */
export function normalizeRanges(ranges: readonly number[]): CodePointSet {
  const pairs: [number, number][] = []
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i]!, ranges[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const out: number[] = []
  for (const [first, last] of pairs) {
    const end = out.length - 1
    if (out.length > 0 && first <= out[end]! + 1) out[end] = Math.max(out[end]!, last)
    else out.push(first, last)
  }
  return out
}

export function union(...sets: readonly CodePointSet[]): CodePointSet {
  return normalizeRanges(sets.flat())
}

export function negate(set: CodePointSet): CodePointSet {
  const out: number[] = []
  let from = 0
  for (let i = 0; i < set.length; i += 2) {
    if (set[i]! > from) out.push(from, set[i]! - 1)
    from = set[i + 1]! + 1
  }
  if (from <= MAX_CODE_POINT) out.push(from, MAX_CODE_POINT)
  return out
}

export function intersect(a: CodePointSet, b: CodePointSet): CodePointSet {
  return negate(union(negate(a), negate(b)))
}

/** Code points in the set; cheap enough to ask before a set is walked. */
export function count(set: CodePointSet): number {
  let n = 0
  for (let i = 0; i < set.length; i += 2) n += set[i + 1]! - set[i]! + 1
  return n
}

/** Equivalence classes of code points: two are in one class when every set holds both or neither. */
export interface Partition {
  readonly classes: number
  /** Class of each unit of the basic plane. */
  readonly basic: Uint16Array
  classOf(codePoint: number): number
  /** For each set, 1 for each class that it holds. */
  readonly members: readonly Uint8Array[]
}

export function partition(sets: readonly CodePointSet[]): Partition {
  const cuts = new Set<number>([0])
  for (const set of sets) {
    for (let i = 0; i < set.length; i += 2) {
      cuts.add(set[i]!)
      if (set[i + 1]! < MAX_CODE_POINT) cuts.add(set[i + 1]! + 1)
    }
  }
  const starts = Int32Array.from(cuts).sort()
  const classAt = new Uint16Array(starts.length)
  const next = new Int32Array(sets.length) // in each set, the range that is not yet passed
  const ids = new Map<string, number>()
  const held: boolean[][] = []
  starts.forEach((start, k) => {
    const holds = sets.map((set, s) => {
      while (next[s]! < set.length && set[next[s]! + 1]! < start) next[s]! += 2
      return next[s]! < set.length && set[next[s]!]! <= start
    })
    const key = holds.map(Number).join('')
    let id = ids.get(key)
    if (id === undefined) {
      id = ids.size
      ids.set(key, id)
      held.push(holds)
    }
    classAt[k] = id
  })
  const basic = new Uint16Array(0x10000)
  for (let k = 0; k < starts.length && starts[k]! < 0x10000; k++) {
    basic.fill(classAt[k]!, starts[k]!, Math.min(starts[k + 1] ?? 0x10000, 0x10000))
  }
  return {
    classes: ids.size,
    basic,
    classOf: (codePoint) => {
      if (codePoint < 0x10000) return basic[codePoint]!
      let low = 0
      let high = starts.length - 1
      while (low < high) {
        const middle = (low + high + 1) >> 1
        if (starts[middle]! <= codePoint) low = middle
        else high = middle - 1
      }
      return classAt[low]!
    },
    members: sets.map((_, s) => Uint8Array.from(held, (holds) => (holds[s] === true ? 1 : 0))),
  }
}
