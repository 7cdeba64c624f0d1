/** How much text a tokenizer packs into a token. */
export interface Compression {
  readonly bytes: number
  readonly characters: number
  readonly tokens: number
  readonly bytesPerToken: number
  readonly charactersPerToken: number
}

/** Anything that gives ids for text. */
export interface Encoder {
  encode(text: string): ArrayLike<number>
}

/**
 * How a tokenizer does on texts that it was not trained on. Compare tokenizers on one language, not languages: Hindi
 * takes three bytes a letter in UTF-8, English one.
 *
 * ```ts
 * compression(tokenizer, [heldOut]).bytesPerToken
 * ```
 */
export function compression(tokenizer: Encoder, texts: Iterable<string>): Compression {
  let bytes = 0
  let characters = 0
  let tokens = 0
  for (const text of texts) {
    tokens += tokenizer.encode(text).length
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      // The second half of a pair is counted with the first: four bytes, one character.
      const paired = code >= 0xdc00 && code < 0xe000 && isHigh(text.charCodeAt(i - 1))
      bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : paired ? 1 : 3
      if (!paired) characters++
    }
  }
  return {
    bytes,
    characters,
    tokens,
    bytesPerToken: tokens === 0 ? 0 : bytes / tokens,
    charactersPerToken: tokens === 0 ? 0 : characters / tokens,
  }
}

const isHigh = (code: number): boolean => code >= 0xd800 && code < 0xdc00
