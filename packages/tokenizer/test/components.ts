// Small tokenizer.json files, one for each component and its options, and texts that they get wrong.

export interface Case {
  readonly name: string
  readonly json: Record<string, unknown>
  /** Why offsets are not Hugging Face's. */
  readonly ownOffsets?: string
}

type Part = Record<string, unknown>

const ALPHABET = [..."▁Ġabcdefghijklmnopqrstuvwxyzé.,!?'0123456789<>/Ã©AB中"]
const SPECIAL = ['<unk>', '<s>', '</s>', '<pad>']

/** BPE over a few letters, so that ids, places and words show what the other parts did. */
function letters(changes: Part = {}): Part {
  const merges = [
    ['h', 'e'],
    ['l', 'l'],
    ['he', 'll'],
    ['hell', 'o'],
    ['▁', 'w'],
    ['o', 'r'],
    ['▁w', 'or'],
    ['a', 'b'],
    ['ab', 'c'],
  ]
  const tokens = [...SPECIAL, ...ALPHABET, ...merges.map((pair) => pair.join(''))]
  return {
    type: 'BPE',
    unk_token: '<unk>',
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: merges.map((pair) => pair.join(' ')),
    ...changes,
  }
}

const added = (id: number, content: string, flags: Part = {}): Part => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...flags,
})

const file = (name: string, parts: Part): Case => ({
  name,
  json: {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => added(id, content)),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: letters(),
    ...parts,
  },
})

/** sentencepiece's compiled rules for a few texts: a double array with a block of 256 units a node. */
export function charsMap(rules: Readonly<Record<string, string>>): string {
  const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)]
  const texts: number[] = []
  interface Trie {
    readonly next: Map<number, Trie>
    at: number
    value: number
  }
  const make = (): Trie => ({ next: new Map(), at: 0, value: -1 })
  const root = make()
  const nodes: Trie[] = [root]
  for (const [from, to] of Object.entries(rules)) {
    let node = root
    for (const byte of utf8(from)) {
      let next = node.next.get(byte)
      if (next === undefined) {
        next = make()
        node.next.set(byte, next)
        nodes.push(next)
      }
      node = next
    }
    node.value = texts.length
    texts.push(...utf8(to), 0)
  }
  // The children of node k are at 256 (k + 1) ^ byte, its value at the byte 0 of the same block.
  const units = new Uint32Array(256 * (nodes.length + 1))
  const base = (k: number): number => 256 * (k + 1)
  units[0] = base(0) << 10
  nodes.forEach((node, k) => {
    if (node.value >= 0) units[base(k)] = (0x80000000 | node.value) >>> 0
    for (const [byte, child] of node.next) {
      const at = base(k) ^ byte
      const index = nodes.indexOf(child)
      const leaf = child.value >= 0 ? 1 << 8 : 0
      units[at] = (((at ^ base(index)) << 10) | leaf | byte) >>> 0
    }
  })
  const bytes = new Uint8Array(4 + units.byteLength + texts.length)
  new DataView(bytes.buffer).setUint32(0, units.byteLength, true)
  bytes.set(new Uint8Array(units.buffer), 4)
  bytes.set(texts, 4 + units.byteLength)
  return Buffer.from(bytes).toString('base64')
}

