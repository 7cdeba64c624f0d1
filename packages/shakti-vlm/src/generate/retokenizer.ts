// One text in the tokens of two tokenizers: what a model wrote for a draft model to go on with, and what the draft model says as
// tokens of the model. Text crosses as bytes and stays text, whatever it spells; special tokens cross by what they are.
import { spelling, type TokenBytes } from './constraint/vocabulary.js'

/** What drafts across tokenizers ask of both; @shakti/tokenizer's has it. */
export interface TextCoder extends TokenBytes {
  /** Ids of bytes, never of a special token. May throw for bytes that are no UTF-8. */
  encodeBytes(bytes: Uint8Array): number[]
  /** Undefined where no token is spelled so. */
  tokenToId(token: string): number | undefined
}

/** A tokenizer and the tokens that end a text of its model. */
export interface Speech {
  readonly tokenizer: TextCoder
  readonly stopTokens?: readonly number[]
}

/** Of the text before, this many bytes are encoded again at least, so that tokens may grow over the border. */
const context = 2048

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Bytes at the end that begin a character and do not end it. */
function incomplete(bytes: Uint8Array): number {
  for (let n = 1; n <= 3 && n <= bytes.length; n++) {
    const b = bytes[bytes.length - n]!
    if (b < 0x80) return 0
    if (b >= 0xc0) return (b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : 2) > n ? n : 0
  }
  return 0
}

/** A tokenizer that takes any bytes, as well as it can. */
class Speller {
  /** Undefined for what is no text. */
  readonly bytesOf: (id: number) => Uint8Array | undefined
  readonly #tokenizer: TextCoder
  readonly #stops: ReadonlySet<number>
  /** It reads characters, not bytes. */
  readonly #wholeCharacters: boolean

  constructor({ tokenizer, stopTokens = [] }: Speech) {
    const bytes = spelling(tokenizer)
    this.#tokenizer = tokenizer
    this.#stops = new Set(stopTokens)
    this.bytesOf = (id) => (this.#stops.has(id) ? undefined : bytes(id))
    try {
      tokenizer.encodeBytes(Uint8Array.of(0xff))
      this.#wholeCharacters = false
    } catch {
      this.#wholeCharacters = true
    }
  }

  /** How many of the bytes can be encoded: half a character at the end may have to wait for the other half. */
  readable(bytes: Uint8Array): number {
    return bytes.length - (this.#wholeCharacters ? incomplete(bytes) : 0)
  }

  encode(bytes: Uint8Array): number[] {
    // What is no character becomes U+FFFD where only characters can be read.
    const given = this.#wholeCharacters ? Buffer.from(utf8.decode(bytes)) : bytes
    return given.length === 0 ? [] : this.#tokenizer.encodeBytes(given)
  }

  /** The token that means what another tokenizer's special token does: the special one of its name, or the one that ends a text. */
  meaning(of: Speller, id: number): number | undefined {
    const name = of.#tokenizer.idToToken(id)
    const same = name === undefined ? undefined : this.#tokenizer.tokenToId(name)
    if (of.#stops.has(id))
      return same !== undefined && this.#stops.has(same) ? same : [...this.#stops][0]
    const special = name !== undefined && of.#tokenizer.isSpecial(id)
    return special && same !== undefined && this.#tokenizer.isSpecial(same) ? same : undefined
  }
}

export class Retokenizer {
  /** Largest id of the draft's tokenizer + 1: its model may have rows for more. */
  readonly draftTokens: number
  readonly #target: Speller
  readonly #draft: Speller
  /** Of the tokens written. */
  #seen = 0
  /** What lies before `#tail`, in the draft's tokens: it does not change any more. */
  readonly #before: number[] = []
  /** The text since. */
  #tail: Uint8Array = new Uint8Array()
  /** Bytes of the tail that the draft's tokens spell. */
  #shown = 0

  constructor(target: Speech, draft: Speech) {
    this.#target = new Speller(target)
    this.#draft = new Speller(draft)
    this.draftTokens = draft.tokenizer.vocabSize
  }

  /**
   * What was written, in the draft's tokens; a special token that the draft has not is left out.
   * @param written all of it; with each call the beginning is the same
   */
  toDraft(written: readonly number[]): number[] {
    for (const id of written.slice(this.#seen)) {
      const bytes = this.#target.bytesOf(id)
      if (bytes) this.#tail = Buffer.concat([this.#tail, bytes])
      else {
        this.#settle(this.#tail.length)
        const special = this.#draft.meaning(this.#target, id)
        if (special !== undefined) this.#before.push(special)
      }
    }
    this.#seen = written.length
    if (this.#tail.length > 2 * context) {
      const early = this.#tail.subarray(0, -context)
      const blank = early.lastIndexOf(0x20)
      this.#settle(blank > 0 ? blank : early.length - incomplete(early))
    }
    this.#shown = this.#draft.readable(this.#tail)
    return [...this.#before, ...this.#draft.encode(this.#tail.subarray(0, this.#shown))]
  }

  /** The first n bytes of the tail are not encoded again. */
  #settle(n: number): void {
    for (const id of this.#draft.encode(this.#tail.subarray(0, n))) this.#before.push(id)
    this.#tail = this.#tail.subarray(n)
  }

  /** What the draft says behind what it was given last, in the tokens of the target, up to the first special token. */
  toTarget(said: readonly number[]): number[] {
    const texts: Uint8Array[] = []
    let end: number | undefined
    for (const id of said) {
      const bytes = this.#draft.bytesOf(id)
      if (bytes) texts.push(bytes)
      else {
        end = this.#target.meaning(this.#draft, id)
        break
      }
    }
    const text = Buffer.concat(texts)
    // A character that it was not shown half of has to come whole.
    const known = this.#tail.subarray(this.#shown)
    if (!text.subarray(0, known.length).equals(known)) return []
    const ids = this.#goOn(text.subarray(known.length))
    return end === undefined ? ids : [...ids, end]
  }

  /** Ids that spell `more` behind the tail, as they would stand in a text that was encoded whole. */
  #goOn(more: Uint8Array): number[] {
    const all = Buffer.concat([this.#tail, more])
    const end = this.#target.readable(all)
    const length = more.length - (all.length - end)
    if (length <= 0) return []
    const ids = this.#target.encode(all.subarray(0, end))
    let at = ids.length
    let left = length
    while (left > 0 && at > 0) left -= this.#target.bytesOf(ids[--at]!)?.length ?? 0
    // A token that reaches over the border cannot be written any more.
    return left === 0 ? ids.slice(at) : this.#target.encode(more.subarray(0, length))
  }
}
