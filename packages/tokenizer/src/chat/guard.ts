// Text that users wrote must never become a special token, while the template's own text must; and filters of the
// template (trim, split, startswith) must see what the user wrote. So the text goes in as it is, except that a mark, a
// character that occurs nowhere in the input, breaks every special token that it spells or could complete.

import { TokenizerError, brief } from '../errors.js'
import type { ChatMessage, ContentPart } from './messages.js'

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}$/
const MAX_DEPTH = 32

/** Breaks special tokens in what users wrote, and refuses what no template should be given. */
export class Guard {
  /** Texts that, at an end of user text, could make a special token together with the template's text beside it. */
  private readonly tails = new Set<string>()
  private readonly heads = new Set<string>()
  private readonly insides: string[]
  private readonly longest: number

  constructor(
    private readonly mark: string,
    specials: readonly string[],
    private readonly find: RegExp | undefined,
  ) {
    for (const special of specials) {
      for (let cut = 1; cut < special.length; cut++) {
        this.heads.add(special.slice(0, cut))
        this.tails.add(special.slice(cut))
      }
    }
    this.insides = specials.map((special) => special.slice(1, -1))
    this.longest = Math.max(0, ...specials.map((special) => special.length - 1))
  }

  /** Messages, whose roles and kinds of parts must be names: templates build special tokens from them. */
  messages(messages: readonly ChatMessage[]): Record<string, unknown>[] {
    return messages.map((message) => {
      if (typeof message !== 'object' || message === null || Array.isArray(message)) {
        throw new TokenizerError(
          'applyChatTemplate',
          `a message is ${brief(message)}. { role, content } is expected.`,
        )
      }
      mustBeName(message.role, 'role')
      if (Array.isArray(message.content)) {
        for (const part of message.content as readonly unknown[]) {
          mustBeName((part as ContentPart | null | undefined)?.type ?? 'text', 'type')
        }
      }
      return this.value(message, 'message', 1) as Record<string, unknown>
    })
  }

  /** Any JSON value. */
  value(value: unknown, field: string, depth = 0): unknown {
    if (depth > MAX_DEPTH) {
      throw new TokenizerError(
        'applyChatTemplate',
        `${field} is nested more than ${MAX_DEPTH} deep.`,
      )
    }
    if (typeof value === 'string') {
      // Templates compare these, so a name stays as it is.
      const isName = (field === 'role' || field === 'type') && NAME.test(value)
      return isName ? value : this.text(value)
    }
    if (Array.isArray(value)) return value.map((item) => this.value(item, 'item', depth + 1))
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [
          this.spelled(key),
          this.value(item, key, depth + 1),
        ]),
      )
    }
    if (value === null || value === undefined || ['number', 'boolean'].includes(typeof value))
      return value
    throw new TokenizerError(
      'applyChatTemplate',
      `${field} is a ${typeof value}. JSON values are expected.`,
    )
  }

  private spelled(text: string): string {
    if (this.find === undefined) return text
    return text.replace(this.find, (hit) => hit[0]! + this.mark + hit.slice(1))
  }

  private text(text: string): string {
    if (text === '') return text
    let before = false
    let after = false
    for (let length = 1; length <= Math.min(this.longest, text.length); length++) {
      before ||= this.tails.has(text.slice(0, length))
      after ||= this.heads.has(text.slice(-length))
    }
    const inside = this.insides.some((special) => special.includes(text))
    return (
      (before || inside ? this.mark : '') + this.spelled(text) + (after || inside ? this.mark : '')
    )
  }
}

function mustBeName(value: unknown, field: string): void {
  if (typeof value === 'string' && NAME.test(value)) return
  throw new TokenizerError(
    'applyChatTemplate',
    `${field} is ${brief(value)}. A name of letters, digits, '_', '-', '.' and blanks is expected.`,
  )
}
