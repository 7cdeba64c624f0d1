// tokenizer_config.json: which special token is which, and the chat templates. Fields that we do not use are kept.

import { addedToJson } from './added.js'
import type { AddedToken } from './added.js'
import { ChatTemplates } from './chat/templates.js'
import { FileFormatError, brief } from './errors.js'

export interface TokenizerConfig {
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly templates: ChatTemplates
  /** Sides that padding and truncation take where the caller does not say. */
  readonly paddingSide: 'left' | 'right' | undefined
  readonly truncationSide: 'left' | 'right' | undefined
  /** The other fields of the file, written back as they were. */
  readonly rest: Readonly<Record<string, unknown>>
  /** special_tokens_map.json, which names tokens that the config does not. */
  readonly specialTokensMap: Readonly<Record<string, unknown>>
}

/** A config that names nothing. */
export const NO_CONFIG: TokenizerConfig = {
  bosToken: null,
  eosToken: null,
  padToken: null,
  templates: ChatTemplates.none(),
  paddingSide: undefined,
  truncationSide: undefined,
  rest: {},
  specialTokensMap: {},
}

/**
 * Reads a parsed tokenizer_config.json. `known` tells tokens from other texts; `templateFiles` are chat templates that
 * have files of their own, by name; `specialTokensMap` is special_tokens_map.json, parsed.
 */
export function parseConfig(
  json: unknown,
  known: (token: string) => boolean,
  file: string,
  templateFiles: Readonly<Record<string, string>> = {},
  specialTokensMap: unknown = {},
): TokenizerConfig {
  const root = objectOf(json, file)
  const map = objectOf(specialTokensMap, 'special_tokens_map.json')
  const side = (field: string): 'left' | 'right' | undefined => {
    const value = root[field]
    if (value === undefined || value === null) return undefined
    if (value === 'left' || value === 'right') return value
    throw new FileFormatError(file, field, `is ${brief(value)}. "left" or "right" is expected.`)
  }
  const token = (field: string): string | null => {
    const value = root[field] === undefined ? map[field] : root[field]
    if (value === undefined || value === null) return null
    const content = typeof value === 'object' ? (value as Record<string, unknown>).content : value
    if (typeof content !== 'string') {
      throw new FileFormatError(file, field, `is ${brief(content)}. A token's text is expected.`)
    }
    if (!known(content)) {
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
    templates: ChatTemplates.parse(chat_template, file, templateFiles),
    paddingSide: side('padding_side'),
    truncationSide: side('truncation_side'),
    rest,
    specialTokensMap: map,
  }
}

function objectOf(json: unknown, file: string): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new FileFormatError(file, 'file', `is ${brief(json)}. An object is expected.`)
  }
  return json as Record<string, unknown>
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
    chat_template: config.templates.toJSON(),
  }
}

const NAMED = ['unk_token', 'sep_token', 'cls_token', 'mask_token', 'additional_special_tokens']

/** The object that special_tokens_map.json holds: what was there, and what the config says. */
export function toSpecialTokensMap(config: TokenizerConfig): Record<string, unknown> {
  const { rest, bosToken, eosToken, padToken } = config
  const named = {
    ...Object.fromEntries(NAMED.map((field) => [field, rest[field]])),
    bos_token: bosToken,
    eos_token: eosToken,
    pad_token: padToken,
  }
  const given = Object.entries(named).filter(([, value]) => value !== undefined && value !== null)
  return { ...config.specialTokensMap, ...Object.fromEntries(given) }
}
