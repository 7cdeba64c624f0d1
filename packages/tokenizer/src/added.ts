// Tokens that stand beside the model's: found in the text before the model sees it, as Hugging Face finds them, but
// special ones only where the caller allows them.

import { brief } from './errors.js'
import type { JsonObject, Reader } from './files/reader.js'
import type { Vocabulary } from './models/model.js'
import type { Normalizer } from './normalizers/index.js'
import { isSpace } from './normalizers/characters.js'
import { Aligned } from './text/aligned.js'
import { Finder } from './text/finder.js'
import { LONE_SURROGATE } from './text/utf8.js'

export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Found only where the caller allows it; left out by `skipSpecialTokens`. */
  readonly special: boolean
  /** Not found within a word. */
  readonly singleWord: boolean
  /** Takes the blanks before it, or after it. */
  readonly lstrip: boolean
  readonly rstrip: boolean
  /** Looked for in the normalized text, itself normalized. */
  readonly normalized: boolean
}

export const MAX_ADDED = 2 ** 16

/** Reads `added_tokens`. */
export function readAdded(read: Reader, entries: readonly unknown[]): AddedToken[] {
  const contents = new Set<string>()
  const ids = new Set<number>()
  return entries.map((entry, i) => {
    const path = `added_tokens[${i}]`
    const token = read.object(entry, path)
    const flags = ['special', 'single_word', 'lstrip', 'rstrip', 'normalized'] as const
    read.only(token, path, ['id', 'content', ...flags])
    const [special, singleWord, lstrip, rstrip, normalized] = flags.map((name) =>
      read.boolean(token[name], `${path}.${name}`, false),
    ) as [boolean, boolean, boolean, boolean, boolean]
    const content = read.text(token.content, `${path}.content`)
    const id = read.id(token.id, `${path}.id`)
    if (special && content.length < 2) {
      // chat.ts could not break it in what users wrote.
      read.fail(
        `${path}.content`,
        `is ${brief(content)}. Two characters or more are supported for a special token.`,
      )
    }
    if (LONE_SURROGATE.test(content)) read.fail(`${path}.content`, 'holds half a surrogate pair.')
    if (contents.has(content)) read.fail(`${path}.content`, `${brief(content)} is there twice.`)
    if (ids.has(id)) read.fail(`${path}.id`, `${id} is there twice.`)
    contents.add(content)
    ids.add(id)
    return { id, content, special, singleWord, lstrip, rstrip, normalized }
  })
}

/** Added tokens and the model's vocabulary must agree on ids and texts. */
export function checkAdded(read: Reader, added: readonly AddedToken[], vocab: Vocabulary): void {
  added.forEach(({ id, content }, i) => {
    const known = vocab.idOf(content)
    if (known !== undefined && known !== id) {
      read.fail(
        `added_tokens[${i}].id`,
        `is ${id}, but model.vocab gives ${brief(content)} the id ${known}.`,
      )
    }
    const other = vocab.tokenOf(id)
    if (other !== undefined && other !== content) {
      read.fail(`added_tokens[${i}].id`, `${id} is the id of ${brief(other)} in model.vocab.`)
    }
  })
}

const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u

/** Part of a text: an added token, or what is between them. */
export interface Part {
  readonly text: Aligned
  readonly token: AddedToken | null
}

/** Finds one choice of added tokens in texts. */
class AddedFinder {
  private readonly finder: Finder | undefined

  constructor(
    private readonly tokens: readonly AddedToken[],
    contents: readonly string[],
  ) {
    if (contents.length > 0) this.finder = new Finder(contents)
    this.contents = contents
  }

  private readonly contents: readonly string[]

  split(text: Aligned): Part[] {
    const found = this.finder?.find(text.text) ?? []
    if (found.length === 0) return [{ text, token: null }]
    const parts: Part[] = []
    const whole = text.text
    let done = 0
    const put = (start: number, end: number, token: AddedToken | null): void => {
      if (end > start) parts.push({ text: text.slice(start, end), token })
    }
    for (let k = 0; k < found.length; k += 2) {
      let start = found[k]!
      const token = this.tokens[found[k + 1]!]!
      let end = start + this.contents[found[k + 1]!]!.length
      if (token.singleWord) {
        // Two units before and after hold the neighbouring character.
        if (WORD_BEFORE.test(whole.slice(Math.max(0, start - 2), start))) continue
        if (WORD_AFTER.test(whole.slice(end, end + 2))) continue
      }
      // The blanks may be taken by the token before already.
      if (token.lstrip) while (start > done && isSpace(whole.charCodeAt(start - 1))) start--
      if (token.rstrip) while (end < whole.length && isSpace(whole.charCodeAt(end))) end++
      put(done, start, null)
      put(Math.max(start, done), end, token)
      done = Math.max(done, end)
    }
    put(done, whole.length, null)
    return parts
  }
}

/** Which special tokens a text may spell. */
export type AllowSpecial = 'none' | 'all' | readonly string[]

/** All added tokens of a tokenizer; a finder for each choice of special ones that was asked for. */
export class AddedTokens {
  private readonly finders = new Map<string, { raw: AddedFinder; normalized: AddedFinder }>()
  private readonly normalizedContent = new Map<AddedToken, string>()

  constructor(
    readonly tokens: readonly AddedToken[],
    private readonly normalizer: Normalizer | null,
  ) {}

  /** Cuts a text at added tokens and normalizes what is between; special ones must be among `allowed`. */
  split(text: Aligned, allowed: AllowSpecial): Part[] {
    const { raw, normalized } = this.findersFor(allowed)
    const parts: Part[] = []
    for (const part of raw.split(text)) {
      if (part.token !== null) {
        parts.push(part)
        continue
      }
      const after = this.normalizer === null ? part.text : this.normalizer(part.text)
      if (after.length > 0) parts.push(...normalized.split(after))
    }
    return parts
  }

  private findersFor(allowed: AllowSpecial): { raw: AddedFinder; normalized: AddedFinder } {
    const key = typeof allowed === 'string' ? allowed : JSON.stringify(allowed)
    let found = this.finders.get(key)
    if (found === undefined) {
      const wanted = typeof allowed === 'string' ? undefined : new Set(allowed)
      const tokens = this.tokens.filter(
        ({ special, content }) => !special || allowed === 'all' || wanted?.has(content) === true,
      )
      const finder = (normalized: boolean): AddedFinder => {
        const chosen = tokens
          .filter((token) => token.normalized === normalized)
          .map((token) => [token, normalized ? this.normalize(token) : token.content] as const)
          .filter(([, content]) => content.length > 0)
        return new AddedFinder(
          chosen.map(([token]) => token),
          chosen.map(([, content]) => content),
        )
      }
      found = { raw: finder(false), normalized: finder(true) }
      if (this.finders.size >= 64) this.finders.clear()
      this.finders.set(key, found)
    }
    return found
  }

  private normalize(token: AddedToken): string {
    let content = this.normalizedContent.get(token)
    if (content === undefined) {
      content = this.normalizer?.(Aligned.of(token.content, false)).text ?? token.content
      this.normalizedContent.set(token, content)
    }
    return content
  }
}

/** An added token as tokenizer.json spells it. */
export function addedToJson(token: AddedToken): JsonObject {
  const { id, content, singleWord, lstrip, rstrip, normalized, special } = token
  return { id, content, single_word: singleWord, lstrip, rstrip, normalized, special }
}
