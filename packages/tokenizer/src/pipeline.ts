// The way of a text through the parts of a tokenizer.json, and of ids back.

import { AddedTokens } from './added.js'
import type { AddedToken, AllowSpecial } from './added.js'
import { Bpe as ByteBpe } from './bpe.js'
import { byteToChar } from './bytes.js'
import { TokenizerError } from './errors.js'
import { Encoding, combinations, keptLengths, windows } from './encoding.js'
import type { Columns, Padding, Sequence, Truncation, Window } from './encoding.js'
import { Source } from './encoding.js'
import type { TokenizerFile } from './files/tokenizer-json.js'
import { Bpe } from './models/bpe.js'
import { joined } from './postprocessors/index.js'
import type { PostProcessor } from './postprocessors/index.js'
import { Aligned } from './text/aligned.js'

const LONE = /\p{Surrogate}/gu

/** The text with U+FFFD for each half of a surrogate pair, as UTF-8 has it. */
function wellFormed(text: string): string {
  return text.replace(LONE, '\ufffd')
}

export class Pipeline {
  private readonly added: AddedTokens
  private readonly bytes: ByteBpe | undefined

  constructor(
    readonly file: TokenizerFile,
    /** The file's, or what tokenizer_config.json makes of it. */
    readonly postProcessor: PostProcessor | null = file.postProcessor,
  ) {
    this.added = new AddedTokens(file.added, file.normalizer)
    this.bytes = byteCore(file, file.added)
  }

  /**
   * Appends the ids of a text, without special tokens around it. `first` is false for a text that goes on after
   * another (in a chat): where only the first word gets a space before it, it gets none.
   */
  encode(text: string, allowed: AllowSpecial, ids: number[], first = true): void {
    const { byteLevel, preTokenizer, model } = this.file
    const whole = Aligned.of(wellFormed(text), false, first ? 0 : 1)
    for (const part of this.added.split(whole, allowed)) {
      if (part.token !== null) ids.push(part.token.id)
      else if (this.bytes !== undefined) {
        const pieces = byteLevel!.before?.(part.text) ?? [part.text]
        for (const piece of pieces) this.bytes.encode(Buffer.from(piece.text, 'utf8'), ids)
      } else {
        const pieces = preTokenizer?.(part.text) ?? [part.text]
        for (const piece of pieces) model.encode(piece.text, ids, null)
      }
    }
  }

  /** Appends the ids of bytes, which need not be UTF-8 where the tokenizer is byte-level; no token is special. */
  encodeBytes(bytes: Uint8Array, ids: number[]): void {
    const { byteLevel, normalizer } = this.file
    if (this.bytes !== undefined && byteLevel!.before === null && normalizer === null) {
      this.bytes.encode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), ids)
      return
    }
    let text: string
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch (error) {
      throw new TokenizerError(
        'encodeBytes',
        'the bytes are no UTF-8, and this tokenizer reads text. UTF-8 is expected.',
        { cause: error },
      )
    }
    this.encode(text, 'none', ids)
  }

  /** The ids of a text with what is known of each. */
  sequence(text: string, allowed: AllowSpecial): Sequence {
    const { preTokenizer, model } = this.file
    const ids: number[] = []
    const spans: number[] = []
    const words: number[] = []
    let word = 0
    for (const part of this.added.split(Aligned.of(wellFormed(text), true), allowed)) {
      if (part.token !== null) {
        ids.push(part.token.id)
        spans.push(part.text.startOf(0), part.text.endOf(part.text.length))
        words.push(word++)
        continue
      }
      for (const piece of preTokenizer?.(part.text) ?? [part.text]) {
        const from = spans.length
        model.encode(piece.text, ids, spans)
        for (let k = from; k < spans.length; k += 2) {
          spans[k] = piece.startOf(spans[k]!)
          spans[k + 1] = piece.endOf(spans[k + 1]!)
          words.push(word)
        }
        word++
      }
    }
    return { source: new Source(text), ids, spans, words }
  }

  /** One text or two with special tokens around, cut to a length. */
  process(
    sequences: readonly Sequence[],
    addSpecial: boolean,
    truncation: Truncation | null,
    tokenOf: (id: number) => string,
  ): Encoding {
    const lengths = sequences.map(({ ids }) => ids.length)
    let choices: Window[][] = [lengths.map((end) => ({ start: 0, end }))]
    if (truncation !== null) {
      const added = addSpecial ? (this.postProcessor?.added(sequences.length) ?? 0) : 0
      if (truncation.maxLength < added) {
        throw new TokenizerError(
          'encoding',
          `truncation.maxLength is ${truncation.maxLength}, but ${added} special tokens are added. At least that is` +
            ' expected.',
        )
      }
      const kept = keptLengths(lengths, truncation.maxLength - added, truncation)
      choices = combinations(kept.map((most, i) => windows(lengths[i]!, most, truncation)))
    }
    const sources = sequences.map(({ source }) => source)
    const make = (choice: readonly Window[], overflowing: readonly Encoding[] = []): Encoding => {
      const texts = sequences.map((sequence, i) => columns(sequence, i, choice[i]!))
      const parts = this.postProcessor?.process(texts, addSpecial) ?? texts
      return new Encoding(joined(parts), sources, tokenOf, overflowing)
    }
    const [first, ...rest] = choices
    return make(
      first!,
      rest.map((choice) => make(choice)),
    )
  }
}

function columns({ ids, spans, words }: Sequence, index: number, { start, end }: Window): Columns {
  const kept = ids.slice(start, end)
  return {
    ids: kept,
    typeIds: kept.map(() => index),
    attentionMask: kept.map(() => 1),
    specialTokensMask: kept.map(() => 0),
    sequenceIds: kept.map(() => index),
    wordIds: words.slice(start, end),
    offsets: kept.map((_, i) => [spans[2 * (start + i)]!, spans[2 * (start + i) + 1]!] as const),
  }
}

/** Pads a batch to one length. */
export function padded(encodings: readonly Encoding[], padding: Padding): Encoding[] {
  let length =
    padding.length === 'longest'
      ? encodings.reduce((most, { length }) => Math.max(most, length), 0)
      : padding.length
  length = Math.ceil(length / padding.multipleOf) * padding.multipleOf
  return encodings.map((encoding) => encoding.padded(length, padding))
}

/** The byte-level core for a file that it fits. */
function byteCore(file: TokenizerFile, added: readonly AddedToken[]): ByteBpe | undefined {
  const { model, byteLevel } = file
  if (byteLevel === undefined || !(model instanceof Bpe)) return undefined
  const { prefix, suffix, dropout, ignoreMerges } = model.options
  if (prefix !== '' || suffix !== '' || dropout > 0) return undefined
  for (let byte = 0; byte < 256; byte++) {
    if (!model.vocab.ids.has(byteToChar(byte))) return undefined
  }
  const special = new Set(added.filter((token) => token.special).map((token) => token.id))
  return new ByteBpe(
    { tokens: model.vocab.tokens, merges: model.merges.triples, ignoreMerges },
    byteLevel.split,
    special,
  )
}
