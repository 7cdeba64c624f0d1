// A model that answers messages: what chat and describe have in common.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { setNumThreads, ShaktiError } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import type { ChatMessage } from '@shakti/tokenizer'
import {
  choice,
  decimal,
  flag,
  integer,
  list,
  Progress,
  Rate,
  size,
  text,
  UsageError,
} from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { fromPretrained, generate, ImageProcessor, PrefixCache } from '@shakti/vlm'
import type {
  DraftModelOptions,
  EncodedImage,
  Finish,
  GenerateOptions,
  Prompt,
  ShaktiVlm,
  Timing,
  TokenConstraint,
  Usage,
} from '@shakti/vlm'
import { readingBar } from './io.js'
import type { Io } from './io.js'
import { modelIn } from './presets.js'

export const answerOptions = {
  'max-tokens': { type: 'string' },
  temperature: { type: 'string' },
  'top-k': { type: 'string' },
  'top-p': { type: 'string' },
  'min-p': { type: 'string' },
  'typical-p': { type: 'string' },
  'repetition-penalty': { type: 'string' },
  'presence-penalty': { type: 'string' },
  'frequency-penalty': { type: 'string' },
  seed: { type: 'string' },
  stop: { type: 'string', multiple: true },
  draft: { type: 'string' },
  lookup: { type: 'string' },
  'draft-tokens': { type: 'string' },
  kv: { type: 'string' },
  packed: { type: 'boolean' },
  threads: { type: 'string' },
} as const

export const answerHelp = `  --max-tokens N             of an answer (256)
  --temperature T            0 takes the likeliest token always (0)
  --top-k N, --top-p P       only the N likeliest; only those that together reach P
  --min-p P, --typical-p P   only those P times as likely as the likeliest; only the most typical that reach P
  --repetition-penalty F     scores of tokens that were there are divided by it (1)
  --presence-penalty F       taken from the scores of tokens written (0)
  --frequency-penalty F      the same, as often as they were written (0)
  --seed N                   one seed, one text (0)
  --stop TEXT                ends an answer; may be repeated
  --draft DIR                a smaller model guesses tokens ahead: the same answer, sooner where it is often right. It may have
                             another tokenizer; beyond its context it does not guess
  --lookup N                 guesses what followed the last N tokens before, in place of a draft model
  --draft-tokens N           guessed at a time (4)
  --kv TYPE                  keys and values in f32, bf16 or i8 (that of the activations)
  --packed                   lay matrices out for products: slower to load, faster to answer
  --threads N                of the CPU (all cores)`

/** Options of an answer, checked as far as their form goes; the library checks their ranges before any work. */
export function answerOptionsOf(args: Arguments): GenerateOptions {
  const lookup = integer(args, 'lookup')
  const model = text(args, 'draft')
  if (lookup !== undefined && model !== undefined)
    throw new UsageError('--draft and --lookup exclude each other.')
  if (lookup === undefined && model === undefined && text(args, 'draft-tokens') !== undefined)
    throw new UsageError('--draft-tokens needs --draft or --lookup.')
  const given: Record<string, unknown> = {
    maxTokens: integer(args, 'max-tokens'),
    temperature: decimal(args, 'temperature'),
    topK: integer(args, 'top-k'),
    topP: decimal(args, 'top-p'),
    minP: decimal(args, 'min-p'),
    typicalP: decimal(args, 'typical-p'),
    repetitionPenalty: decimal(args, 'repetition-penalty'),
    presencePenalty: decimal(args, 'presence-penalty'),
    frequencyPenalty: decimal(args, 'frequency-penalty'),
    seed: integer(args, 'seed'),
    stop: list(args, 'stop'),
    kvDtype: choice(args, 'kv', ['f32', 'bf16', 'i8']),
    draft: lookup === undefined ? undefined : { lookup, ...draftTokens(args) },
  }
  return Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined))
}

function draftTokens(args: Arguments): { tokens?: number } {
  const tokens = integer(args, 'draft-tokens')
  return tokens === undefined ? {} : { tokens }
}

/** --threads, where it is given. */
export function useThreads(args: Arguments): void {
  const threads = integer(args, 'threads')
  if (threads === 0) throw new UsageError('--threads is 0. At least 1 is expected.')
  if (threads !== undefined) setNumThreads(threads)
}

