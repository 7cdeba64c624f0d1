// From messages to the pieces of a prompt: the template's special tokens, and text that holds none. The marks that
// kept users' text from being special are taken out again after the special tokens were found.

import { TemplateError, TokenizerError } from '../errors.js'
import { Guard } from './guard.js'
import { allText, chooseMarks, escaped } from './marks.js'
import type { ChatMessage } from './messages.js'
import type { ChatTemplate } from './template.js'

/** A stretch of the rendered prompt: a special token of the template's, or text that holds none. */
export interface ChatSegment {
  readonly text: string
  readonly special: boolean
  /** Whether the assistant wrote it, by the template's `{% generation %}`. */
  readonly assistant: boolean
}

export interface RenderInput {
  readonly template: ChatTemplate
  readonly messages: readonly ChatMessage[]
  /** What users wrote beside the messages: tools, documents. */
  readonly variables: Readonly<Record<string, unknown>>
  /** What we say ourselves: switches, special tokens. */
  readonly trusted: Readonly<Record<string, unknown>>
  /** Texts of all special tokens. */
  readonly specials: readonly string[]
  /** Finds the longest of them. */
  readonly find: RegExp | undefined
  /** Stop behind what the last message says. */
  readonly unfinished: boolean
}

/** Renders and cuts the prompt. */
export function renderSegments(input: RenderInput): ChatSegment[] {
  const { template, messages, variables, trusted, specials, find } = input
  const everything = allText([template.source, messages, variables, trusted, specials])
  const marks = chooseMarks(everything, 4)
  const [mark, start, end, stop] = marks as [string, string, string, string]
  const guard = new Guard(mark, specials, find)
  const guarded = guard.messages(messages)
  if (input.unfinished) stopBehindLast(guarded, stop)
  const safe = Object.fromEntries(
    Object.entries(variables).map(([key, value]) => [key, guard.value(value, key)]),
  )
  let rendered = template.render({ ...safe, messages: guarded, ...trusted }, { start, end })
  if (input.unfinished) {
    const at = rendered.lastIndexOf(stop)
    if (at < 0) {
      throw new TemplateError(
        'chatTemplate',
        'the template does not write the last message as it is, so that it cannot be continued.',
      )
    }
    rendered = rendered.slice(0, at)
  }
  const clean = (text: string): string =>
    marks.reduce((t, m) => t.replaceAll(m, '').replaceAll(escaped(m), ''), text)

  const segments: ChatSegment[] = []
  let depth = 0
  // `assistant` changes at a mark, which no special token contains, so each run between marks is cut on its own.
  for (const run of rendered.split(new RegExp(`([${start}${end}])`))) {
    if (run === start) depth++
    else if (run === end) depth--
    else {
      let from = 0
      const push = (text: string, special: boolean): void => {
        if (text !== '') segments.push({ text, special, assistant: depth > 0 })
      }
      for (const hit of find === undefined ? [] : run.matchAll(find)) {
        push(clean(run.slice(from, hit.index)), false)
        push(hit[0], true)
        from = hit.index + hit[0].length
      }
      push(clean(run.slice(from)), false)
    }
  }
  if (depth !== 0 && !input.unfinished) {
    throw new TemplateError(
      'chatTemplate',
      'the template opens a generation block that it does not close.',
    )
  }
  return segments
}

/** Puts a mark behind the last message's text. */
function stopBehindLast(messages: Record<string, unknown>[], stop: string): void {
  const last = messages.at(-1)
  const { content } = last ?? {}
  if (typeof content === 'string') {
    last!.content = content + stop
    return
  }
  const part = (Array.isArray(content) ? content.at(-1) : undefined) as
    Record<string, unknown> | undefined
  if (typeof part?.text !== 'string') {
    throw new TokenizerError(
      'applyChatTemplate',
      'continueFinalMessage needs a last message that ends in text.',
    )
  }
  part.text += stop
}
