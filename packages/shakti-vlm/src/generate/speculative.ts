// Speculative decoding (arXiv 2211.17192): a proposer guesses a few tokens, the model reads them all at once and keeps those that it
// would have written. Without temperature the text is that of the model alone; with it, its distribution.
import { cat, tensor, Tensor, tidy } from '@shakti/tensor'
import type { Chosen, Continuation, Written } from './continuation.js'
import { distribution, draw, type Distribution } from './distribution.js'
import { readLikeliest, readRows, type Reader } from './reader.js'
import type { Opened } from './open.js'

/** Tokens that may come next, of the model that writes. */
export interface Guess {
  /** i32 [n], here or on the device, where they are perhaps not known yet. */
  readonly ids: Int32Array | Tensor
  /** Brings them here; a tensor's memory is given back. Called once, behind all that uses `ids`. */
  read(): Promise<ArrayLike<number>>
  /** What each was drawn from. Without it they are guesses and nothing else: right where the model chooses the same. */
  readonly beliefs?: readonly Distribution[]
}

/** Says what may come next. What it says changes the speed, never the text. */
export interface Proposer {
  /**
   * @param text written so far, at least a token
   * @param n tokens, at most; fewer or none are fine
   */
  propose(text: Continuation, n: number): Promise<Guess>
  dispose(): void
}

/** A guess that is known here. */
export const guess = (ids: readonly number[], beliefs?: readonly Distribution[]): Guess => ({
  ids: Int32Array.from(ids),
  read: () => Promise.resolve(ids),
  ...(beliefs ? { beliefs } : {}),
})

export interface Guesses {
  drafted: number
  accepted: number
}

/** Guesses, and what the model has in their places and behind the last. */
interface Round {
  readonly guessed: ArrayLike<number>
  /** The model's token in place i, when all guesses before it were right. */
  choose(i: number): Chosen
}

/** Reads the last token written and the guesses behind it. */
function step(reader: Reader, pending: number, ids: Int32Array | Tensor): Tensor {
  if (!(ids instanceof Tensor)) return reader.step(Int32Array.of(pending, ...ids))
  const { device } = reader.model
  const all = tidy(() => cat([tensor(Int32Array.of(pending), { device }), ids], 0))
  const logits = reader.step(all)
  all.dispose()
  return logits
}

async function verify(reader: Reader, text: Continuation, guess: Guess): Promise<Round> {
  const logits = step(reader, text.ids.at(-1)!, guess.ids)
  // Nothing is read before the model is under way.
  if (text.greedy) {
    const reading = readLikeliest(reader.likeliest(logits))
    const [guessed, right] = await Promise.all([guess.read(), reading])
    return { guessed, choose: (i) => ({ id: right[i]! }) }
  }
  const [guessed, rows] = await Promise.all([guess.read(), readRows(logits)])
  const choose = (i: number): Chosen => {
    const row = rows[i]!
    const belief = guess.beliefs?.[i]
    if (!belief) return text.choose(row)
    const id = guessed[i]!
    const said = text.describe(row)
    const target = distribution(text.candidates(row))
    // Kept with probability min(1, p / q); else drawn from what p has above q.
    if (text.random() * belief.get(id)! < (target.get(id) ?? 0)) return said(id)
    const rest = new Map<number, number>()
    for (const [id, p] of target) rest.set(id, Math.max(0, p - (belief.get(id) ?? 0)))
    return said(draw(rest, text.random()))
  }
  return { guessed, choose }
}

/**
 * Tokens as `text` would take them from the model alone.
 * @param opened the prompt as the model read it
 * @param length of the prompt
 * @param most guesses at a time
 * @param guesses counts them
 */
export async function* speculate(
  { reader, logits }: Opened,
  text: Continuation,
  length: number,
  { proposer, most }: { readonly proposer: Proposer; readonly most: number },
  guesses: Guesses,
  signal: AbortSignal | undefined,
): AsyncGenerator<Written, void> {
  let next = text.push(text.choose((await readRows(logits))[0]!))
  yield next
  while (!next.finish) {
    signal?.throwIfAborted()
    const n = Math.min(most, text.limit - text.ids.length - 1)
    const { guessed, choose } = await verify(reader, text, await proposer.propose(text, n))
    guesses.drafted += guessed.length
    for (let i = 0, agreed = true; agreed && !next.finish; i++) {
      const chosen = choose(i)
      agreed = chosen.id === guessed[i]
      if (agreed) guesses.accepted++
      // What was guessed in vain leaves the cache before the text goes on.
      else reader.cache.truncate(length + text.ids.length)
      next = text.push(chosen)
      yield next
    }
  }
}
