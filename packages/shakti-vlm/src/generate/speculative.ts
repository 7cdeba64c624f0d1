// Speculative decoding (arXiv 2211.17192): a small model guesses a few tokens one by one, the large one reads them all at once and
// keeps those that it would have written. Without temperature the text is that of the large model alone; with it, its distribution.
import { cat, ShaktiError, tensor, tidy } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import type { Candidates } from './candidates.js'
import type { Chosen, Continuation, Written } from './continuation.js'
import { open, type Opened, type ReadingOptions } from './open.js'
import { checkCount, checkPrompt, type Prompt } from './prompt.js'
import { readLikeliest, readRows, type Likeliest, type Reader } from './reader.js'

export interface DraftOptions {
  /** Reads the same tokens and images as the large model: the same vocabulary, image token, patch sizes and merge. */
  readonly model: ShaktiVlm
  /** Tokens guessed at a time. Default 4. */
  readonly tokens?: number
}

export interface Guesses {
  drafted: number
  accepted: number
}

/** Checks that a draft model fits. @throws ShaktiError naming what differs */
export function checkDraft(
  what: string,
  model: ShaktiVlm,
  prompt: Prompt,
  draft: DraftOptions,
): void {
  checkCount(what, 'draft.tokens', draft.tokens ?? 4)
  const [large, small] = [model.config, draft.model.config]
  const differ = (name: string, a: unknown, b: unknown): void => {
    if (a !== b)
      throw new ShaktiError(
        what,
        `draft.model has ${name} ${String(b)}, the model ${String(a)}. A draft model must read the same tokens.`,
      )
  }
  differ('a vocabulary of', large.decoder.vocab, small.decoder.vocab)
  differ('the image token', large.imageToken, small.imageToken)
  if (small.decoder.context < large.decoder.context)
    throw new ShaktiError(
      what,
      `draft.model has a context of ${small.decoder.context}, the model of ${large.decoder.context}.`,
    )
  checkPrompt(what, draft.model, prompt)
}

/** Probabilities of tokens; those that are not in it have none. */
type Distribution = ReadonlyMap<number, number>

function distribution(candidates: Candidates): Distribution {
  const log = candidates.logSumExp()
  const out = new Map<number, number>()
  for (let i = 0; i < candidates.count; i++) {
    const id = candidates.ids[i]!
    out.set(id, Math.exp(candidates.scores[id]! - log))
  }
  return out
}

function draw(weights: Distribution, u: number): number {
  let total = 0
  for (const w of weights.values()) total += w
  let x = u * total
  let last = 0
  for (const [id, w] of weights) {
    if (w === 0) continue
    last = id
    if ((x -= w) < 0) return id
  }
  return last
}

/** Guesses for the next tokens, and what the large model has in their places and behind the last. */
interface Round {
  readonly ids: readonly number[]
  /** The large model's token in place i, when all guesses before it were right. */
  choose(i: number): Chosen
}

/** All on the device: nothing is read before the large model is under way. */
async function greedyRound(
  large: Reader,
  small: Reader,
  unread: Int32Array,
  pending: number,
  n: number,
): Promise<Round> {
  const found: Likeliest[] = []
  for (let i = 0; i < n; i++)
    found.push(small.likeliest(small.stepToLast(i === 0 ? unread : found[i - 1]!.ids)))
  const all = tidy(() =>
    cat(
      [tensor(Int32Array.of(pending), { device: large.model.device }), ...found.map((f) => f.ids)],
      0,
    ),
  )
  const checked = large.likeliest(large.step(all))
  all.dispose()
  const ids: number[] = []
  for (const f of found) ids.push((await readLikeliest(f))[0]!)
  const right = await readLikeliest(checked)
  return { ids, choose: (i) => ({ id: right[i]! }) }
}

async function sampledRound(
  large: Reader,
  small: Reader,
  unread: Int32Array,
  pending: number,
  n: number,
  text: Continuation,
): Promise<Round> {
  const ids: number[] = []
  const beliefs: Distribution[] = []
  for (let next = unread; ids.length < n; next = Int32Array.of(ids.at(-1)!)) {
    const logits = (await readRows(small.stepToLast(next)))[0]!
    const candidates = text.candidates(logits)
    const belief = distribution(candidates)
    const id = text.drawn ? draw(belief, text.random()) : candidates.likeliest()
    ids.push(id)
    beliefs.push(belief)
    text.try(id)
    if (text.endsWith(id)) break
  }
  for (const _ of ids) text.untry()
  const rows = await readRows(large.step(Int32Array.of(pending, ...ids)))
  const choose = (i: number): Chosen => {
    const row = rows[i]!
    const guess = ids[i]
    if (guess === undefined || !text.drawn) return text.choose(row)
    const said = text.describe(row)
    const target = distribution(text.candidates(row))
    const belief = beliefs[i]!
    // Kept with probability min(1, p / q); else drawn from what p has above q.
    if (text.random() * belief.get(guess)! < (target.get(guess) ?? 0)) return said(guess)
    const rest = new Map<number, number>()
    for (const [id, p] of target) rest.set(id, Math.max(0, p - (belief.get(id) ?? 0)))
    return said(draw(rest, text.random()))
  }
  return { ids, choose }
}

/**
 * Tokens as `text` would take them from the large model alone.
 * @param opened the prompt as the large model read it
 * @param guesses counts them
 */
export async function* speculate(
  { reader: large, logits }: Opened,
  text: Continuation,
  prompt: Prompt,
  draft: DraftOptions,
  guesses: Guesses,
  options: ReadingOptions,
): AsyncGenerator<Written, void> {
  const { model, tokens: most = 4 } = draft
  const length = prompt.ids.length
  const wasTraining = model.training
  model.eval()
  let assistant: Opened | undefined
  try {
    let next = text.push(text.choose((await readRows(logits))[0]!))
    if (!next.finish) {
      const source = checkPrompt('generate', model, prompt)
      const { onProgress: _, ...quiet } = options
      const reading = { ...quiet, prefixCache: undefined, limit: text.limit, rewind: most + 1 }
      assistant = await open(model, prompt, source, reading)
      assistant.logits.dispose()
    }
    yield next
    while (assistant && !next.finish) {
      options.signal?.throwIfAborted()
      const { reader: small } = assistant
      // All but the last token written is right in both caches, as far as it was read.
      const read = length + text.ids.length - 1
      if (small.cache.length > read) small.cache.truncate(read)
      const unread = Int32Array.from(text.ids.slice(small.cache.length - length))
      const n = Math.min(most, text.limit - text.ids.length - 1)
      const round = await (text.greedy ? greedyRound : sampledRound)(
        large,
        small,
        unread,
        text.ids.at(-1)!,
        n,
        text,
      )
      guesses.drafted += round.ids.length
      for (let i = 0, agreed = true; agreed && !next.finish; i++) {
        const chosen = round.choose(i)
        agreed = chosen.id === round.ids[i]
        if (agreed) guesses.accepted++
        // What was guessed in vain leaves the cache before the text goes on.
        else large.cache.truncate(length + text.ids.length)
        next = text.push(chosen)
        yield next
      }
    }
  } finally {
    assistant?.reader.dispose()
    model.train(wasTraining)
  }
}
