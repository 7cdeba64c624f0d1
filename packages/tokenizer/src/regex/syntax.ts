// Patterns of tokenizer files to syntax trees. The dialect is Oniguruma's (Ruby), which is what Hugging Face runs:
// `^` and `$` mean lines, `{m,n}+` repeats a repeat, a class may hold classes and `&&`. What no automaton can do
// (back-references, look-behind over more than a character, atomic groups) is refused with its place.

import { brief } from '../errors.js'
import { DIGIT, SPACE, WORD, foldCase, posixSet, propertySet } from './properties.js'
import { ALL, NONE, intersect, negate, union } from './ranges.js'
import type { CodePointSet } from './ranges.js'

export type Node =
  | { readonly kind: 'set'; readonly set: CodePointSet }
  | { readonly kind: 'sequence'; readonly items: readonly Node[] }
  | { readonly kind: 'choice'; readonly items: readonly Node[] }
  | {
      readonly kind: 'repeat'
      readonly item: Node
      readonly min: number
      readonly max: number
      readonly greedy: boolean
    }
  | { readonly kind: 'ahead'; readonly item: Node; readonly negated: boolean }
  | { readonly kind: 'edge'; readonly set: CodePointSet; readonly test: EdgeTest }

/** Whether a place fits, by whether the characters before and after it are in a set; null at the text's ends. */
export type EdgeTest = (before: boolean | null, after: boolean | null) => boolean

/** A pattern that does not parse or that the engine does not run; `at` counts UTF-16 units. */
export class PatternError extends Error {
  override name = 'PatternError'
  constructor(
    readonly pattern: string,
    readonly at: number,
    readonly reason: string,
  ) {
    super(`${reason} (at ${at} in ${brief(pattern)})`)
  }
}

const MAX_DEPTH = 100
const MAX_REPEAT = 1000

const NEWLINE: CodePointSet = [0x0a, 0x0a]
const NOT_NEWLINE = negate(NEWLINE)
const TEXT_END: Node = { kind: 'edge', set: NONE, test: (_, after) => after === null }

/** Escapes that stand for a class, in brackets and outside. */
const CLASS_ESCAPES: ReadonlyMap<string, () => CodePointSet> = new Map([
  ['d', DIGIT],
  ['D', () => negate(DIGIT())],
  ['s', SPACE],
  ['S', () => negate(SPACE())],
  ['w', WORD],
  ['W', () => negate(WORD())],
  ['h', () => [0x30, 0x39, 0x41, 0x46, 0x61, 0x66] as CodePointSet],
  ['H', () => negate([0x30, 0x39, 0x41, 0x46, 0x61, 0x66])],
])

const CONTROL_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['t', 0x09],
  ['n', 0x0a],
  ['v', 0x0b],
  ['f', 0x0c],
  ['r', 0x0d],
  ['a', 0x07],
  ['e', 0x1b],
])

const EDGES: ReadonlyMap<string, () => Node> = new Map<string, () => Node>([
  ['b', () => ({ kind: 'edge', set: WORD(), test: (b, a) => (b === true) !== (a === true) })],
  ['B', () => ({ kind: 'edge', set: WORD(), test: (b, a) => (b === true) === (a === true) })],
  ['A', () => ({ kind: 'edge', set: NONE, test: (b) => b === null })],
  ['z', () => TEXT_END],
  [
    'Z',
    () => ({ kind: 'ahead', negated: false, item: sequence([optional(char(0x0a)), TEXT_END]) }),
  ],
])

interface Flags {
  ignoreCase: boolean
  dotAll: boolean
  extended: boolean
}

function char(codePoint: number): Node {
  return { kind: 'set', set: [codePoint, codePoint] }
}

function sequence(items: readonly Node[]): Node {
  return items.length === 1 ? items[0]! : { kind: 'sequence', items }
}

function optional(item: Node): Node {
  return { kind: 'repeat', item, min: 0, max: 1, greedy: true }
}

export function parsePattern(pattern: string): Node {
  return new Parser(pattern).parse()
}

class Parser {
  private at = 0
  private depth = 0
  private flags: Flags = { ignoreCase: false, dotAll: false, extended: false }

  constructor(private readonly source: string) {}

  parse(): Node {
    const node = this.choice()
    if (this.at < this.source.length) this.fail('a ")" closes no group')
    return node
  }

  private fail(reason: string, at = this.at): never {
    throw new PatternError(this.source, at, reason)
  }

  private peek(text: string): boolean {
    return this.source.startsWith(text, this.at)
  }

  private take(text: string): boolean {
    const there = this.peek(text)
    if (there) this.at += text.length
    return there
  }

  /** Takes what a sticky expression matches here. */
  private match(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.at
    const found = expression.exec(this.source)
    if (found !== null) this.at += found[0].length
    return found
  }

  private next(): number {
    const codePoint = this.source.codePointAt(this.at)
    if (codePoint === undefined) this.fail('the pattern ends too early')
    this.at += codePoint > 0xffff ? 2 : 1
    return codePoint
  }

