// Continuing one prompt, as a stream of tokens.
import { ShaktiError, type Tensor } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import type { TokenLogProb } from './candidates.js'
import {
  checkWriting,
  Continuation,
  type Finish,
  type WritingOptions,
  type Written,
} from './continuation.js'
import { checkReading, open, type Opened, type ReadingOptions } from './open.js'
import { PrefixCache } from './prefixCache.js'
import { checkPrompt, type Prompt } from './prompt.js'
import { readLikeliest, readRows } from './reader.js'
import { timingOf, type Timing, type Usage } from './result.js'
import { proposerOf, type DraftOptions } from './proposers.js'
import { speculate } from './speculative.js'

export interface GenerateOptions extends WritingOptions, ReadingOptions {
  /** What was read before is not read again. Default: none. */
  prefixCache?: PrefixCache
  /** A smaller model, or what was written before, guesses several tokens, which this one then reads at once (speculative decoding). */
  draft?: DraftOptions
}

export interface GeneratedToken extends Written {
  /** Set on the last one. */
  readonly usage?: Usage
  /** Set on the last one. */
  readonly timing?: Timing
}

export interface GeneratedText {
  readonly text: string
  /** The tokens written, without a stop token. */
  readonly ids: readonly number[]
  readonly finish: Finish
  readonly usage: Usage
  readonly timing: Timing
  /** With `logprobs`: of each token of `ids`. */
  readonly logprobs?: readonly { readonly logprob: number; readonly top: readonly TokenLogProb[] }[]
}

/**
 * Continues a prompt, token by token. The last token comes with `finish`, `usage` and `timing`.
 * @throws ShaktiError for what cannot be, before any work: options out of range, ids outside the vocabulary, placeholders and images
 * that do not agree, a prompt as long as the context
 * @example for await (const { text } of generate(model, { ids, images }, { tokenizer, stopTokens: [eot] })) process.stdout.write(text)
 */
export async function* generate(
  model: ShaktiVlm,
  prompt: Prompt,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, void> {
  const start = performance.now()
  const { prefixCache, draft, signal, kvDtype } = options
  checkWriting('generate', model, options)
  checkReading('generate', options)
  const source = checkPrompt('generate', model, prompt)
  if (prefixCache !== undefined && !(prefixCache instanceof PrefixCache))
    throw new ShaktiError('generate', 'prefixCache must be a PrefixCache.')
  const drafting = draft && proposerOf('generate', model, prompt, draft, options)
  const text = new Continuation('generate', model, prompt.ids, options)
  const wasTraining = model.training
  model.eval()
  let opened: Opened | undefined
  try {
    signal?.throwIfAborted()
    const rewind = drafting ? drafting.most + 1 : 0
    opened = await open(model, prompt, source, { ...options, limit: text.limit, rewind })
    const { cached, visual, encode, prefill } = opened
    const guesses = { drafted: 0, accepted: 0 }
    let first = 0
    const tokens = drafting
      ? speculate(opened, text, prompt.ids.length, drafting, guesses, signal)
      : write(opened, text, signal)
    for await (const token of tokens) {
      first ||= performance.now()
      if (!token.finish) {
        yield token
        continue
      }
      const generated = text.ids.length
      const usage: Usage = {
        prompt: prompt.ids.length,
        cached,
        visual,
        generated,
        ...(drafting ? guesses : {}),
      }
      const at = { start, first, last: performance.now() }
      yield { ...token, usage, timing: timingOf({ encode, prefill }, at, generated) }
    }
  } finally {
    drafting?.proposer.dispose()
    if (opened) {
      const { reader, keys } = opened
      if (prefixCache) {
        // What was written is the beginning of the next question of a dialogue.
        const read = [...keys, ...text.ids].slice(0, reader.cache.length)
        if (read.length > keys.length) prefixCache.add(reader.cache, kvDtype, read)
      }
      reader.dispose()
    }
    model.train(wasTraining)
  }
}

/** One token after the other. */
async function* write(
  { reader, logits: first }: Opened,
  text: Continuation,
  signal: AbortSignal | undefined,
): AsyncGenerator<Written, void> {
  let logits: Tensor | undefined = first
  try {
    while (logits) {
      let written: Written
      const now: Tensor = logits
      logits = undefined
      if (text.greedy) written = text.push({ id: (await readLikeliest(reader.likeliest(now)))[0]! })
      else written = text.push(text.choose((await readRows(now))[0]!))
      if (!written.finish) {
        // The device works on the next token while this one is on its way to the reader.
        logits = reader.step(Int32Array.of(written.id))
        text.prepare()
      }
      yield written
      signal?.throwIfAborted()
    }
  } finally {
    logits?.dispose()
  }
}

/** The whole continuation at once; what `generate` yields, put together. */
export async function generateText(
  model: ShaktiVlm,
  prompt: Prompt,
  options: GenerateOptions = {},
): Promise<GeneratedText> {
  const { stopTokens = [] } = options
  const tokens: GeneratedToken[] = []
  for await (const token of generate(model, prompt, options)) tokens.push(token)
  const { finish, usage, timing } = tokens.at(-1)!
  const kept = tokens.filter((t, i) => i < tokens.length - 1 || !stopTokens.includes(t.id))
  return {
    text: tokens.map((t) => t.text).join(''),
    ids: kept.map((t) => t.id),
    finish: finish!,
    usage: usage!,
    timing: timing!,
    ...(options.logprobs === undefined
      ? {}
      : { logprobs: kept.map((t) => ({ logprob: t.logprob!, top: t.top! })) }),
  }
}
