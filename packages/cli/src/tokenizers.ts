// The tokenizer that goes with a model, and the token of it that stands for an image.

import { join } from 'node:path'
import { DEFAULT_SPECIAL_TOKENS, Tokenizer } from '@shakti/tokenizer'
import { number, text, UsageError } from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { exists } from './presets.js'

/** Trained on nothing: each byte is a token, so any text can be read and written. */
export const byteTokenizer = (): Tokenizer =>
  Tokenizer.train([], { vocabSize: 256 + DEFAULT_SPECIAL_TOKENS.length })

/** Of a folder, where it has a tokenizer.json. */
export const tokenizerIn = async (folder: string): Promise<Tokenizer | undefined> =>
  (await exists(join(folder, 'tokenizer.json'))) ? Tokenizer.fromPretrained(folder) : undefined

/** @param from for the message */
export function checkVocabulary(tokenizer: Tokenizer, vocab: number, from: string): void {
  if (tokenizer.vocabSize > vocab)
    throw new UsageError(
      `${from} has ${number(tokenizer.vocabSize)} tokens, the model's vocabulary ${number(vocab)}. A smaller one is expected.`,
    )
}

/** The id that --image-token names, or that of the first of `usual` that is a special token. */
export function imageTokenOf(
  args: Arguments,
  tokenizer: Tokenizer,
  usual: readonly string[],
): number | undefined {
  const wanted = text(args, 'image-token')
  const special = (token: string): number | undefined => {
    const id = tokenizer.tokenToId(token)
    return id !== undefined && tokenizer.isSpecial(id) ? id : undefined
  }
  if (wanted === undefined) return usual.map(special).find((id) => id !== undefined)
  return (
    special(wanted) ??
    fail(
      `--image-token ${JSON.stringify(wanted)} is no special token of the tokenizer, which has ${tokenizer.specialTokens.slice(0, 12).join(' ')}.`,
    )
  )
}

function fail(message: string): never {
  throw new UsageError(message)
}