  private choice(): Node {
    if (++this.depth > MAX_DEPTH) this.fail(`groups are nested more than ${MAX_DEPTH} deep`)
    const outer = { ...this.flags } // flags set inside end with the group
    const items: Node[] = []
    do items.push(this.branch())
    while (this.take('|'))
    this.flags = outer
    this.depth--
    return items.length === 1 ? items[0]! : { kind: 'choice', items }
  }

  private branch(): Node {
    const items: Node[] = []
    while (this.at < this.source.length && !this.peek('|') && !this.peek(')')) {
      if (this.flags.extended && this.match(/(?:\s|#.*)+/y) !== null) continue
      const start = this.at
      // (?i) reaches over the bars that follow it: a(?i)b|c is a(?i:b|c).
      if (this.flagsForRest()) {
        items.push(this.choice())
        break
      }
      const atom = this.atom()
      if (atom === undefined) continue
      items.push(this.quantified(atom, start))
    }
    return sequence(items)
  }

  /** Reads a `(?i)`, where there is one. */
  private flagsForRest(): boolean {
    const found = this.match(/\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?\)/y)
    if (found === null) return false
    this.setFlags(found[1]!, found[2] ?? '')
    return true
  }

  private setFlags(on: string, off: string): void {
    const names: Record<string, keyof Flags> = { i: 'ignoreCase', m: 'dotAll', x: 'extended' }
    for (const [letters, value] of [
      [on, true],
      [off, false],
    ] as const) {
      for (const letter of letters) {
        if (!Object.hasOwn(names, letter)) this.fail(`the flag ${brief(letter)} is not supported`)
        this.flags[names[letter]!] = value
      }
    }
  }

  private atom(): Node | undefined {
    const start = this.at
    if (this.take('(')) return this.group(start)
    if (this.take('[')) return this.set(this.bracket(start))
    if (this.take('.')) return { kind: 'set', set: this.flags.dotAll ? ALL : NOT_NEWLINE }
    if (this.take('^')) {
      return { kind: 'edge', set: NEWLINE, test: (b, a) => b === null || (b && a !== null) }
    }
    if (this.take('$')) return { kind: 'edge', set: NEWLINE, test: (_, a) => a !== false }
    if (this.take('\\')) return this.escape(start)
    if (this.match(/[*+?]/y) !== null) this.fail('a quantifier follows nothing', start)
    return this.set(this.single(this.next()))
  }

  private set(set: CodePointSet): Node {
    return { kind: 'set', set: this.flags.ignoreCase ? foldCase(set) : set }
  }

  private single(codePoint: number): CodePointSet {
    return [codePoint, codePoint]
  }

  private group(start: number): Node | undefined {
    const close = <T>(value: T): T => {
      if (!this.take(')')) this.fail('the group is not closed', start)
      return value
    }
    if (this.take('?#')) {
      while (!this.peek(')')) this.next()
      return close(undefined)
    }
    if (this.take('?:')) return close(this.choice())
    if (this.take('?=')) return close({ kind: 'ahead', item: this.choice(), negated: false })
    if (this.take('?!')) return close({ kind: 'ahead', item: this.choice(), negated: true })
    const behind = this.match(/\?<([=!])/y)
    if (behind !== null) {
      const item = close(this.choice())
      if (item.kind !== 'set')
        this.fail('look-behind over more than one character is not supported', start)
      const negated = behind[1] === '!'
      return { kind: 'edge', set: item.set, test: (before) => (before === true) !== negated }
    }
    if (this.take('?>')) {
      const item = close(this.choice())
      return this.possessive(item) ?? this.fail('this atomic group is not supported', start)
    }
    const flags = this.match(/\?([a-zA-Z]*)(?:-([a-zA-Z]+))?:/y)
    if (flags !== null) {
      const outer = { ...this.flags }
      this.setFlags(flags[1]!, flags[2] ?? '')
      const item = close(this.choice())
      this.flags = outer
      return item
    }
    if (this.match(/\?P?<[A-Za-z_]\w*>/y) === null && this.peek('?')) {
      this.fail('this kind of group is not supported', start)
    }
    return close(this.choice())
  }

  private escape(start: number): Node {
    const letter = this.source[this.at] ?? ''
    const edge = EDGES.get(letter)
    if (edge !== undefined) {
      this.at++
      return edge()
    }
    if (/[1-9]/.test(letter) || letter === 'k' || letter === 'g') {
      this.fail('back-references and calls are not supported', start)
    }
    return this.set(this.escapedSet(start))
  }

  /** What follows a backslash, in brackets or outside. */
  private escapedSet(start: number): CodePointSet {
    const property = this.match(/([pP])\{(\^?)([^{}]*)\}/y)
    if (property !== null) {
      const set = propertySet(property[3]!)
      if (set === undefined) this.fail(`the property ${brief(property[3])} is not known`, start)
      return (property[1] === 'P') !== (property[2] === '^') ? negate(set) : set
    }
    const hex = this.match(/x\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})/y)
    if (hex !== null) {
      const codePoint = parseInt((hex[1] ?? hex[2] ?? hex[3])!, 16)
      if (codePoint > 0x10ffff) this.fail('there is no such code point', start)
      return this.single(codePoint)
    }
    const octal = this.match(/0[0-7]{0,2}/y)
    if (octal !== null) return this.single(parseInt(octal[0], 8))
    const codePoint = this.next()
    const letter = String.fromCodePoint(codePoint)
    const set = CLASS_ESCAPES.get(letter)
    if (set !== undefined) return set()
    const control = CONTROL_ESCAPES.get(letter)
    if (control !== undefined) return this.single(control)
    if (/[A-Za-z0-9]/.test(letter)) this.fail(`\\${letter} is not supported`, start)
    return this.single(codePoint)
  }