/** Loads a model, with a bar where it takes long. */
export async function loadModel(
  folder: string,
  args: Arguments,
  { stderr }: Io,
  signal: AbortSignal,
): Promise<ShaktiVlm> {
  const progress = new Progress(stderr)
  let rate: Rate | undefined
  try {
    return await fromPretrained(folder, {
      packed: flag(args, 'packed'),
      signal,
      onProgress: (done, total) => {
        rate ??= new Rate('loading', total, (n) => `${size(n)}/s`)
        progress.update(rate.at(done))
      },
    })
  } finally {
    progress.stop()
  }
}

export interface Answer {
  readonly text: string
  /** 'interrupted' by the signal. */
  readonly finish: Finish | 'interrupted'
  readonly usage?: Usage
  readonly timing?: Timing
}

/** An image as the model reads it, and as its draft model does. */
export interface Picture extends EncodedImage {
  readonly draft?: EncodedImage
}

/** What the model is to read, and what its draft model. */
export interface Asked extends Prompt {
  readonly ids: readonly number[]
  readonly images: readonly Picture[]
  readonly draft?: Prompt
}

/** A model that guesses ahead, and how it fits the other. */
interface Draft {
  readonly assistant: Assistant
  readonly options: Omit<DraftModelOptions, 'prompt'>
}

export class Assistant {
  readonly prefixCache: PrefixCache
  readonly #processor: ImageProcessor
  readonly #constraint: TokenConstraint | undefined
  #draft: Draft | undefined

  private constructor(
    readonly folder: string,
    readonly model: ShaktiVlm,
    readonly tokenizer: Tokenizer,
    readonly stopTokens: readonly number[],
    readonly io: Io,
  ) {
    const { vision, projector, decoder } = model.config
    this.#processor = new ImageProcessor({ vision, merge: projector.merge })
    this.prefixCache = new PrefixCache(model)
    this.#constraint =
      tokenizer.vocabSize < decoder.vocab ? tokensOf(tokenizer, stopTokens) : undefined
  }

  /** With the draft model that --draft names. */
  static async load(
    folder: string,
    args: Arguments,
    io: Io,
    signal: AbortSignal,
  ): Promise<Assistant> {
    useThreads(args)
    const draft = text(args, 'draft')
    if (draft !== undefined) await modelIn(draft)
    const assistant = await Assistant.#load(folder, args, io, signal)
    if (draft !== undefined)
      assistant.#guessedBy(await Assistant.#load(draft, args, io, signal), args)
    return assistant
  }

