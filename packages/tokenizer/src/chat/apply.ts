// A conversation as the ids that a model reads.

import type { AddedToken } from '../added.js'
import { TokenizerError, brief } from '../errors.js'
import { isSpace } from '../normalizers/characters.js'
import type { ChatMessage } from './messages.js'
import { renderSegments } from './render.js'
import type { ChatSegment } from './render.js'
import { ChatTemplate } from './template.js'
import type { ChatTemplates } from './templates.js'

export interface ChatOptions {
  /** End with what opens the assistant's turn; default false. */
  readonly addGenerationPrompt?: boolean
  /** End behind what the last message says, for the model to go on from there; default false. */
  readonly continueFinalMessage?: boolean
  /** Ids (default), or the prompt as text. */
  readonly tokenize?: boolean
  /** Tools that the model may call, as JSON schemas. */
  readonly tools?: readonly unknown[]
  /** Documents for retrieval, as the template wants them (title and text, usually). */
  readonly documents?: readonly unknown[]
  /** One of the tokenizer's templates by name, or another. Default 'tool_use' with tools if there is one, else 'default'. */
  readonly chatTemplate?: string | ChatTemplate
  /** Placeholders each image takes, in order, e.g. its patches; default one `<|image|>` an image. */
  readonly imageTokens?: readonly number[]
  /** The placeholder that `imageTokens` repeats; default '<|image|>'. */
  readonly imageToken?: string
  /** Further variables of the template; JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>
}

export interface EncodedChat {
  readonly ids: number[]
  /** 1 where the assistant wrote the id, by the template's `{% generation %}`; null where the template has none. */
  readonly assistantMask: Uint8Array | null
}

/** What of a tokenizer a chat needs. */
export interface ChatTokenizer {
  readonly templates: ChatTemplates
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  /** The special tokens by their text. */
  readonly special: ReadonlyMap<string, AddedToken>
  /** Finds the longest special token. */
  readonly find: RegExp | undefined
  /** Plain text to ids; `first` where nothing is before it. */
  encode(text: string, first: boolean): readonly number[]
}

export interface RenderedChat {
  readonly template: ChatTemplate
  readonly segments: readonly ChatSegment[]
}

export function renderChat(
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): RenderedChat {
  const { chatTemplate, addGenerationPrompt = false, continueFinalMessage = false } = options
  // Those that are not given are none and not undefined, as in transformers.
  const {
    tools = null,
    documents = null,
    ...variables
  } = { ...options.variables, ...given(options) }
  if (!Array.isArray(messages)) {
    refuse(`messages are ${brief(messages)}. A list of { role, content } is expected.`)
  }
  if (addGenerationPrompt && continueFinalMessage) {
    refuse('addGenerationPrompt opens a turn and continueFinalMessage leaves one open. Choose one.')
  }
  const template =
    chatTemplate instanceof ChatTemplate
      ? chatTemplate
      : tokenizer.templates.choose(chatTemplate, tools !== null)
  const segments = renderSegments({
    template,
    messages,
    variables: { ...variables, tools, documents },
    trusted: {
      add_generation_prompt: addGenerationPrompt,
      continue_final_message: continueFinalMessage,
      bos_token: tokenizer.bosToken ?? '',
      eos_token: tokenizer.eosToken ?? '',
      pad_token: tokenizer.padToken ?? '',
    },
    specials: [...tokenizer.special.keys()],
    find: tokenizer.find,
    unfinished: continueFinalMessage,
  })
  return { template, segments }
}

function given({ tools, documents }: ChatOptions): Record<string, unknown> {
  return { ...(tools && { tools }), ...(documents && { documents }) }
}

export function encodeChat(
  tokenizer: ChatTokenizer,
  { template, segments }: RenderedChat,
  options: ChatOptions,
): EncodedChat {
  const images = new ImagePlaceholders(tokenizer.special, options)
  const ids: number[] = []
  const mask: number[] = []
  segments.forEach(({ text, special, assistant }, i) => {
    if (special) {
      const { id } = tokenizer.special.get(text)!
      for (let count = images.repeat(text); count > 0; count--) ids.push(id)
    } else {
      const rest = withoutTaken(tokenizer.special, segments, i)
      for (const id of tokenizer.encode(rest, i === 0)) ids.push(id)
    }
    while (mask.length < ids.length) mask.push(assistant ? 1 : 0)
  })
  images.finish()
  return { ids, assistantMask: template.marksGeneration ? Uint8Array.from(mask) : null }
}

/** A segment of text without the blanks that special tokens beside it take (lstrip, rstrip). */
function withoutTaken(
  specials: ReadonlyMap<string, AddedToken>,
  segments: readonly ChatSegment[],
  i: number,
): string {
  const beside = (k: number): AddedToken | undefined => {
    const segment = segments[k]
    return segment?.special === true ? specials.get(segment.text) : undefined
  }
  const { text } = segments[i]!
  let start = 0
  let end = text.length
  if (beside(i - 1)?.rstrip === true) while (start < end && isSpace(text.charCodeAt(start))) start++
  if (beside(i + 1)?.lstrip === true) while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** Writes each image's placeholder as often as the caller says. */
class ImagePlaceholders {
  private images = 0
  private readonly counts: readonly number[] | undefined
  private readonly token: string

  constructor(special: ReadonlyMap<string, AddedToken>, options: ChatOptions) {
    const { imageTokens, imageToken = '<|image|>' } = options
    this.counts = imageTokens
    this.token = imageToken
    if (imageTokens === undefined) return
    if (!special.has(imageToken)) refuse(`imageToken ${brief(imageToken)} is no special token.`)
    for (const count of imageTokens) {
      if (!Number.isInteger(count) || count < 1 || count > 2 ** 20) {
        refuse(
          `imageTokens has ${count}. An integer from 1 to ${2 ** 20} is expected for each image.`,
        )
      }
    }
  }

  repeat(token: string): number {
    if (this.counts === undefined || token !== this.token) return 1
    return this.counts[this.images++] ?? 1
  }

  finish(): void {
    if (this.counts === undefined || this.images === this.counts.length) return
    refuse(
      `the messages have ${this.images} images, imageTokens has ${this.counts.length}. One count an image is expected.`,
    )
  }
}

function refuse(message: string): never {
  throw new TokenizerError('applyChatTemplate', message)
}
