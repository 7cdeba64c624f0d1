// What a text may be: tokens that would lead elsewhere are not written.

/** A bit for each token: bit id & 31 of word id >> 5. */
export type TokenMask = Uint32Array

export interface Allowed {
  readonly tokens: TokenMask
  /** Whether the text may end here: then stop tokens are allowed as well. */
  readonly mayEnd: boolean
  /** Whether no token is allowed: the text ends here. */
  readonly mustEnd: boolean
}

/**
 * Which tokens may come next, by a state that a text's tokens lead to. States are values: generation keeps old ones and goes back
 * to them (speculative decoding). One constraint may serve many texts.
 */
export interface TokenConstraint<State = unknown> {
  /** Size of the vocabulary that it was made for; must not exceed the model's. */
  readonly vocab: number
  /** Before the first token. */
  start(): State
  /**
   * @param room tokens that may still be written: only those are allowed after which the text can be completed within it. Where that is
   * not possible any more, as if there were room.
   */
  allowed(state: State, room: number): Allowed
  /** Whether a text may end here; `allowed` says the same, and costs more. */
  mayEnd(state: State): boolean
  /** After a token that was allowed. */
  next(state: State, id: number): State
  /** The fewest tokens that complete a text; generation with less is refused. */
  readonly shortest: number
}

export const inMask = (mask: TokenMask, id: number): boolean =>
  ((mask[id >> 5]! >>> (id & 31)) & 1) === 1