  /** A class after its opening bracket. */
  private bracket(start: number): CodePointSet {
    if (++this.depth > MAX_DEPTH) this.fail(`classes are nested more than ${MAX_DEPTH} deep`)
    const negated = this.take('^')
    let whole: CodePointSet | undefined // what stands before `&&`
    let ranges: number[] = []
    const sets: CodePointSet[] = []
    const held = (): CodePointSet => union(ranges, ...sets)
    for (let first = true; ; first = false) {
      if (this.at >= this.source.length) this.fail('the class is not closed', start)
      if (!first && this.take(']')) break
      if (this.take('&&')) {
        whole = whole === undefined ? held() : intersect(whole, held())
        ranges = []
        sets.length = 0
        continue
      }
      const posix = this.match(/\[:(\^?)(\w+):\]/y)
      if (posix !== null) {
        const set = posixSet(posix[2]!)
        if (set === undefined) this.fail(`the class ${brief(posix[0])} is not known`, start)
        sets.push(posix[1] === '^' ? negate(set) : set)
        continue
      }
      const place = this.at
      if (this.take('[')) {
        sets.push(this.bracket(place))
        continue
      }
      const low = this.member()
      const dash = this.at
      if (low.length !== 2 || low[0] !== low[1] || !this.take('-')) {
        sets.push(low)
        continue
      }
      if (this.peek(']') || this.peek('[') || this.peek('&&')) {
        ranges.push(low[0]!, low[0]!)
        this.at = dash
        sets.push(this.single(this.next()))
        continue
      }
      const high = this.member()
      if (high.length !== 2 || high[0] !== high[1]) this.fail('a range ends with a class', place)
      if (high[0]! < low[0]!) this.fail('a range ends before it begins', place)
      ranges.push(low[0]!, high[0]!)
    }
    this.depth--
    let set = whole === undefined ? held() : intersect(whole, held())
    if (this.flags.ignoreCase) set = foldCase(set)
    return negated ? negate(set) : set
  }

  private member(): CodePointSet {
    const start = this.at
    if (!this.take('\\')) return this.single(this.next())
    if (this.take('b')) return this.single(0x08)
    return this.escapedSet(start)
  }

  private quantified(atom: Node, start: number): Node {
    let node = atom
    for (;;) {
      if (this.flags.extended) this.match(/(?:\s|#.*)+/y)
      const found = this.match(/([*+?])([?+]?)|\{(\d{0,6})(,?)(\d{0,6})\}/y)
      if (found === null) return node
      const [, sign, mode, low, comma, high] = found
      if (sign === undefined && low === '' && high === '') {
        // {} and {,} are text.
        this.at -= found[0].length
        return node
      }
      let min = sign === '+' ? 1 : 0
      let max = sign === '?' ? 1 : Infinity
      let greedy = mode !== '?'
      if (sign === undefined) {
        min = low === '' ? 0 : Number(low)
        max = comma === '' ? min : high === '' ? Infinity : Number(high)
        if (max < min) this.fail('a repeat counts down', start)
        if (Math.max(min, max === Infinity ? 0 : max) > MAX_REPEAT) {
          this.fail(`more than ${MAX_REPEAT} repeats are asked for`, start)
        }
        // a{2}? is (?:a{2})? in this dialect.
        greedy = comma === '' || !this.take('?')
      }
      const repeat: Node = { kind: 'repeat', item: node, min, max, greedy }
      if (mode === '+') {
        node =
          this.possessive(repeat) ?? this.fail('this possessive repeat is not supported', start)
      } else node = repeat
    }
  }

  /**
   * A node that never gives back what it took: exact for a repeated class, where it means that no further member
   * follows, and for what has one way to match. Undefined for others.
   */
  private possessive(node: Node): Node | undefined {
    if (node.kind === 'set') return node
    if (node.kind === 'sequence' && node.items.every((item) => item.kind === 'set')) return node
    if (node.kind !== 'repeat' || node.item.kind !== 'set' || !node.greedy) return undefined
    const { item, min, max } = node
    const stop: Node = { kind: 'ahead', item, negated: true }
    const short = (most: number): Node => sequence([{ ...node, max: most }, stop])
    if (max === Infinity) return short(max)
    const full: Node = { ...node, min: max, max }
    return min === max ? full : { kind: 'choice', items: [full, short(max - 1)] }
  }
}
