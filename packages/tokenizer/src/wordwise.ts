// Encoding between blanks, for files such as BERT's whose parts never look across one: what stands between two of them
// is normalized, cut and encoded by itself, once.

import type { TokenizerFile } from './files/tokenizer-json.js'
import type { JsonObject } from './files/reader.js'
import { Bpe } from './models/bpe.js'
import { PieceCache } from './models/model.js'
import type { IdSink } from './models/model.js'
import { Aligned } from './text/aligned.js'

/** Normalizers to which a text between blanks is as good as a text by itself. */
const NORMALIZERS = new Set([
  'BertNormalizer',
  'Lowercase',
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
  'StripAccents',
])
/** Pre-tokenizers that cut at blanks and drop them, and those that may follow. */
const CUTTERS = new Set(['BertPreTokenizer', 'Whitespace', 'WhitespaceSplit'])
const FOLLOWERS = new Set([...CUTTERS, 'Digits', 'Punctuation'])

/** The types of a part and of those in it, in order. */
function typesOf(part: unknown, list: string): string[] {
  if (part === null || part === undefined) return []
  const { type, [list]: parts } = part as JsonObject
  if (type !== 'Sequence') return [type as string]
  return (parts as unknown[]).flatMap((one) => typesOf(one, list))
}

export class Wordwise {
  /** For each chunk the number of its pieces, then flat for each token: id, start and end in the chunk, its piece. */
  private readonly cache = new PieceCache<readonly number[]>()

  private constructor(private readonly file: TokenizerFile) {}

  /** For a file that it fits. */
  static of(file: TokenizerFile): Wordwise | undefined {
    const { shell, added, model } = file
    const normalizers = typesOf(shell.normalizer, 'normalizers')
    const [first, ...rest] = typesOf(shell.pre_tokenizer, 'pretokenizers')
    const fits =
      first !== undefined &&
      CUTTERS.has(first) &&
      rest.every((type) => FOLLOWERS.has(type)) &&
      normalizers.every((type) => NORMALIZERS.has(type)) &&
      !added.some((token) => token.normalized) && // these may have blanks
      !(model instanceof Bpe && model.options.dropout > 0)
    return fits ? new Wordwise(file) : undefined
  }

  /** Appends the ids of a text that is not normalized. */
  encode(text: string, ids: IdSink): void {
    this.chunks(text, (tokens) => {
      for (let k = 1; k < tokens.length; k += 4) ids.push(tokens[k]!)
    })
  }

  /** Also appends spans and numbers of pieces; returns the number of the next one. */
  sequence(text: Aligned, ids: number[], spans: number[], words: number[], word: number): number {
    let next = word
    this.chunks(text.text, (tokens, at) => {
      const base = text.startOf(at)
      for (let k = 1; k < tokens.length; k += 4) {
        ids.push(tokens[k]!)
        spans.push(base + tokens[k + 1]!, base + tokens[k + 2]!)
        words.push(next + tokens[k + 3]!)
      }
      next += tokens[0]!
    })
    return next
  }

  private chunks(text: string, take: (tokens: readonly number[], at: number) => void): void {
    let start = 0
    for (let i = 0; i <= text.length; i++) {
      const unit = i < text.length ? text.charCodeAt(i) : 0x20
      if (unit !== 0x20 && unit !== 0x0a) continue
      if (i > start) take(this.cache.get(text.slice(start, i), this.tokens), start)
      start = i + 1
    }
  }

  private readonly tokens = (chunk: string): readonly number[] => {
    const { normalizer, preTokenizer, model } = this.file
    const whole = Aligned.of(chunk, true)
    const text = normalizer === null ? whole : normalizer(whole)
    const pieces = text.length === 0 ? [] : preTokenizer!(text)
    const tokens = [pieces.length]
    const ids: number[] = []
    const spans: number[] = []
    pieces.forEach((piece, word) => {
      const from = ids.length
      model.encode(piece.text, ids, spans)
      for (let k = from; k < ids.length; k++) {
        tokens.push(ids[k]!, piece.startOf(spans[2 * k]!), piece.endOf(spans[2 * k + 1]!), word)
      }
    })
    return tokens
  }
}
