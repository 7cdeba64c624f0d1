// The tokenizer as llama.cpp holds it: byte-level BPE ('gpt2' there), its tokens in the byte alphabet of GPT-2, its merges, and
// the name of a split pattern, of which llama.cpp has its own.
import { FileFormatError, ShaktiError } from '@shakti/tensor'
import type { GgufField } from './format.js'

/** llama_token_type. */
export const tokenTypes = { normal: 1, control: 3, user: 4, unused: 5 } as const

export interface GgufTokenizer {
  /** Text of each id. */
  readonly tokens: readonly string[]
  readonly types: readonly (keyof typeof tokenTypes)[]
  /** Two tokens with a blank between them, the first merge first. */
  readonly merges: readonly string[]
  /** llama.cpp's name of the split pattern. */
  readonly pre: string
  readonly bos?: number
  readonly eos?: number
  /** Whether text begins with `bos` unasked. */
  readonly addBos: boolean
  /** Jinja source. */
  readonly chatTemplate?: string
  /** What of the tokenizer llama.cpp does differently, in plain sentences. */
  readonly notes: readonly string[]
}

const blanks = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const words = (digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blanks}`

/** Patterns that llama.cpp knows, by its names. */
const patterns: ReadonlyMap<string, string> = new Map([
  [words('{1,3}'), 'llama-bpe'],
  [words(''), 'qwen2'],
  ["'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", 'gpt-2'],
])

type Json = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** The split pattern of a pre_tokenizer, as far as llama.cpp has it. */
function splitPattern(pre: unknown): string | undefined {
  if (!isObject(pre)) return undefined
  if (pre['type'] === 'ByteLevel') return pre['use_regex'] === false ? undefined : 'gpt-2'
  if (pre['type'] === 'Split') {
    const pattern = isObject(pre['pattern']) ? pre['pattern']['Regex'] : undefined
    return pre['behavior'] === 'Isolated' && typeof pattern === 'string'
      ? patterns.get(pattern)
      : undefined
  }
  if (pre['type'] !== 'Sequence') return undefined
  const [split, bytes, ...more] = list(pre['pretokenizers'])
  const plain = isObject(bytes) && bytes['type'] === 'ByteLevel' && bytes['use_regex'] === false
  return plain && more.length === 0 ? splitPattern(split) : undefined
}

/** The special token that a post_processor sets before a text. */
function leading(post: unknown): string | undefined {
  if (!isObject(post)) return undefined
  if (post['type'] === 'Sequence')
    return list(post['processors'])
      .map(leading)
      .find((token) => token !== undefined)
  const first = list(post['single'])[0]
  const special = isObject(first) ? first['SpecialToken'] : undefined
  const id = isObject(special) ? special['id'] : undefined
  return post['type'] === 'TemplateProcessing' && typeof id === 'string' ? id : undefined
}

/** A token's name in tokenizer_config.json, where it is text or an object. */
const named = (value: unknown): string | undefined =>
  typeof value === 'string'
    ? value
    : isObject(value) && typeof value['content'] === 'string'
      ? value['content']
      : undefined

/**
 * What GGUF needs of a tokenizer.json.
 * @param json the file, parsed
 * @param config tokenizer_config.json, parsed: the first and last token of a text, and the chat template
 * @param file for errors
 * @throws FileFormatError for another tokenizer than byte-level BPE
 */
export function ggufTokenizer(
  json: unknown,
  config: unknown = {},
  file = 'tokenizer.json',
): GgufTokenizer {
  const fail = (field: string, message: string): never => {
    throw new FileFormatError(file, field, message)
  }
  const root = isObject(json) ? json : fail('file', 'is not an object')
  const model = isObject(root['model']) ? root['model'] : fail('model', 'is not an object')
  if (model['type'] !== 'BPE' || model['byte_fallback'] === true)
    fail('model.type', `is ${JSON.stringify(model['type'])}; only byte-level BPE is exported`)
  const decoder = JSON.stringify(root['decoder'] ?? null)
  if (!decoder.includes('"ByteLevel"'))
    fail('decoder', 'is not ByteLevel; only byte-level BPE is exported')
  const vocab = isObject(model['vocab']) ? model['vocab'] : fail('model.vocab', 'is not an object')

  const tokens: (string | undefined)[] = []
  const types: (keyof typeof tokenTypes)[] = []
  const put = (
    field: string,
    content: unknown,
    id: unknown,
    type: keyof typeof tokenTypes,
  ): void => {
    if (typeof content !== 'string' || typeof id !== 'number' || !Number.isInteger(id))
      return fail(field, `has a token ${JSON.stringify(content)} with the id ${JSON.stringify(id)}`)
    if (id < 0 || id >= 4_194_304) fail(field, `has the id ${id}, outside 0 .. 4194303`)
    tokens[id] = content
    types[id] = type
  }
  for (const [content, id] of Object.entries(vocab)) put('model.vocab', content, id, 'normal')
  for (const token of list(root['added_tokens'])) {
    const t = isObject(token) ? token : fail('added_tokens', 'holds something that is no object')
    put('added_tokens', t['content'], t['id'], t['special'] === true ? 'control' : 'user')
  }
  for (let id = 0; id < tokens.length; id++) {
    if (tokens[id] !== undefined) continue
    tokens[id] = `[unused ${id}]`
    types[id] = 'unused'
  }

  const merges = list(model['merges']).map((merge) => {
    if (typeof merge === 'string') return merge
    const [a, b] = list(merge)
    return typeof a === 'string' && typeof b === 'string'
      ? `${a} ${b}`
      : fail('model.merges', `holds ${JSON.stringify(merge).slice(0, 80)}`)
  })
  const notes: string[] = []
  const pre = splitPattern(root['pre_tokenizer'])
  if (pre === undefined)
    notes.push(
      "llama.cpp has no name for this tokenizer's split pattern: 'default' is written, and texts may be cut differently.",
    )
  if (root['normalizer'] !== null && root['normalizer'] !== undefined)
    notes.push('llama.cpp does not normalise texts as this tokenizer does.')
  if (model['ignore_merges'] === true && pre !== 'llama-bpe')
    notes.push("ignore_merges has no key in GGUF: llama.cpp has it with 'llama-bpe' alone.")

  const settings = isObject(config) ? config : {}
  const idOf = (name: string | undefined): number | undefined => {
    const id = name === undefined ? -1 : tokens.indexOf(name)
    return id < 0 ? undefined : id
  }
  const first = leading(root['post_processor'])
  const bos = idOf(first ?? named(settings['bos_token']))
  const eos = idOf(named(settings['eos_token']))
  const template = settings['chat_template']
  return {
    tokens: tokens as string[],
    types,
    merges,
    pre: pre ?? 'default',
    ...(bos === undefined ? {} : { bos }),
    ...(eos === undefined ? {} : { eos }),
    addBos: first !== undefined,
    ...(typeof template === 'string' ? { chatTemplate: template } : {}),
    notes,
  }
}

/** A vocabulary for weights without a tokenizer: the bytes, then tokens that no text gives. */
export function placeholderTokenizer(vocab: number): GgufTokenizer {
  const bytes = byteAlphabet()
  const tokens = Array.from({ length: vocab }, (_, id) => bytes[id] ?? `[placeholder ${id}]`)
  return {
    tokens,
    types: tokens.map((_, id) => (id < 256 ? 'normal' : 'unused')),
    merges: [],
    pre: 'gpt-2',
    addBos: false,
    notes: [
      'There is no tokenizer: a placeholder vocabulary is written, whose texts mean nothing.',
    ],
  }
}

/** GPT-2's characters for the 256 bytes: printable ones stand for themselves, the others follow from U+0100. */
function byteAlphabet(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(
      (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174 ? byte : next++,
    ),
  )
}

/** The tokenizer's keys, its vocabulary filled up to the embedding's rows. @throws ShaktiError when it has more tokens */
export function tokenizerFields(tokenizer: GgufTokenizer, vocab: number): GgufField[] {
  const { tokens, types, merges, pre, bos, eos, addBos, chatTemplate } = tokenizer
  if (tokens.length > vocab)
    throw new ShaktiError(
      'exportGguf',
      `the tokenizer has ${tokens.length} tokens, the decoder a vocabulary of ${vocab}.`,
    )
  const missing = vocab - tokens.length
  const key = (name: string): string => `tokenizer.ggml.${name}`
  return [
    { key: key('model'), type: 'string', value: 'gpt2' },
    { key: key('pre'), type: 'string', value: pre },
    {
      key: key('tokens'),
      type: 'array',
      of: 'string',
      value: [
        ...tokens,
        ...Array.from({ length: missing }, (_, i) => `[unused ${tokens.length + i}]`),
      ],
    },
    {
      key: key('token_type'),
      type: 'array',
      of: 'i32',
      value: [
        ...types.map((type) => tokenTypes[type]),
        ...new Array<number>(missing).fill(tokenTypes.unused),
      ],
    },
    { key: key('merges'), type: 'array', of: 'string', value: merges },
    ...(bos === undefined ? [] : [{ key: key('bos_token_id'), type: 'u32', value: bos } as const]),
    ...(eos === undefined ? [] : [{ key: key('eos_token_id'), type: 'u32', value: eos } as const]),
    { key: key('add_bos_token'), type: 'bool', value: addBos },
    ...(chatTemplate === undefined
      ? []
      : [{ key: 'tokenizer.chat_template', type: 'string', value: chatTemplate } as const]),
  ]
}
