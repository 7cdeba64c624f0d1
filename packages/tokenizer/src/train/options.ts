// What training takes, checked and with its defaults.

import { DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS } from '../chat/default.js'
import { TokenizerError, brief } from '../errors.js'
import { LONE_SURROGATE } from '../text/utf8.js'
import { cutsAtBlanks, patternRegex } from './patterns.js'
import type { SplitPattern } from './patterns.js'
import type { TrainProgress } from './progress.js'
import type { Pruned } from './word-counts.js'

export interface TrainOptions {
  /** Ids in the end, bytes and special tokens among them. Fewer where the texts have no more pairs to merge. */
  readonly vocabSize: number
  /** A pair met less often than this is not merged; default 2. */
  readonly minFrequency?: number
  /** Default `DEFAULT_SPECIAL_TOKENS`; they get the last ids, in this order. */
  readonly specialTokens?: readonly string[]
  /** Default '<|begin_of_text|>', '<|end_of_text|>' and '<|pad|>' where they are among the special tokens. */
  readonly bosToken?: string
  readonly eosToken?: string
  readonly padToken?: string
  /** Jinja source; default `DEFAULT_CHAT_TEMPLATE` with the default special tokens, none with others. */
  readonly chatTemplate?: string
  /** How text is cut into the words that tokens stay within; default 'llama3'. */
  readonly pattern?: SplitPattern
  /** Digits in one word at most, in place of what the pattern says (three; any number in 'gpt2'). */
  readonly digits?: number
  /** Bytes of a token at most; default no limit. */
  readonly maxTokenLength?: number
  /**
   * Bytes that counting and merging may take, about; default 1 GiB. Where the different words need more, the
   * rarest are dropped: `onPruned` says what was lost. The result is the same for any number of workers.
   */
  readonly maxMemory?: number
  /** Called now and then, at most ten times a second. */
  readonly onProgress?: (progress: TrainProgress) => void
  /** Called once, before merging, where `maxMemory` made words go. */
  readonly onPruned?: (pruned: Pruned) => void
}

/** Options with defaults, checked. */
export interface TrainPlan {
  /** Tokens of the model, special ones not among them. */
  readonly tokens: number
  readonly minFrequency: number
  readonly maxTokenLength: number
  readonly specialTokens: readonly string[]
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly chatTemplate: string | null
  readonly regex: string
  readonly cutsAtBlanks: boolean
  /** Positions of words that are kept, see WordCounts. */
  readonly positions: number
}

/** What a position costs, bytes: 40 measured on 100 MB of mixed text, and room for arrays that are growing. */
const BYTES_A_POSITION = 60

export function planTraining(options: TrainOptions): TrainPlan {
  const {
    vocabSize,
    minFrequency = 2,
    specialTokens = DEFAULT_SPECIAL_TOKENS,
    pattern = 'llama3',
    maxTokenLength = Number.POSITIVE_INFINITY,
    maxMemory = 2 ** 30,
  } = options
  checkSpecialTokens(specialTokens)
  const least = 256 + specialTokens.length
  if (!Number.isInteger(vocabSize) || vocabSize < least || vocabSize > 2 ** 20) {
    refuse(
      `vocabSize is ${vocabSize}. An integer from ${least} (256 bytes and ${specialTokens.length} special tokens)` +
        ` to ${2 ** 20} is expected.`,
    )
  }
  if (!Number.isInteger(minFrequency) || minFrequency < 1) {
    refuse(`minFrequency is ${minFrequency}. At least 1 is expected.`)
  }
  if (!(maxTokenLength >= 1)) refuse(`maxTokenLength is ${maxTokenLength}. At least 1 is expected.`)
  if (!(maxMemory >= 2 ** 20)) {
    refuse(`maxMemory is ${maxMemory}. At least ${2 ** 20} bytes are expected.`)
  }
  const named = (option: 'bosToken' | 'eosToken' | 'padToken', usual: string): string | null => {
    const given = options[option]
    if (given === undefined) return specialTokens.includes(usual) ? usual : null
    if (specialTokens.includes(given)) return given
    return refuse(`${option} ${brief(given)} is not among specialTokens.`)
  }
  const ours = DEFAULT_SPECIAL_TOKENS.every((token) => specialTokens.includes(token))
  return {
    tokens: vocabSize - specialTokens.length,
    minFrequency,
    maxTokenLength,
    specialTokens,
    bosToken: named('bosToken', '<|begin_of_text|>'),
    eosToken: named('eosToken', '<|end_of_text|>'),
    padToken: named('padToken', '<|pad|>'),
    chatTemplate: options.chatTemplate ?? (ours ? DEFAULT_CHAT_TEMPLATE : null),
    regex: patternRegex(pattern, options.digits),
    cutsAtBlanks: cutsAtBlanks(pattern),
    // Positions are counted in 32 bits; each takes three places at most.
    positions: Math.min(Math.floor(maxMemory / BYTES_A_POSITION), 2 ** 29),
  }
}

function refuse(message: string): never {
  throw new TokenizerError('Tokenizer.train', message)
}

function checkSpecialTokens(tokens: readonly string[]): void {
  const seen = new Set<string>()
  for (const token of tokens) {
    if (typeof token !== 'string' || token.length < 2 || LONE_SURROGATE.test(token)) {
      refuse(`specialTokens has ${brief(token)}. A text of two characters or more is expected.`)
    }
    if (seen.has(token)) refuse(`specialTokens has ${brief(token)} twice.`)
    seen.add(token)
  }
}