const NORMALIZERS: readonly Part[] = [
  { type: 'NFC' },
  { type: 'NFD' },
  { type: 'NFKC' },
  { type: 'NFKD' },
  { type: 'Lowercase' },
  { type: 'StripAccents' },
  { type: 'Nmt' },
  { type: 'Strip', strip_left: true, strip_right: true },
  { type: 'Prepend', prepend: '▁' },
  { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  { type: 'Replace', pattern: { Regex: '\\s' }, content: '▁' },
  {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  {
    type: 'BertNormalizer',
    clean_text: false,
    handle_chinese_chars: true,
    strip_accents: true,
    lowercase: false,
  },
  {
    type: 'Sequence',
    normalizers: [{ type: 'NFD' }, { type: 'StripAccents' }, { type: 'Lowercase' }],
  },
  {
    type: 'Precompiled',
    precompiled_charsmap: charsMap({
      é: 'e',
      'e\u0301': 'é',
      '\r': ' ',
      中: 'ab',
      '\u200d': '',
      A: 'a',
    }),
  },
]

const split = (Regex: string, behavior: string, invert = false): Part => ({
  type: 'Split',
  pattern: { Regex },
  behavior,
  invert,
})

const PRE_TOKENIZERS: readonly Part[] = [
  { type: 'BertPreTokenizer' },
  { type: 'CharDelimiterSplit', delimiter: 'l' },
  { type: 'Digits', individual_digits: true },
  { type: 'Digits', individual_digits: false },
  { type: 'FixedLength', length: 3 },
  { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
  { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: true },
  { type: 'Punctuation', behavior: 'MergedWithPrevious' },
  { type: 'Punctuation', behavior: 'MergedWithNext' },
  { type: 'UnicodeScripts' },
  { type: 'Whitespace' },
  { type: 'WhitespaceSplit' },
  split('\\w+', 'Removed', true),
  split('o*', 'Isolated'),
  split('[aeiou ]', 'Contiguous'),
  split('[aeiou ]', 'MergedWithPrevious', true),
  {
    type: 'Sequence',
    pretokenizers: [{ type: 'WhitespaceSplit' }, { type: 'Digits', individual_digits: true }],
  },
]

const byteLevel = (flags: Part = {}): Part => ({
  type: 'ByteLevel',
  add_prefix_space: true,
  trim_offsets: true,
  use_regex: true,
  ...flags,
})

const template = (type: number): Part => ({
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [
    { SpecialToken: { id: '<s>', type_id: 0 } },
    { Sequence: { id: 'A', type_id: 0 } },
    { SpecialToken: { id: 'sep', type_id: type } },
    { Sequence: { id: 'B', type_id: type } },
  ],
  special_tokens: {
    '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] },
    sep: { id: 'sep', ids: [2, 2], tokens: ['</s>', '</s>'] },
  },
})

const DECODERS: readonly Part[] = [
  byteLevel(),
  { type: 'BPEDecoder', suffix: 'o' },
  { type: 'ByteFallback' },
  { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '▁', cleanup: true },
  { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  { type: 'Replace', pattern: { Regex: '[lr]+' }, content: 'L' },
  { type: 'Strip', content: 'h', start: 1, stop: 0 },
  { type: 'WordPiece', prefix: 'll', cleanup: true },
  {
    type: 'Sequence',
    decoders: [{ type: 'Fuse' }, { type: 'Strip', content: 'h', start: 2, stop: 0 }],
  },
  {
    type: 'Sequence',
    decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: { String: 'ow' }, content: '-' }],
  },
]

const bytes = Object.fromEntries(
  Array.from({ length: 256 }, (_, byte) => [
    `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
    200 + byte,
  ]),
)

const scored: readonly [string, number][] = [
  ['<unk>', 0],
  ['<s>', 0],
  ['</s>', 0],
  ['<pad>', 0],
  ['▁', -2],
  ['▁hello', -4],
  ['hell', -5],
  ['o', -3],
  ['▁w', -3.5],
  ['or', -3.25],
  ['ld', -6],
  ['h', -7],
  ['e', -7.5],
  ['l', -7.25],
  ['a', -6.5],
  ['aa', -9],
  ['aaa', -9.5],
]

const words = [
  '<unk>',
  '<s>',
  '</s>',
  '<pad>',
  'hello',
  'world',
  'he',
  '##llo',
  '##l',
  '##o',
  'w',
  '##or',
  '##ld',
  'a',
  '##a',
  '!',
  'é',
]
const wordVocab = Object.fromEntries(words.map((token, id) => [token, id]))

const BEHAVIOURS: readonly Case[] = [
  {
    ...file('BPE without unknown', { model: letters({ unk_token: null }) }),
    ownOffsets: 'after a character that it drops, Hugging Face is off by its length',
  },
  file('BPE fuse_unk', { model: letters({ fuse_unk: true }) }),
  file('BPE byte_fallback', {
    model: letters({ byte_fallback: true, vocab: { ...(letters().vocab as Part), ...bytes } }),
    decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
  }),
  file('BPE prefix and suffix', {
    pre_tokenizer: { type: 'WhitespaceSplit' },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      continuing_subword_prefix: '#',
      end_of_word_suffix: '~',
      vocab: {
        ...wordVocab,
        '#e': 20,
        '#l': 21,
        '#o': 22,
        '#o~': 23,
        h: 24,
        '#ll': 25,
        'a~': 26,
        he: 6,
        hell: 27,
        'hello~': 28,
        b: 29,
        '#a~': 30,
        'ba~': 31,
      },
      merges: ['h #e', '#l #l', 'he #ll', 'hell #o~', 'b #a~'],
    },
  }),
  file('BPE ignore_merges', {
    model: letters({
      ignore_merges: true,
      vocab: { ...(letters().vocab as Part), hello_: 90, wow: 91 },
    }),
    pre_tokenizer: { type: 'WhitespaceSplit' },
  }),
  file('Unigram', {
    model: { type: 'Unigram', unk_id: 0, vocab: scored, byte_fallback: false },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  }),
  file('Unigram byte_fallback', {
    model: {
      type: 'Unigram',
      unk_id: 0,
      vocab: [...scored, ...Object.keys(bytes).map((token) => [token, -20])],
      byte_fallback: true,
    },
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  }),
  file('WordPiece', {
    model: {
      type: 'WordPiece',
      unk_token: '<unk>',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 12,
      vocab: wordVocab,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    post_processor: { type: 'BertProcessing', sep: ['</s>', 2], cls: ['<s>', 1] },
  }),
  file('WordLevel', {
    model: { type: 'WordLevel', unk_token: '<unk>', vocab: wordVocab },
    pre_tokenizer: { type: 'Whitespace' },
  }),
  file('TemplateProcessing', { post_processor: template(1) }),
  file('RobertaProcessing', {
    pre_tokenizer: byteLevel(),
    post_processor: {
      type: 'RobertaProcessing',
      sep: ['</s>', 2],
      cls: ['<s>', 1],
      trim_offsets: true,
      add_prefix_space: true,
    },
  }),
  file('ByteLevel', {
    pre_tokenizer: byteLevel({ add_prefix_space: false }),
    post_processor: byteLevel({ add_prefix_space: false }),
    decoder: byteLevel(),
  }),
  file('Sequence of processors', {
    pre_tokenizer: byteLevel(),
    post_processor: { type: 'Sequence', processors: [byteLevel(), template(0)] },
  }),
  file('added tokens', {
    normalizer: { type: 'Lowercase' },
    added_tokens: [
      ...SPECIAL.map((content, id) => added(id, content)),
      added(65, 'wor', { single_word: true, special: false }),
      added(66, '<l>', { lstrip: true }),
      added(67, '<r>', { rstrip: true }),
      added(68, 'hello w', { normalized: true, special: false }),
      added(69, 'hello h', { special: false }),
      added(70, '<l><r>'),
    ],
  }),
  file('truncation and padding', {
    post_processor: template(1),
    truncation: { direction: 'Right', max_length: 9, strategy: 'LongestFirst', stride: 2 },
    padding: {
      strategy: { Fixed: 8 },
      direction: 'Left',
      pad_to_multiple_of: 5,
      pad_id: 3,
      pad_type_id: 7,
      pad_token: '<pad>',
    },
  }),
  file('truncation of the second, from the left', {
    post_processor: template(1),
    truncation: { direction: 'Left', max_length: 16, strategy: 'OnlyFirst', stride: 1 },
  }),
]

export const CASES: readonly Case[] = [
  ...NORMALIZERS.map((part, i) =>
    file(`normalizer ${i}: ${part.type as string}`, { normalizer: part }),
  ),
  ...PRE_TOKENIZERS.map((part, i) =>
    file(`pre-tokenizer ${i}: ${part.type as string}`, { pre_tokenizer: part }),
  ),
  ...DECODERS.map((part, i) => file(`decoder ${i}: ${part.type as string}`, { decoder: part })),
  ...BEHAVIOURS,
]

/** Characters of old Unicode versions alone: the Rust library's tables are of several ages. */
export const TEXTS: readonly string[] = [
  'hello world',
  '  hello  world! ',
  "he'll  abc12 3 wow.",
  'hello wor worhello<l> wor <r>  x<l><r><l>  <s>HELLO W hello h',
  'éA中B 中文 e\u0301 ﬁ',
  '😀😀 aaaaaa <0x41> é',
  '\tab\r\nc\u200dd\u00a0e\u0000f',
  'ΑΣ İx ½²Ⅷ',
  '▁▁wor▁hello',
  'こんにちはカー kana 漢字a',
]
