// Folders with vocab.json and merges.txt alone: the rest of a tokenizer.json is in the code of the class that
// tokenizer_config.json names, as transformers converts it.

import { brief } from '../errors.js'
import { QWEN2_PATTERN } from '../split/patterns.js'
import { byteLevel, byteLevelDocument, sequence, split } from './byte-level-json.js'
import { Reader } from './reader.js'
import type { JsonObject } from './reader.js'
import type { MergeList, TokenizerDocument, VocabList } from './tokenizer-document.js'

const CLIP_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"

/** A token that the config names, with its id. */
type Named = (field: string, usual: string) => [string, number]

const CLASSES: Readonly<Record<string, (named: Named) => JsonObject>> = {
  GPT2Tokenizer: () => ({
    pre_tokenizer: byteLevel(),
    post_processor: byteLevel({ trim_offsets: false }),
  }),
  RobertaTokenizer: (named) => ({
    pre_tokenizer: byteLevel(),
    post_processor: {
      type: 'RobertaProcessing',
      sep: named('sep_token', '</s>'),
      cls: named('cls_token', '<s>'),
      trim_offsets: true,
      add_prefix_space: false,
    },
  }),
  Qwen2Tokenizer: () => ({
    normalizer: { type: 'NFC' },
    pre_tokenizer: sequence(
      split(QWEN2_PATTERN, 'Isolated', false),
      byteLevel({ use_regex: false }),
    ),
    post_processor: byteLevel({ trim_offsets: false }),
  }),
  CLIPTokenizer: (named) => ({
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: sequence(split(CLIP_PATTERN, 'Removed', true), byteLevel()),
    post_processor: {
      type: 'RobertaProcessing',
      sep: named('eos_token', '<|endoftext|>'),
      cls: named('bos_token', '<|startoftext|>'),
      trim_offsets: false,
      add_prefix_space: false,
    },
    model: { end_of_word_suffix: '</w>', unk_token: named('unk_token', '<|endoftext|>')[0] },
  }),
}

/** Texts of the tokens that the config names, which are special. */
const NAMED = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
]

function contentOf(value: unknown): string | undefined {
  const content = typeof value === 'object' ? (value as JsonObject | null)?.content : value
  return typeof content === 'string' ? content : undefined
}

/** The tokenizer.json of a folder without one. Throws FileFormatError where the config names no class that is known. */
export function documentOfClass(
  vocab: VocabList,
  merges: MergeList,
  config: JsonObject,
  configFile: string,
): TokenizerDocument {
  const read: Reader = new Reader(configFile)
  const name = read
    .text(config.tokenizer_class ?? 'GPT2Tokenizer', 'tokenizer_class')
    .replace(/Fast$/, '')
  const make = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined
  if (make === undefined) {
    const known = Object.keys(CLASSES).join(', ')
    read.fail(
      'tokenizer_class',
      `is ${brief(name)}, and the folder has no tokenizer.json. Without one, these are known: ${known}.`,
    )
  }
  const named: Named = (field, usual) => {
    const token = contentOf(config[field]) ?? usual
    const id = vocab.find(token)
    if (id === undefined) read.fail(field, `is ${brief(token)}, which vocab.json lacks.`)
    return [token, id]
  }
  const { model, ...parts } = make(named)
  const specials = new Set(NAMED.map((field) => contentOf(config[field])))
  const added = [...specials].flatMap((content) => {
    if (content === undefined) return []
    const id = vocab.find(content)
    return id === undefined ? [] : [{ id, content }]
  })
  const document = byteLevelDocument(added, parts, model as JsonObject | undefined)
  return { ...document, model: { ...(document.model as JsonObject | undefined), vocab, merges } }
}
