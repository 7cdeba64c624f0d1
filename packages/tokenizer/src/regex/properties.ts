// Unicode properties as sets of code points, read out of the JavaScript engine's own tables.

import { ALL, intersect, negate, normalizeRanges, union } from './ranges.js'
import type { CodePointSet } from './ranges.js'

/** Planes 4 to 13, 15 and 16 hold nothing but unassigned and private code points: a property is even on each. */
const EVEN: readonly (readonly [number, number])[] = [
  [0x40000, 0xdffff],
  [0xe1000, 0xeffff],
  [0xf0000, 0xffffd],
  [0xffffe, 0xfffff],
  [0x100000, 0x10fffd],
  [0x10fffe, 0x10ffff],
]

let probe: string | undefined

/** Every code point outside EVEN, the surrogates left out. */
function probeText(): string {
  if (probe !== undefined) return probe
  const parts: string[] = []
  const add = (first: number, last: number): void => {
    for (let at = first; at <= last; at += 0x1000) {
      const length = Math.min(0x1000, last - at + 1)
      parts.push(String.fromCodePoint(...Array.from({ length }, (_, i) => at + i)))
    }
  }
  add(0, 0xd7ff)
  add(0xe000, 0x3ffff)
  add(0xe0000, 0xe0fff)
  probe = parts.join('')
  return probe
}

const known = new Map<string, CodePointSet>()

/** The code points that match one JavaScript class such as `\p{L}` or `[a-z]`; undefined where it is no class. */
export function setOf(source: string, flags = 'u'): CodePointSet | undefined {
  const key = `${flags} ${source}`
  const cached = known.get(key)
  if (cached !== undefined) return cached
  let runs: RegExp
  try {
    runs = new RegExp(`${source}+`, `g${flags}`)
  } catch {
    return undefined
  }
  const ranges: number[] = []
  // Where a run begins in code points: its place in units less the pairs before it, which all lie at the end.
  const text = probeText()
  const pairsFrom = 0x10000 - 0x800
  const codePointAt = (unit: number): number => {
    if (unit < 0xd800) return unit
    if (unit < pairsFrom) return unit + 0x800
    const codePoint = 0x10000 + ((unit - pairsFrom) >> 1)
    return codePoint <= 0x3ffff ? codePoint : codePoint - 0x40000 + 0xe0000
  }
  for (let match = runs.exec(text); match !== null; match = runs.exec(text)) {
    // A run may join the end of one stretch to the beginning of the next.
    let first = match.index
    const end = first + match[0].length
    for (const seam of [0xd800, pairsFrom + 2 * 0x30000]) {
      if (first < seam && end > seam) {
        ranges.push(codePointAt(first), codePointAt(seam - 1))
        first = seam
      }
    }
    ranges.push(codePointAt(first), codePointAt(end - 1))
  }
  const one = new RegExp(`^${source}$`, flags)
  for (const [first, last] of [...EVEN, [0xd800, 0xdfff] as const]) {
    if (one.test(String.fromCodePoint(first))) ranges.push(first, last)
  }
  const set = normalizeRanges(ranges)
  known.set(key, set)
  return set
}

const get = (source: string): CodePointSet => setOf(source)!

/** What Rust and Oniguruma call white space; JavaScript's \s differs in U+0085 and U+FEFF. */
export const SPACE = (): CodePointSet => get('\\p{White_Space}')
export const DIGIT = (): CodePointSet => get('\\p{Nd}')
/** Oniguruma's \w, which has the small figures of Latin-1 and no joiners. */
export const WORD = (): CodePointSet =>
  get('[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe]')

/** POSIX names, in brackets as in [[:alpha:]] and in \p{Alpha}; their Unicode meaning is Oniguruma's. */
const POSIX: ReadonlyMap<string, () => CodePointSet> = new Map([
  ['alnum', () => get('[\\p{Alphabetic}\\p{Nd}]')],
  ['alpha', () => get('\\p{Alphabetic}')],
  ['any', () => ALL],
  ['ascii', () => [0, 0x7f]],
  ['blank', () => get('[\\p{Zs}\\t]')],
  ['cntrl', () => get('\\p{Cc}')],
  ['digit', DIGIT],
  ['graph', () => negate(union(SPACE(), get('[\\p{Cc}\\p{Cn}\\p{Cs}]')))],
  ['lower', () => get('\\p{Lowercase}')],
  [
    'print',
    () => negate(union(intersect(SPACE(), negate(get('\\p{Zs}'))), get('[\\p{Cc}\\p{Cn}\\p{Cs}]'))),
  ],
  ['punct', () => get('[\\p{P}\\p{S}]')],
  ['space', SPACE],
  ['upper', () => get('\\p{Uppercase}')],
  ['word', WORD],
  ['xdigit', () => get('[0-9A-Fa-f]')],
])

export function posixSet(name: string): CodePointSet | undefined {
  return POSIX.get(name)?.()
}

/** \p{name}: a general category, a binary property, a script, or a POSIX name; undefined where there is none. */
export function propertySet(name: string): CodePointSet | undefined {
  if (!/^[\w =-]{1,60}$/.test(name)) return undefined
  const posix = posixSet(name.toLowerCase())
  if (posix !== undefined) return posix
  const words = name.trim().split(/[ _-]+/)
  const title = words.map((w) => w.charAt(0).toUpperCase() + w.slice(1).toLowerCase()).join('_')
  for (const spelt of [name, title]) {
    const set = setOf(`\\p{${spelt}}`) ?? setOf(`\\p{Script=${spelt}}`)
    if (set !== undefined) return set
  }
  return undefined
}

let folds: Map<number, readonly number[]> | undefined

/** Code points of more than one that simple case folding makes equal, each with all of its group. */
function foldGroups(): Map<number, readonly number[]> {
  if (folds !== undefined) return folds
  const groups = new Map<number, Set<number>>()
  const cased = get('[\\p{Changes_When_Casemapped}]')
  for (let i = 0; i < cased.length; i += 2) {
    for (let c = cased[i]!; c <= cased[i + 1]!; c++) {
      if (c === 0x130 || c === 0x131) continue // the Turkish i's fold to themselves
      const char = String.fromCodePoint(c)
      for (const other of [char.toLowerCase(), char.toUpperCase()]) {
        const o = other.codePointAt(0)!
        if (o === c || other.length !== String.fromCodePoint(o).length) continue
        const joined = new Set([...(groups.get(c) ?? [c]), ...(groups.get(o) ?? [o])])
        for (const member of joined) groups.set(member, joined)
      }
    }
  }
  folds = new Map([...groups].map(([c, group]) => [c, [...group]]))
  return folds
}

/** The set with all case variants of its members, as (?i) asks for. */
export function foldCase(set: CodePointSet): CodePointSet {
  const groups = foldGroups()
  const extra: number[] = []
  for (const [c, group] of groups) {
    if (has(set, c)) for (const other of group) extra.push(other, other)
  }
  return extra.length === 0 ? set : normalizeRanges([...set, ...extra])
}

function has(set: CodePointSet, c: number): boolean {
  let low = 0
  let high = set.length / 2
  while (low < high) {
    const middle = (low + high) >> 1
    if (set[2 * middle + 1]! < c) low = middle + 1
    else high = middle
  }
  return low < set.length / 2 && set[2 * low]! <= c
}
