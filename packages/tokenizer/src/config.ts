// tokenizer_config.json: which special token is which, and the chat template. Fields that we do not use are kept.

import { compileTemplate } from './chat.js'
import { FileFormatError, TemplateError, brief } from './errors.js'
import type { AddedToken } from './added.js'
import { addedToJson } from './added.js'
import type { ChatTemplate } from './template.js'

export interface TokenizerConfig {
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly template: ChatTemplate | null
  /** Sides that padding and truncation take where the caller does not say. */
  readonly paddingSide: 'left' | 'right' | undefined
  readonly truncationSide: 'left' | 'right' | undefined
  /** The other fields of the file, written back as they were. */
  readonly rest: Readonly<Record<string, unknown>>
}

/**
 * Reads a parsed tokenizer_config.json. `known` are all tokens; `templateFile` is the text of chat_template.jinja,
 * which goes before the template in the config, as in transformers. `specialTokensMap` (special_tokens_map.json) names
 * tokens that the config does not.
 */
export function parseConfig(
  json: unknown,
  known: { has(token: string): boolean },
  file: string,
  templateFile: string | undefined,
  specialTokensMap?: unknown,
): TokenizerConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new FileFormatError(file, 'file', `is ${brief(json)}. An object is expected.`)
  }
  const root = json as Record<string, unknown>
  const map = specialTokensMap as Record<string, unknown> | undefined
  const side = (field: string): 'left' | 'right' | undefined => {
    const value = root[field]
    if (value === undefined || value === null) return undefined
    if (value === 'left' || value === 'right') return value
    throw new FileFormatError(file, field, `is ${brief(value)}. "left" or "right" is expected.`)
  }
  const token = (field: string): string | null => {
    const value = root[field] === undefined ? map?.[field] : root[field]
    if (value === undefined || value === null) return null
    const content = typeof value === 'object' ? (value as Record<string, unknown>).content : value
    if (typeof content !== 'string') {
      throw new FileFormatError(file, field, `is ${brief(content)}. A token's text is expected.`)
    }
    if (!known.has(content)) {
      throw new FileFormatError(
        file,
        field,
        `is ${brief(content)}, which tokenizer.json does not have.`,
      )
    }
    return content
  }
  const { bos_token, eos_token, pad_token, chat_template, added_tokens_decoder, ...rest } = root
  return {
    bosToken: token('bos_token'),
    eosToken: token('eos_token'),
    padToken: token('pad_token'),
    template: readTemplate(chat_template, file, templateFile),
    paddingSide: side('padding_side'),
    truncationSide: side('truncation_side'),
    rest,
  }
}

function readTemplate(
  value: unknown,
  file: string,
  templateFile: string | undefined,
): ChatTemplate | null {
  const source = templateFile ?? templateSource(value, file)
  if (source === null) return null
  try {
    return compileTemplate(source)
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    throw new FileFormatError(file, 'chat_template', error.message, { cause: error })
  }
}

/** A template, or a list of named ones of which 'default' is taken. */
function templateSource(value: unknown, file: string): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string') return value
  if (Array.isArray(value)) {
    const found = value.find(
      (entry) => (entry as Record<string, unknown> | null)?.name === 'default',
    )
    const source = (found as Record<string, unknown> | undefined)?.template
    if (typeof source === 'string') return source
    throw new FileFormatError(file, 'chat_template', 'has no template named "default".')
  }
  throw new FileFormatError(file, 'chat_template', `is ${brief(value)}. A template is expected.`)
}

/** The object that tokenizer_config.json holds. */
export function toConfigJson(
  config: TokenizerConfig,
  added: readonly AddedToken[],
): Record<string, unknown> {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    ...config.rest,
    added_tokens_decoder: Object.fromEntries(
      added.map((token) => {
        const { id, ...fields } = addedToJson(token)
        return [id, fields]
      }),
    ),
    bos_token: config.bosToken,
    eos_token: config.eosToken,
    pad_token: config.padToken,
    chat_template: config.template?.source ?? null,
  }
}
