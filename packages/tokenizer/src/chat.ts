// From messages to ids. Text that users wrote must never become a special token, while the template's own text must;
// and filters of the template (trim, split, startswith) must see what the user wrote. So the text goes in as it is,
// except that a mark, a character that occurs nowhere in the input, breaks every special token that it spells or
// could complete. The marks are taken out again after the special tokens were found.

import { TokenizerError, TemplateError, brief } from './errors.js'
import { ChatTemplate } from './template.js'

/** A piece of a message: `{ type: 'text', text }` or `{ type: 'image' }`, further fields as the template wants. */
export interface ContentPart {
  readonly type: string
  readonly text?: string
  readonly [field: string]: unknown
}

export interface ChatMessage {
  readonly role: string
  readonly content: string | readonly ContentPart[]
  readonly [field: string]: unknown
}

/** The special tokens of our models, in the order of their ids. */
export const DEFAULT_SPECIAL_TOKENS: readonly string[] = [
  '<|pad|>',
  '<|begin_of_text|>',
  '<|end_of_text|>',
  '<|user|>',
  '<|assistant|>',
  '<|end_of_turn|>',
  '<|image_start|>',
  '<|image|>',
  '<|image_end|>',
]

/**
 * The chat format of our models: `<|begin_of_text|>`, a system text if there is one, then each turn as its role,
 * its text and `<|end_of_turn|>`. What the assistant wrote, its end of turn among it, is marked for the loss.
 */
export const DEFAULT_CHAT_TEMPLATE = `{%- macro body(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- else -%}
    {%- for part in content -%}
      {%- if part.type == 'image' -%}
        {{- '<|image_start|><|image|><|image_end|>' -}}
      {%- elif part.type == 'text' -%}
        {{- part.text -}}
      {%- else -%}
        {{- raise_exception('content of type ' ~ part.type ~ ' is not known; text and image are') -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- if not loop.first -%}
      {{- raise_exception('a system message must be the first') -}}
    {%- endif -%}
    {{- body(message.content) -}}<|end_of_turn|>
  {%- elif message.role == 'user' -%}
    <|user|>{{- body(message.content) -}}<|end_of_turn|>
  {%- elif message.role == 'assistant' -%}
    <|assistant|>
    {%- generation -%}
    {{- body(message.content) -}}<|end_of_turn|>
    {%- endgeneration -%}
  {%- else -%}
    {{- raise_exception('role ' ~ message.role ~ ' is not known; system, user and assistant are') -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  <|assistant|>
{%- endif -%}
`

/** Our own template is bounded by its messages, and the time limit's watchdog would double what it costs. */
export function compileTemplate(source: string): ChatTemplate {
  return new ChatTemplate(
    source,
    source === DEFAULT_CHAT_TEMPLATE ? { milliseconds: Number.POSITIVE_INFINITY } : {},
  )
}

/** A stretch of the rendered prompt: a special token of the template's, or text that holds none. */
export interface ChatSegment {
  readonly text: string
  readonly special: boolean
  /** Whether the assistant wrote it, by the template's `{% generation %}`. */
  readonly assistant: boolean
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}$/
const MAX_DEPTH = 32

/** Renders and cuts the prompt. `specials` are the texts of all special tokens, `find` matches the longest of them. */
export function renderSegments(
  template: ChatTemplate,
  variables: Record<string, unknown>,
  trusted: Record<string, unknown>,
  specials: readonly string[],
  find: RegExp | undefined,
): ChatSegment[] {
  const [mark, start, end] = chooseMarks(allText([template.source, variables, trusted, specials]))
  const guard = new Guard(mark, specials, find)
  const safe = Object.fromEntries(
    Object.entries(variables).map(([key, value]) => [key, guard.value(value, key, 0)]),
  )
  const rendered = template.render({ ...safe, ...trusted }, { start, end })
  const clean = (text: string): string =>
    [mark, start, end].reduce((t, m) => t.replaceAll(m, '').replaceAll(escaped(m), ''), text)

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
  if (depth !== 0) {
    throw new TemplateError(
      'chatTemplate',
      'the template opens a generation block that it does not close.',
    )
  }
  return segments
}

/** Breaks special tokens in what users wrote, and refuses what no template should be given. */
class Guard {
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

  value(value: unknown, field: string, depth: number): unknown {
    if (depth > MAX_DEPTH) {
      throw new TokenizerError(
        'applyChatTemplate',
        `${field} is nested more than ${MAX_DEPTH} deep.`,
      )
    }
    if (typeof value === 'string') {
      // Templates build special tokens from roles ('<|' + role + '|>') and compare types: these stay bare names.
      if (field !== 'role' && field !== 'type') return this.text(value)
      if (!NAME.test(value)) {
        throw new TokenizerError(
          'applyChatTemplate',
          `${field} is ${brief(value)}. A name of letters, digits, '_', '-', '.' and blanks is expected.`,
        )
      }
      return value
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

function allText(values: unknown): string {
  try {
    return JSON.stringify(values)
  } catch (error) {
    throw new TokenizerError(
      'applyChatTemplate',
      `the messages are no JSON: ${(error as Error).message}`,
    )
  }
}

/** Three characters that neither the input nor its JSON escapes contain. */
function chooseMarks(input: string): [string, string, string] {
  const lower = input.toLowerCase()
  const found: string[] = []
  // 32 noncharacters, which no text should hold, then the private use area.
  for (let code = 0xfdd0; code !== 0xf900; code = code === 0xfdef ? 0xe000 : code + 1) {
    const char = String.fromCharCode(code)
    if (input.includes(char) || lower.includes(code.toString(16))) continue
    found.push(char)
    if (found.length === 3) return found as [string, string, string]
  }
  throw new TokenizerError(
    'applyChatTemplate',
    'the messages hold every private-use character. One must be free to mark what users wrote.',
  )
}

/** How `tojson(ensure_ascii=true)` writes a mark. */
function escaped(mark: string): string {
  return `\\u${mark.charCodeAt(0).toString(16)}`
}
