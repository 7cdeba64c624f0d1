// The files of a tokenizer's folder, by their names.

import { templateName } from '../chat/templates.js'
import { FileFormatError } from '../errors.js'
import { JsonReader } from './json-reader.js'
import { Reader } from './reader.js'
import { readTokenizerDocument } from './tokenizer-document.js'
import type { TokenizerDocument } from './tokenizer-document.js'
import { documentOfClass } from './vocab-classes.js'
import { parseMergesTxt, parseVocabJson } from './vocab-merges.js'

/** Files by name, such as 'tokenizer.json', as they are on disk or as text. */
export type TokenizerFiles = Readonly<Record<string, string | Uint8Array>>

/** What there is beside the two usual files, and the names of these for errors. */
export interface FurtherFiles {
  readonly tokenizer?: string
  readonly config?: string
  /** Jinja sources of chat templates with files of their own, by name ('default': chat_template.jinja). */
  readonly chatTemplates?: Readonly<Record<string, string>>
  /** special_tokens_map.json and added_tokens.json, parsed. */
  readonly specialTokensMap?: unknown
  readonly addedTokens?: unknown
}

export interface Folder {
  readonly document: TokenizerDocument
  readonly config: unknown
  readonly further: FurtherFiles
}

/** Names of the files that are read, but for the further chat templates. */
export const FILE_NAMES: readonly string[] = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
]

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Reads what there is. `pathOf` gives the names for errors. Throws FileFormatError. */
export function readFolder(files: TokenizerFiles, pathOf: (name: string) => string): Folder {
  const bytesOf = (name: string): Uint8Array | undefined => {
    const file = Object.hasOwn(files, name) ? files[name] : undefined
    return typeof file === 'string' ? encoder.encode(file) : file
  }
  const jsonOf = (name: string): unknown => {
    const bytes = bytesOf(name)
    if (bytes === undefined) return undefined
    const reader = new JsonReader(bytes, pathOf(name))
    const value = reader.value('file')
    if (reader.peek() !== -1) reader.fail('file', 'has more than one JSON value.')
    return value
  }
  const config = jsonOf('tokenizer_config.json') ?? {}
  const specialTokensMap = jsonOf('special_tokens_map.json')
  const addedTokens = jsonOf('added_tokens.json')
  const templates: [string, string][] = []
  for (const [file, source] of Object.entries(files)) {
    const name = templateName(file)
    if (name !== undefined) {
      templates.push([name, typeof source === 'string' ? source : decoder.decode(source)])
    }
  }
  return {
    document: documentOf(bytesOf, config, pathOf),
    config,
    further: {
      tokenizer: pathOf('tokenizer.json'),
      config: pathOf('tokenizer_config.json'),
      chatTemplates: Object.fromEntries(templates),
      ...(specialTokensMap !== undefined && { specialTokensMap }),
      ...(addedTokens !== undefined && { addedTokens }),
    },
  }
}

/** tokenizer.json, or what it would hold by vocab.json, merges.txt and the class that the config names. */
function documentOf(
  bytesOf: (name: string) => Uint8Array | undefined,
  config: unknown,
  pathOf: (name: string) => string,
): TokenizerDocument {
  const bytes = bytesOf('tokenizer.json')
  if (bytes !== undefined) return readTokenizerDocument(bytes, pathOf('tokenizer.json'))
  const vocab = bytesOf('vocab.json')
  const merges = bytesOf('merges.txt')
  if (vocab === undefined || merges === undefined) {
    const message = 'is missing, and there are no vocab.json and merges.txt in its place.'
    throw new FileFormatError(pathOf('tokenizer.json'), 'file', message)
  }
  const configFile = pathOf('tokenizer_config.json')
  return documentOfClass(
    parseVocabJson(vocab, pathOf('vocab.json')),
    parseMergesTxt(merges, pathOf('merges.txt')),
    new Reader(configFile).object(config, 'file'),
    configFile,
  )
}
