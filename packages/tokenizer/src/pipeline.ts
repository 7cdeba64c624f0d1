// The way of a text through the parts of a tokenizer.json, and of ids back.

import { AddedTokens } from './added.js'
import type { AllowSpecial } from './added.js'
import { TokenizerError } from './errors.js'
import { Encoding, combinations, keptLengths, windows } from './encoding.js'
import type { Columns, Padding, Sequence, Truncation, Window } from './encoding.js'
import { Source } from './encoding.js'
import type { OnEncoded } from './options.js'
import type { TokenizerFile } from './files/tokenizer-json.js'
import type { ByteBpe } from './models/byte-bpe/byte-bpe.js'
import { ByteLevelBpe } from './models/byte-level-bpe.js'
import { joined } from './postprocessors/index.js'
import type { PostProcessor } from './postprocessors/index.js'
import { Aligned } from './text/aligned.js'
import type { IdBuffer } from './text/id-buffer.js'
import { Utf8Buffer } from './text/utf8.js'
import { Wordwise } from './wordwise.js'

/** What is encoded between two reports, in units or bytes. */
const STEP = 1 << 20

const LONE = /\p{Surrogate}/gu

/** The text with U+FFFD for each half of a surrogate pair, as UTF-8 has it. */
function wellFormed(text: string): string {
  return text.replace(LONE, '\ufffd')
}

export class Pipeline {
  private readonly added: AddedTokens
  /** The byte-level core for a file that it fits. */
  private readonly core: ByteBpe | undefined
  private readonly wordwise: Wordwise | undefined
  private readonly utf8 = new Utf8Buffer()

  constructor(
    readonly file: TokenizerFile,
    /** The file's, or what tokenizer_config.json makes of it. */
    readonly postProcessor: PostProcessor | null = file.postProcessor,
  ) {
    const { model, takesBytes } = file
    this.core = takesBytes && model instanceof ByteLevelBpe ? model.core : undefined
    this.wordwise = Wordwise.of(file)
    // Which normalizes by itself.
    this.added = new AddedTokens(file.added, this.wordwise === undefined ? file.normalizer : null)
  }

  /**
   * Appends the ids of a text, without special tokens around it. `first` is false for a text that goes on after
   * another (in a chat): where only the first word gets a space before it, it gets none.
   */
  encode(
    text: string,
    allowed: AllowSpecial,
    out: IdBuffer,
    first = true,
    onProgress?: OnEncoded,
  ): void {
    const { core } = this
    // The core's UTF-8 is well-formed in any case.
    const source = core !== undefined && this.file.normalizer === null ? text : wellFormed(text)
    const parts = this.added.split(Aligned.of(source, false, first ? 0 : 1), allowed)
    let total = 0
    for (const part of parts) total += part.text.length
    let done = 0
    let told = 0
    const upTo = (at: number): void => {
      if (onProgress === undefined || at - told < STEP >> 1) return
      told = at
      // Parts are normalized already, and may be longer or shorter than the text.
      onProgress(Math.round((at / total) * text.length), text.length)
    }
    for (const { token, text: part } of parts) {
      const before = done
      if (token !== null) out.push(token.id)
      else this.encodePart(part, out, (at) => upTo(before + at))
      done += part.length
      upTo(done)
    }
    this.utf8.trim()
  }

  /** Calls `upTo` now and then with the units that are done. */
  private encodePart(part: Aligned, out: IdBuffer, upTo: (at: number) => void): void {
    const { core, wordwise, utf8 } = this
    const { preTokenizer, model } = this.file
    if (core !== undefined) {
      utf8.write(part.text)
      const { bytes, length } = utf8
      for (let at = 0; at < length;) {
        at = core.encodeWords(bytes, at, length, Math.min(length, at + STEP), out)
        upTo((at / length) * part.length)
      }
    } else if (wordwise !== undefined) {
      const { text } = part
      for (let at = 0; at < text.length;) {
        const blank = text.indexOf(' ', at + STEP)
        const next = blank < 0 ? text.length : blank
        wordwise.encode(text.slice(at, next), out)
        upTo((at = next))
      }
    } else {
      let at = 0
      for (const piece of preTokenizer?.(part) ?? [part]) {
        model.encode(piece.text, out, null)
        upTo((at += piece.length))
      }
    }
  }

  /** Appends the ids of bytes, which need not be UTF-8 where the tokenizer is byte-level; no token is special. */
  encodeBytes(bytes: Uint8Array, out: IdBuffer): void {
    if (this.core !== undefined && this.file.normalizer === null) {
      this.core.encode(bytes, 0, bytes.length, out)
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
    this.encode(text, 'none', out)
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
      if (this.wordwise !== undefined) {
        word = this.wordwise.sequence(part.text, ids, spans, words, word)
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
