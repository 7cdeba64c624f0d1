// Languages of bytes as small programs: choices, calls and returns, so that what nests is a language too. Made from the end to the
// beginning: each function takes where to go on and returns where it begins.

export type Instruction =
  /** One byte of a set. */
  | { readonly op: 'byte'; readonly set: ByteSet; readonly next: number }
  /** Any of several ways. */
  | { readonly op: 'split'; readonly to: readonly number[] }
  | { readonly op: 'call'; readonly routine: Routine; readonly next: number }
  | { readonly op: 'return' }
  | { readonly op: 'end' }

/** A flag for each byte. */
export type ByteSet = Uint8Array

/** A language that others call; its entry is set once it is made, so that it can call itself. */
export interface Routine {
  entry: number
}

/** Single bytes and ranges of them. */
export function byteSet(...ranges: readonly (number | readonly [number, number])[]): ByteSet {
  const set = new Uint8Array(256)
  for (const r of ranges) {
    if (typeof r === 'number') set[r] = 1
    else set.fill(1, r[0], r[1] + 1)
  }
  return set
}

export class Program {
  readonly code: Instruction[] = []

  #add(i: Instruction): number {
    return this.code.push(i) - 1
  }

  end(): number {
    return this.#add({ op: 'end' })
  }

  byte(set: ByteSet, next: number): number {
    return this.#add({ op: 'byte', set, next })
  }

  /** The bytes of a text. */
  text(text: string, next: number): number {
    for (const b of Buffer.from(text).reverse()) next = this.byte(byteSet(b), next)
    return next
  }

  /** Byte sets one after the other. */
  row(sets: readonly ByteSet[], next: number): number {
    for (const set of sets.toReversed()) next = this.byte(set, next)
    return next
  }

  either(...to: readonly number[]): number {
    return to.length === 1 ? to[0]! : this.#add({ op: 'split', to })
  }

  call(routine: Routine, next: number): number {
    return this.#add({ op: 'call', routine, next })
  }

  /** A language of its own: `body` gets where it ends. */
  routine(body: (end: number) => number): Routine {
    const r = { entry: -1 }
    this.define(r, body)
    return r
  }

  define(routine: Routine, body: (end: number) => number): void {
    routine.entry = body(this.#add({ op: 'return' }))
  }

  /** `least` to `most` (which may be Infinity) times `one`. */
  times(least: number, most: number, one: (next: number) => number, end: number): number {
    let next = end
    if (most === Infinity) {
      const to: number[] = [end]
      next = this.#add({ op: 'split', to })
      to.push(one(next))
    } else for (let i = least; i < most; i++) next = this.either(end, one(next))
    for (let i = 0; i < least; i++) next = one(next)
    return next
  }
}
