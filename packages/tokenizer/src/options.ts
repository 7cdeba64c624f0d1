// What callers may ask of encoding and decoding, checked and with what the files say.

import type { AllowSpecial } from './added.js'
import type { Padding, Truncation } from './encoding.js'
import { TokenizerError, brief } from './errors.js'

export interface EncodeOptions {
  /**
   * Which special tokens the text may spell: none (default), all, or those listed. Hugging Face's tokenizers always
   * take 'all'; text of users must not.
   */
  readonly allowSpecial?: AllowSpecial
  /** Put the file's special tokens (beginning, end, separators) around the text; default false. */
  readonly addSpecialTokens?: boolean
  /** Where the model drops merges at random (BPE dropout): the same seed drops the same. */
  readonly seed?: number
}

/** How far the work is, in UTF-16 units of the text. */
export type OnEncoded = (done: number, total: number) => void

export interface EncodeTextOptions extends EncodeOptions {
  /** Called about once a megabyte. Not where special tokens are put around the text. */
  readonly onProgress?: OnEncoded
}

export interface EncodingOptions extends EncodeOptions {
  /** A second text, as in question and answer. */
  readonly pair?: string
  /** Default true. */
  readonly addSpecialTokens?: boolean
  /** Default what the file says; null for none. */
  readonly truncation?: Truncation | null
  /** Default what the file says; null for none. */
  readonly padding?: PaddingOptions | null
}

export interface PaddingOptions {
  /** Ids to pad to, or the longest of the batch (default). */
  readonly length?: number | 'longest'
  /** Round the length up to a multiple of this. */
  readonly multipleOf?: number
  /** Default what the files say, else 'right'. Generation wants 'left'. */
  readonly side?: 'left' | 'right'
  /** Default what the files say. */
  readonly id?: number
  readonly typeId?: number
}

export interface DecodeOptions {
  /** Leave the special tokens out; default false. */
  readonly skipSpecialTokens?: boolean
}

type Side = 'left' | 'right'

/** `ofFile` is tokenizer.json's, `side` tokenizer_config.json's. */
export function truncationOf(
  given: Truncation | null | undefined,
  ofFile: Truncation | null,
  side: Side | undefined,
): Truncation | null {
  const sided = side === undefined ? {} : { side }
  if (given === undefined) return ofFile === null ? null : { ...ofFile, ...sided }
  if (given === null) return null
  const { maxLength, stride = 0 } = given
  for (const [field, value] of Object.entries({ maxLength, stride })) {
    if (!Number.isInteger(value) || value < 0) {
      refuse(`truncation.${field} is ${brief(value)}. An integer from 0 is expected.`)
    }
  }
  return { ...sided, ...given }
}

/** `ofFile` is tokenizer.json's, `side` and `padId` are tokenizer_config.json's. */
export function paddingOf(
  given: PaddingOptions | null | undefined,
  ofFile: Padding | null,
  side: Side | undefined,
  padId: number | null,
): Padding | null {
  if (given === null || (given === undefined && ofFile === null)) return null
  const id = given?.id ?? padId ?? ofFile?.id
  if (id === undefined) return refuse('padding needs an id, and the files name no padding token.')
  const length = given?.length ?? ofFile?.length ?? 'longest'
  const multipleOf = given?.multipleOf ?? ofFile?.multipleOf ?? 1
  if (length !== 'longest' && !(Number.isInteger(length) && length >= 0)) {
    refuse(`padding.length is ${brief(length)}. An integer is expected.`)
  }
  if (!Number.isInteger(multipleOf) || multipleOf < 1) {
    refuse(`padding.multipleOf is ${brief(multipleOf)}. An integer from 1 is expected.`)
  }
  return {
    id,
    length,
    multipleOf,
    side: given?.side ?? side ?? ofFile?.side ?? 'right',
    typeId: given?.typeId ?? ofFile?.typeId ?? 0,
  }
}

function refuse(message: string): never {
  throw new TokenizerError('encoding', message)
}

export function checkText(op: string, name: string, text: unknown): void {
  if (typeof text !== 'string') {
    throw new TokenizerError(op, `${name} is ${brief(text)}. A string is expected.`)
  }
}
