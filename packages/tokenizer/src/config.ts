// tokenizer_config.json: which special token is which, and the chat template. Fields that we do not use are kept.

import { ChatTemplates } from './chat/templates.js'
import { FileFormatError, brief } from './errors.js'
import type { AddedToken } from './json.js'

export interface TokenizerConfig {
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  readonly templates: ChatTemplates
  /** The other fields of the file, written back as they were. */
  readonly rest: Readonly<Record<string, unknown>>
}

/**
 * Reads a parsed tokenizer_config.json. `known` tells tokens from other texts; `templateFiles` are chat templates that
 * have files of their own, by name.
 */
export function parseConfig(
  json: unknown,
  known: (token: string) => boolean,
  file: string,
  templateFiles: Readonly<Record<string, string>> = {},
): TokenizerConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new FileFormatError(file, 'file', `is ${brief(json)}. An object is expected.`)
  }
  const root = json as Record<string, unknown>
  for (const field of ['add_bos_token', 'add_eos_token', 'add_prefix_space']) {
    if (root[field] === true)
      throw new FileFormatError(file, field, 'is true, which is not supported.')
  }
  const token = (field: string): string | null => {
    const value = root[field]
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
    rest,
  }
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
      added.map(({ id, content, special }) => [
        id,
        { content, lstrip: false, normalized: false, rstrip: false, single_word: false, special },
      ]),
    ),
    bos_token: config.bosToken,
    eos_token: config.eosToken,
    pad_token: config.padToken,
    chat_template: config.templates.toJSON(),
  }
}
