// A regular expression whose time is linear in the text, whatever the pattern and the text: no backtracking.
//
// One pass from the text's end to its beginning finds, for each place, which states of the automaton can still reach
// a match from there (sets of states, kept as a lazily built deterministic automaton). Matches are then read from
// left to right by walking the automaton and always taking the first alternative that can succeed, so that nothing
// is ever taken back. It gives Perl's leftmost-first match, and look-ahead costs nothing: it is a set to look into.

import { AHEAD, EDGE, MATCH, SET, SPLIT, compile } from './program.js'
import type { Program } from './program.js'
import { parsePattern } from './syntax.js'

/** Characters whose states are kept at once; of longer texts, only the states at multiples of it, and the rest anew. */
const BLOCK = 2048
/** States kept before the automaton is forgotten and built anew; room for one block must be left. */
const MAX_STATES = 2 * BLOCK

const END = -1 // the class of what is beyond the text

export class Regex {
  private readonly program: Program
  private readonly states: States

  /** Throws PatternError where the pattern does not parse or holds what no automaton can do. */
  constructor(readonly source: string) {
    this.program = compile(parsePattern(source), source)
    this.states = new States(this.program)
  }

  /**
   * The matches from left to right, flat: start, end, start, end... Empty ones too, but none right after a match
   * (as Oniguruma's search has it).
   */
  matches(text: string): number[] {
    const found: number[] = []
    const scan = new Scan(this.program, this.states, text)
    let at = 0
    let last = -1
    while (at <= text.length) {
      const start = scan.nextStart(at)
      if (start < 0) break
      const end = scan.matchEnd(start)
      if (end === start) {
        if (end !== last) found.push(start, end)
        at = start + widthAt(text, start)
        // Nothing before `at` may match again, and a match that begins at `start` is empty.
      } else {
        found.push(start, end)
        at = end
      }
      last = end
    }
    return found
  }

  /** The first match that begins at `from` or later, for tests and single searches. */
  find(text: string, from = 0): [start: number, end: number] | undefined {
    const scan = new Scan(this.program, this.states, text)
    const start = scan.nextStart(from)
    return start < 0 ? undefined : [start, scan.matchEnd(start)]
  }
}

function isHigh(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800
}

function isLow(unit: number): boolean {
  return (unit & 0xfc00) === 0xdc00
}

/** Units of the character at `i`; NaN comparisons make it 1 at the end. */
function widthAt(text: string, i: number): number {
  return isHigh(text.charCodeAt(i)) && isLow(text.charCodeAt(i + 1)) ? 2 : 1
}

/** The deterministic automaton: its states are sets of nodes, numbered as they are met. */
class States {
  /** Bits of the nodes in each state. */
  readonly bits: Uint32Array[] = []
  /** How many kinds of character before a place the edges (\b, ^ ...) tell apart, and of which kind a class is. */
  readonly kinds: number
  readonly kindOf: Int32Array // by class + 1
  private readonly words: number
  private readonly width: number
  private ids = new Map<string, number>()
  private steps: Int32Array
  private choices: Int16Array
  private readonly kindExamples: number[] = []

  constructor(private readonly program: Program) {
    const { classes } = program.classes
    this.words = Math.ceil(program.kind.length / 32)
    this.kindOf = new Int32Array(classes + 1)
    const kinds = new Map<string, number>()
    for (let c = END; c < classes; c++) {
      const key = program.edges.map((edge) => (c === END ? '-' : edge.member[c])).join('')
      let kind = kinds.get(key)
      if (kind === undefined) {
        kind = kinds.size
        kinds.set(key, kind)
        this.kindExamples.push(c)
      }
      this.kindOf[c + 1] = kind
    }
    this.kinds = kinds.size
    this.width = classes * this.kinds
    this.steps = new Int32Array(16 * this.width).fill(-1)
    this.choices = new Int16Array(16 * program.kind.length).fill(-1)
  }

  /** Called between blocks, where no state's number is held. */
  makeRoom(): void {
    if (this.bits.length + BLOCK + 2 <= MAX_STATES) return
    this.bits.length = 0
    this.ids = new Map()
    this.steps.fill(-1)
    this.choices.fill(-1)
  }

  intern(bits: Uint32Array): number {
    const key = String.fromCharCode(...new Uint16Array(bits.buffer))
    let id = this.ids.get(key)
    if (id === undefined) {
      id = this.bits.push(bits) - 1
      this.ids.set(key, id)
      if (this.bits.length * this.width > this.steps.length) this.steps = doubled(this.steps)
      const nodes = this.program.kind.length
      if (this.bits.length * nodes > this.choices.length) this.choices = doubled(this.choices)
    }
    return id
  }

  /** The state at the text's end, after a character of the kind `before`. */
  atEnd(before: number): number {
    return this.intern(this.closure(undefined, END, before))
  }

  /** The state before a character of class `c`, itself after one of the kind `before`, when `id` is after it. */
  step(id: number, c: number, before: number): number {
    const place = id * this.width + c * this.kinds + before
    const known = this.steps[place]!
    if (known >= 0) return known
    const found = this.intern(this.closure(this.bits[id], c, before))
    this.steps[id * this.width + c * this.kinds + before] = found
    return found
  }

