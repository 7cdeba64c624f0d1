// What a tokenizer is made of, put together from its files.

import { parseConfig } from './config.js'
import type { TokenizerConfig } from './config.js'
import { TokenizerError } from './errors.js'
import { furtherTokens, withEnds, withPrefixSpace } from './files/config-switches.js'
import type { FurtherFiles } from './files/folder.js'
import type { JsonObject } from './files/reader.js'
import { parseRanks, tiktokenSpecials } from './files/tiktoken.js'
import type { Ranks } from './files/tiktoken.js'
import type { TokenizerDocument } from './files/tokenizer-document.js'
import { byteLevelFile, readTokenizerJson } from './files/tokenizer-json.js'
import { Pipeline } from './pipeline.js'
import { PatternError } from './regex/syntax.js'
import { splitterOf } from './split/words.js'

export interface TiktokenOptions {
  /** The regular expression that cuts text into words, as tiktoken writes it (`pat_str`). */
  readonly pattern: string
  /** Special tokens and their ids. */
  readonly specialTokens?: Readonly<Record<string, number>>
  /** Named in the errors; default 'ranks'. */
  readonly file?: string
}

/** From tokenizer.json and the files beside it. Throws FileFormatError. */
export function readDocument(
  document: TokenizerDocument,
  tokenizerConfig: unknown,
  files: FurtherFiles,
): { pipeline: Pipeline; config: TokenizerConfig } {
  const configName = files.config ?? 'tokenizer_config.json'
  const root = (isObject(tokenizerConfig) ? tokenizerConfig : {}) as JsonObject
  const further = furtherTokens(document, root, configName, files.addedTokens)
  const adjusted = withPrefixSpace(document, root, configName)
  let file = readTokenizerJson(adjusted, files.tokenizer ?? 'tokenizer.json', further)
  if (adjusted !== document) {
    const pre_tokenizer = structuredClone(document.pre_tokenizer)
    file = { ...file, shell: { ...file.shell, pre_tokenizer } }
  }
  const { vocab } = file.model
  const added = new Map(file.added.map((token) => [token.content, token.id]))
  const tokens = {
    tokenOf: (id: number) => vocab.tokenOf(id),
    idOf: (token: string) => added.get(token) ?? vocab.idOf(token),
  }
  const config = parseConfig(
    tokenizerConfig,
    (token) => tokens.idOf(token) !== undefined,
    configName,
    files.chatTemplates,
    files.specialTokensMap,
  )
  const ends = { bos: config.bosToken, eos: config.eosToken }
  const processor = withEnds(file.postProcessor, root, configName, ends, tokens)
  return { pipeline: new Pipeline(file, processor), config }
}

/** From tiktoken's ranks. Throws FileFormatError for what is wrong with them, TokenizerError for the options. */
export function readRanks(ranks: Ranks, options: TiktokenOptions): Pipeline {
  const { pattern, specialTokens = {}, file = 'ranks' } = options
  try {
    splitterOf(pattern)
  } catch (error) {
    if (!(error instanceof PatternError)) throw error
    const message = `pattern: ${error.message}.`
    throw new TokenizerError('Tokenizer.fromTiktoken', message, { cause: error })
  }
  const vocab = parseRanks(ranks, file)
  const parts = { pattern, specialTokens: tiktokenSpecials(specialTokens, vocab) }
  const model = { vocab, merges: null, ignoreMerges: true }
  return new Pipeline(byteLevelFile(model, parts, file))
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