  static async #load(
    folder: string,
    args: Arguments,
    io: Io,
    signal: AbortSignal,
  ): Promise<Assistant> {
    // Short work first: a folder without a tokenizer is told before its weights are read.
    const tokenizer = await Tokenizer.fromPretrained(folder)
    const stopTokens = await stopTokensOf(folder, tokenizer)
    const model = await loadModel(folder, args, io, signal)
    const { vocab } = model.config.decoder
    if (tokenizer.vocabSize > vocab)
      throw new ShaktiError(
        folder,
        `the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocabulary ${vocab}. Use the tokenizer that the model was trained with.`,
      )
    return new Assistant(folder, model, tokenizer, stopTokens, io)
  }

  #guessedBy(assistant: Assistant, args: Arguments): void {
    const { model, tokenizer, stopTokens, prefixCache } = assistant
    const [mine, its] = [this.model.config, model.config]
    const sameIds =
      mine.decoder.vocab === its.decoder.vocab &&
      mine.imageToken === its.imageToken &&
      this.tokenizer.vocabSize === tokenizer.vocabSize &&
      isDeepStrictEqual(this.tokenizer.toJSON(), tokenizer.toJSON())
    const options = {
      ...{ model, prefixCache, ...draftTokens(args) },
      ...(sameIds ? {} : { tokenizer, stopTokens }),
    }
    this.#draft = { assistant, options }
  }

  /** Reads an image file. */
  async image(path: string): Promise<Picture> {
    if (this.model.config.imageToken === undefined)
      throw new ShaktiError(
        path,
        `${this.folder} has no image token, so it takes text alone. 'shakti init' writes one into config.json.`,
      )
    const own = await this.#processor.encode(path)
    return this.#draft ? { ...own, draft: await this.#draft.assistant.image(path) } : own
  }

  /** A conversation as the model reads it, up to where the answer begins. */
  prompt(messages: readonly ChatMessage[], images: readonly Picture[]): Asked {
    const { tokenizer, model } = this
    const imageToken = tokenizer.idToToken(model.config.imageToken ?? -1)
    const { ids } = tokenizer.applyChatTemplate(messages, {
      addGenerationPrompt: true,
      ...(images.length > 0 && imageToken !== undefined
        ? { imageToken, imageTokens: images.map((i) => this.#processor.tokens(i)) }
        : {}),
    })
    if (!this.#draft) return { ids, images }
    const draft = this.#draft.assistant.prompt(
      messages,
      images.map((i) => i.draft!),
    )
    return { ids, images, draft }
  }

  /** What guesses ahead; nothing where its context is too short for the prompt. */
  #guessing(prompt: Prompt | undefined): { draft?: DraftModelOptions } {
    if (!this.#draft || !prompt) return {}
    const { options } = this.#draft
    const { context } = options.model.config.decoder
    return prompt.ids.length < context ? { draft: { ...options, prompt } } : {}
  }

  /** Answers piece by piece. What was read for an earlier answer is not read again. */
  async answer(
    { draft, ...prompt }: Asked,
    options: GenerateOptions,
    signal: AbortSignal,
    onText: (text: string) => void,
  ): Promise<Answer> {
    const { model, tokenizer, stopTokens, prefixCache } = this
    let text = ''
    let last: Omit<Answer, 'text'> = { finish: 'interrupted' }
    const bar = readingBar(this.io)
    try {
      for await (const token of generate(model, prompt, {
        ...options,
        ...this.#guessing(draft),
        tokenizer,
        stopTokens,
        prefixCache,
        signal,
        onProgress: bar.onProgress,
        ...(this.#constraint ? { constraint: this.#constraint } : {}),
      })) {
        bar.stop()
        text += token.text
        if (token.text !== '') onText(token.text)
        const { finish, usage, timing } = token
        if (finish && usage && timing) last = { finish, usage, timing }
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      bar.stop()
    }
    return { text, ...last }
  }
}

/** What ends an answer: what generation_config.json says, the tokenizer's end of text, and the end of a turn in our format. */
async function stopTokensOf(folder: string, tokenizer: Tokenizer): Promise<number[]> {
  const file = join(folder, 'generation_config.json')
  const source = await readFile(file, 'utf8').catch(() => '{}')
  let given: unknown
  try {
    given = (JSON.parse(source) as { eos_token_id?: unknown } | null)?.eos_token_id
  } catch (error) {
    throw new ShaktiError(file, `is not JSON: ${(error as Error).message}.`)
  }
  const turn = tokenizer.tokenToId('<|end_of_turn|>')
  const ids = [given, tokenizer.eosId, turn].flat()
  return [...new Set(ids.filter((id): id is number => Number.isInteger(id)))]
}

/** Models pad their vocabulary: of ids that the tokenizer has no token for none is written. */
function tokensOf(tokenizer: Tokenizer, stopTokens: readonly number[]): TokenConstraint<null> {
  const { vocabSize: vocab } = tokenizer
  const tokens = new Uint32Array(Math.ceil(vocab / 32))
  for (let id = 0; id < vocab; id++)
    if (tokenizer.idToToken(id) !== undefined && !stopTokens.includes(id))
      tokens[id >> 5]! |= 1 << (id & 31)
  return {
    vocab,
    shortest: 0,
    start: () => null,
    next: () => null,
    mayEnd: () => true,
    allowed: () => ({ tokens, mayEnd: true, mustEnd: false }),
  }
}

/** A model's text for a terminal: it cannot move the cursor. */
export const onTerminal = (text: string): string =>
  // eslint-disable-next-line no-control-regex -- what is taken out
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')

/** What an answer cost, in a line. */
export function costOf({ usage, timing }: Answer): string {
  if (!usage || !timing) return 'stopped'
  const { prompt, cached, visual, generated, drafted, accepted } = usage
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
  return (
    `${prompt} tokens read${visual > 0 ? `, ${visual} of images` : ''}${cached > 0 ? `, ${cached} known` : ''}; ` +
    `${generated} written, the first after ${seconds(timing.firstToken)}` +
    `${timing.encode > 0 ? ` (encoder ${seconds(timing.encode)})` : ''}` +
    `${timing.tokensPerSecond > 0 ? `, then ${timing.tokensPerSecond.toFixed(1)} a second` : ''}` +
    `${drafted === undefined ? '' : `; ${accepted} of ${drafted} guesses right`}`
  )
}