  private closure(after: Uint32Array | undefined, c: number, before: number): Uint32Array {
    const { kind, out, arg, negated, bounds, before: into, member, edges } = this.program
    const bits = new Uint32Array(this.words)
    const has = (set: Uint32Array, node: number): boolean =>
      ((set[node >> 5]! >> (node & 31)) & 1) === 1
    const open: number[] = []
    const enter = (node: number): void => {
      if (has(bits, node)) return
      bits[node >> 5]! |= 1 << (node & 31)
      open.push(node)
    }
    const example = this.kindExamples[before]!
    const edgeFits = (e: number): boolean => {
      const edge = edges[e]!
      const inside = (cls: number): boolean | null => (cls === END ? null : edge.member[cls] === 1)
      return edge.test(inside(example), inside(c))
    }
    // Programs of look-aheads come first, so that they are complete when they are asked for.
    for (let p = 0; p + 1 < bounds.length; p++) {
      for (let node = bounds[p]!; node < bounds[p + 1]!; node++) {
        if (kind[node] === MATCH) enter(node)
        else if (
          kind[node] === SET &&
          c !== END &&
          member[arg[node]!]![c] === 1 &&
          has(after!, out[node]!)
        ) {
          enter(node)
        }
      }
      for (let node = open.pop(); node !== undefined; node = open.pop()) {
        for (const from of into[node]!) {
          if (kind[from] === AHEAD && has(bits, arg[from]!) === (negated[from] === 1)) continue
          if (kind[from] === EDGE && !edgeFits(arg[from]!)) continue
          enter(from)
        }
      }
    }
    return bits
  }

  /** Whether a match begins where the state is. */
  starts(id: number): boolean {
    const { start } = this.program
    return ((this.bits[id]![start >> 5]! >> (start & 31)) & 1) === 1
  }

  /** The first node in order of preference, from `node` without taking a character, that can reach the match. */
  choose(id: number, node: number): number {
    const place = id * this.program.kind.length + node
    const known = this.choices[place]!
    if (known >= 0) return known
    const { kind, out, other } = this.program
    const bits = this.bits[id]!
    const open = [node]
    const seen = new Set<number>()
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at) || ((bits[at >> 5]! >> (at & 31)) & 1) === 0) continue
      seen.add(at)
      if (kind[at] === SET || kind[at] === MATCH) {
        this.choices[place] = at
        return at
      }
      if (kind[at] === SPLIT) open.push(other[at]!)
      open.push(out[at]!)
    }
    throw new Error('a state that can match has no way to')
  }
}

function doubled<T extends Int32Array | Int16Array>(array: T): T {
  const larger = new (array.constructor as new (length: number) => T)(array.length * 2)
  larger.set(array)
  larger.fill(-1, array.length)
  return larger
}

/** The states at each place of one text, a block of them at a time. */
class Scan {
  private readonly at = new Int32Array(BLOCK + 1)
  private block = -1
  /** Node sets at each block's end. */
  private readonly ends: Uint32Array[] = []

  constructor(
    private readonly program: Program,
    private readonly states: States,
    private readonly text: string,
  ) {
    const blocks = Math.max(1, Math.ceil(text.length / BLOCK))
    states.makeRoom()
    this.ends[blocks - 1] = states.bits[states.atEnd(this.kindBefore(text.length))]!
    for (let block = blocks - 1; block > 0; block--) {
      this.fill(block)
      this.ends[block - 1] = states.bits[this.at[0]!]!
    }
  }

  private kindBefore(i: number): number {
    const { kindOf } = this.states
    if (this.states.kinds === 1) return 0
    if (i === 0) return kindOf[0]!
    const unit = this.text.charCodeAt(i - 1)
    const codePoint =
      isLow(unit) && i > 1 && isHigh(this.text.charCodeAt(i - 2))
        ? this.text.codePointAt(i - 2)!
        : unit
    return kindOf[this.program.classes.classOf(codePoint) + 1]!
  }

  private fill(block: number): void {
    const { states, text } = this
    const { classes } = this.program
    const first = block * BLOCK
    const end = Math.min(first + BLOCK, text.length)
    states.makeRoom()
    let state = states.intern(this.ends[block]!)
    this.at[end - first] = state
    for (let i = end - 1; i >= first; i--) {
      const unit = text.charCodeAt(i)
      if ((unit & 0xf800) === 0xd800) {
        if (isLow(unit) && i > 0 && isHigh(text.charCodeAt(i - 1))) {
          this.at[i - first] = state // inside a pair: as after it
          continue
        }
        if (isHigh(unit) && isLow(text.charCodeAt(i + 1))) {
          state = states.step(state, classes.classOf(text.codePointAt(i)!), this.kindBefore(i))
          this.at[i - first] = state
          continue
        }
      }
      state = states.step(state, classes.basic[unit]!, this.kindBefore(i))
      this.at[i - first] = state
    }
    this.block = block
  }

  private stateAt(i: number): number {
    // The end of the text belongs to the last block, a block's beginning to that block.
    const block = Math.min(Math.floor(i / BLOCK), this.ends.length - 1)
    if (block !== this.block) this.fill(block)
    return this.at[i - block * BLOCK]!
  }

  nextStart(from: number): number {
    const { text, states } = this
    for (let i = from; i <= text.length; i += widthAt(text, i)) {
      if (states.starts(this.stateAt(i))) return i
    }
    return -1
  }

  matchEnd(start: number): number {
    const { text, states } = this
    const { kind, out } = this.program
    let i = start
    let node = states.choose(this.stateAt(i), this.program.start)
    while (kind[node] !== MATCH) {
      i += widthAt(text, i)
      node = states.choose(this.stateAt(i), out[node]!)
    }
    return i
  }
}
