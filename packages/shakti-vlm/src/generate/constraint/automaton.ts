// Runs a program of bytes over tokens: the states that texts lead to are made when they are first met and kept with their
// transitions, and with each state the mask of the tokens that may follow.
import { ShaktiError } from '@shakti/tensor'
import type { Allowed, TokenConstraint } from './constraint.js'
import type { Program } from './program.js'
import type { Vocabulary } from './vocabulary.js'

/** Where calls return to. */
interface Frame {
  readonly id: number
  readonly next: number
  readonly parent: Frame | undefined
  readonly children: Map<number, Frame>
  /** Fewest tokens from here to the end, when the routine called returns. */
  readonly closing: number
}

/** A place in the program that a text may be at. */
interface Thread {
  readonly at: number
  readonly frame: Frame
}

interface Masked extends Allowed {
  readonly any: boolean
  /** The most tokens that a text may still need after one of these. */
  readonly worst: number
}

/** Where a text stands. */
export interface ByteState {
  /** Whether it may end here. */
  readonly accepts: boolean
  /** Fewest tokens that complete it; Infinity where tokens of single bytes cannot. */
  readonly closing: number
}

interface State extends ByteState {
  /** All places that the text may be at. */
  readonly threads: readonly Thread[]
  /** By byte: the next state, null for none, undefined while it is not known. */
  readonly next: (State | null | undefined)[]
  masked: Masked | undefined
}

/** States kept for texts to come; a text that is being written keeps its own. */
const statesKept = 16_384
/** Masks kept: 16 MB for 128 K tokens. */
const masksKept = 1024

export class ByteConstraint implements TokenConstraint<ByteState> {
  readonly vocab: number
  readonly shortest: number
  readonly #program: Program
  readonly #vocabulary: Vocabulary
  /** From each place, the fewest tokens to the return or end. */
  readonly #closing: Float64Array
  readonly #start: State
  #states = new Map<string, State>()
  #root: Frame = { id: 0, next: -1, parent: undefined, children: new Map(), closing: 0 }
  #frames = 0
  #masked = new Set<State>()
  /** The walk's states by depth. */
  readonly #walk: (State | undefined)[]

  /**
   * @param entry where the program begins
   * @throws ShaktiError when no text of the language can be spelled and ended
   */
  constructor(what: string, program: Program, entry: number, vocabulary: Vocabulary) {
    this.#program = program
    this.#vocabulary = vocabulary
    this.vocab = vocabulary.size
    this.#walk = new Array<State | undefined>(vocabulary.deepest + 1)
    this.#closing = closings(program, vocabulary)
    this.#start = this.#state([{ at: entry, frame: this.#root }])!
    this.shortest = this.#start.closing
    if (this.shortest === Infinity)
      throw new ShaktiError(
        what,
        'no text can be completed: either what is asked for never ends, or the vocabulary lacks tokens of single characters that it needs.',
      )
  }

  start(): ByteState {
    return this.#start
  }

  next(state: ByteState, id: number): ByteState {
    const bytes = this.#vocabulary.bytesOf(id)
    let now: State | null = bytes?.length ? (state as State) : null
    for (const b of bytes ?? []) now &&= this.#step(now, b)
    if (!now)
      throw new ShaktiError('constraint', `token ${id} is not allowed where it was written.`)
    return now
  }

  mayEnd(state: ByteState): boolean {
    return state.accepts
  }

  allowed(given: ByteState, room: number): Allowed {
    const state = given as State
    const known = state.masked ?? this.#mask(state, Infinity)
    if (!state.masked) {
      state.masked = known
      this.#masked.add(state)
      if (this.#masked.size > masksKept) {
        const oldest = this.#masked.values().next().value!
        oldest.masked = undefined
        this.#masked.delete(oldest)
      }
    }
    // Near the end of the room some of these would leave too little.
    return room - 1 >= known.worst ? known : this.#mask(state, room - 1)
  }

  /** Tokens after which a text can be completed by at most `most` more. */
  #mask(state: State, most: number): Masked {
    const { byte, depth, skip, token, twin, size } = this.#vocabulary
    const tokens = new Uint32Array((size + 31) >> 5)
    const walk = this.#walk
    walk[0] = state
    let any = false
    let worst = 0
    for (let node = 0; node < byte.length;) {
      const d = depth[node]!
      const from = walk[d - 1]!
      let to = from.next[byte[node]!]
      if (to === undefined) to = this.#step(from, byte[node]!)
      if (to === null) {
        node = skip[node]!
        continue
      }
      walk[d] = to
      const { closing } = to
      let id = token[node]!
      if (id >= 0 && closing <= most && closing < Infinity) {
        any = true
        if (closing > worst) worst = closing
        for (; id >= 0; id = twin[id]!) tokens[id >> 5]! |= 1 << (id & 31)
      }
      node++
    }
    return { tokens, any, worst, mayEnd: state.accepts, mustEnd: !any && state.accepts }
  }

  #step(state: State, byte: number): State | null {
    const known = state.next[byte]
    if (known !== undefined) return known
    const { code } = this.#program
    const threads: Thread[] = []
    for (const { at, frame } of state.threads) {
      const i = code[at]!
      if (i.op === 'byte' && i.set[byte] === 1) threads.push({ at: i.next, frame })
    }
    return (state.next[byte] = this.#state(threads) ?? null)
  }

  /** The state of some threads and of all that follow from them without a byte. */
  #state(given: readonly Thread[]): State | undefined {
    const { code } = this.#program
    const waiting = [...given]
    const seen = new Map<string, Thread>()
    let accepts = false
    for (let thread = waiting.pop(); thread; thread = waiting.pop()) {
      const { at, frame } = thread
      const key = `${at}.${frame.id}`
      if (seen.has(key)) continue
      seen.set(key, thread)
      const i = code[at]!
      if (i.op === 'split') for (const to of i.to) waiting.push({ at: to, frame })
      else if (i.op === 'call')
        waiting.push({ at: i.routine.entry, frame: this.#call(frame, i.next) })
      else if (i.op === 'return') waiting.push({ at: frame.next, frame: frame.parent! })
      else if (i.op === 'end') accepts = true
    }
    // Only those that wait for a byte matter from here on.
    const keys = [...seen.keys()].filter((k) => code[seen.get(k)!.at]!.op === 'byte').sort()
    if (keys.length === 0 && !accepts) return undefined
    const key = `${keys.join(' ')}${accepts ? '!' : ''}`
    const known = this.#states.get(key)
    if (known) return known
    const threads = keys.map((k) => seen.get(k)!)
    const closing = accepts
      ? 0
      : threads.reduce(
          (n, { at, frame }) => Math.min(n, this.#closing[at]! + frame.closing),
          Infinity,
        )
    const state: State = {
      threads,
      accepts,
      closing,
      next: new Array<State | null | undefined>(256).fill(undefined),
      masked: undefined,
    }
    if (this.#states.size >= statesKept) {
      this.#states.clear()
      this.#root.children.clear()
    }
    this.#states.set(key, state)
    return state
  }

  #call(parent: Frame, next: number): Frame {
    // A call at the end of a routine returns where the routine does.
    if (this.#program.code[next]!.op === 'return') return parent
    let frame = parent.children.get(next)
    if (!frame) {
      const closing = this.#closing[next]! + parent.closing
      frame = { id: ++this.#frames, next, parent, children: new Map(), closing }
      parent.children.set(next, frame)
    }
    return frame
  }
}

/** From each instruction, the fewest bytes that are tokens of their own to the return or end: a least fixed point. */
function closings({ code }: Program, { single }: Vocabulary): Float64Array {
  const out = new Float64Array(code.length).fill(Infinity)
  const spelled = code.map(
    (i) => i.op === 'byte' && i.set.some((on, b) => on === 1 && single[b] === 1),
  )
  for (let changed = true; changed;) {
    changed = false
    for (const [at, i] of code.entries()) {
      let n = 0
      if (i.op === 'byte') n = spelled[at] ? 1 + out[i.next]! : Infinity
      else if (i.op === 'split') n = Math.min(...i.to.map((to) => out[to]!))
      else if (i.op === 'call') n = out[i.routine.entry]! + out[i.next]!
      if (n < out[at]!) {
        out[at] = n
        changed = true
      }
    }
  }
  return out
}
