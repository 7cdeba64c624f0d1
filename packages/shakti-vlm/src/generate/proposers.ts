// Who guesses, by the option `draft` of generation.
import { ShaktiError } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import type { TextDecoder } from './continuation.js'
import { DraftModel } from './draftModel.js'
import type { ReadingOptions } from './open.js'
import { PrefixCache } from './prefixCache.js'
import { checkCount, checkPrompt, type Prompt } from './prompt.js'
import { PromptLookup } from './promptLookup.js'
import { Retokenizer, type TextCoder } from './retokenizer.js'
import type { Proposer } from './speculative.js'

/** A smaller model guesses. */
export interface DraftModelOptions {
  readonly model: ShaktiVlm
  /** Tokens guessed at a time. Default 4. */
  readonly tokens?: number
  /**
   * The draft model's, where it is another one: guesses then cross as text, and generation needs the large model's in its option
   * `tokenizer`. Default: both models read the same ids (one vocabulary, image token, patch sizes and merge).
   */
  readonly tokenizer?: TextCoder
  /** The prompt as the draft model reads it, by its own tokenizer, chat template and image processor. Default: the same. */
  readonly prompt?: Prompt
  /** With `tokenizer`: tokens that end a text of the draft model; where it says one, the large model's is guessed. */
  readonly stopTokens?: readonly number[]
  /** Of the draft model: what it read before it does not read again. Default: none. */
  readonly prefixCache?: PrefixCache
}

/** What followed the last tokens before, in the prompt or the text, is guessed to follow again (prompt lookup); no model is needed. */
export interface PromptLookupOptions {
  /** Tokens that have to be the same, at most: places where more are come first. */
  readonly lookup: number
  /** Tokens guessed at a time. Default 4. */
  readonly tokens?: number
}

export type DraftOptions = DraftModelOptions | PromptLookupOptions

/** Checks a draft, before any work, and makes its proposer. @throws ShaktiError naming what does not fit */
export function proposerOf(
  what: string,
  model: ShaktiVlm,
  prompt: Prompt,
  draft: DraftOptions,
  options: ReadingOptions & {
    readonly tokenizer?: TextDecoder
    readonly stopTokens?: readonly number[]
  },
): { readonly proposer: Proposer; readonly most: number } {
  const most = draft.tokens ?? 4
  checkCount(what, 'draft.tokens', most)
  if ('lookup' in draft) {
    checkCount(what, 'draft.lookup', draft.lookup)
    const { imageToken } = model.config
    return { proposer: new PromptLookup(prompt.ids, draft.lookup, imageToken), most }
  }
  const { prefixCache } = draft
  if (prefixCache !== undefined && !(prefixCache instanceof PrefixCache))
    throw new ShaktiError(what, 'draft.prefixCache must be a PrefixCache.')
  const retokenizer = draft.tokenizer && retokenizerOf(what, model, draft, options)
  if (!retokenizer) checkSame(what, model, draft)
  const own = draft.prompt ?? prompt
  checkPrompt(`${what} (draft)`, draft.model, own)
  const { prefillChunk, kvDtype, signal } = options
  const reading = {
    ...(prefillChunk === undefined ? {} : { prefillChunk }),
    ...(kvDtype === undefined ? {} : { kvDtype }),
    ...(signal === undefined ? {} : { signal }),
  }
  const proposer = new DraftModel({
    ...{ model: draft.model, prompt: own, retokenizer, prefixCache, most },
    ...reading,
  })
  return { proposer, most }
}

/** Of models that read the same ids. */
function checkSame(what: string, model: ShaktiVlm, draft: DraftModelOptions): void {
  if (draft.stopTokens !== undefined)
    throw new ShaktiError(
      what,
      'draft.stopTokens are for a draft model with a tokenizer of its own: give draft.tokenizer too.',
    )
  const differ = (name: string, mine: unknown, its: unknown): void => {
    if (mine !== its)
      throw new ShaktiError(
        what,
        `draft.model has ${name} ${String(its)}, the model ${String(mine)}. Where it reads other tokens, give draft.tokenizer and draft.prompt.`,
      )
  }
  differ('a vocabulary of', model.config.decoder.vocab, draft.model.config.decoder.vocab)
  differ('the image token', model.config.imageToken, draft.model.config.imageToken)
  if (model.device !== draft.model.device)
    throw new ShaktiError(
      what,
      `draft.model is on ${draft.model.device}, the model on ${model.device}. Both must be on one device.`,
    )
}

const isCoder = (t: unknown): t is TextCoder =>
  ['decodeBytes', 'encodeBytes', 'idToToken', 'isSpecial', 'tokenToId'].every(
    (name) => typeof (t as Record<string, unknown> | undefined)?.[name] === 'function',
  )

/** Of models that read different ids. */
function retokenizerOf(
  what: string,
  model: ShaktiVlm,
  draft: DraftModelOptions,
  { tokenizer, stopTokens = [] }: { tokenizer?: TextDecoder; stopTokens?: readonly number[] },
): Retokenizer {
  if (!draft.prompt)
    throw new ShaktiError(
      what,
      'draft.tokenizer needs draft.prompt: the prompt in the tokens of the draft model.',
    )
  const check = (field: string, coder: unknown, { config }: ShaktiVlm): TextCoder => {
    if (!isCoder(coder))
      throw new ShaktiError(
        what,
        `${field} must be a tokenizer with encodeBytes, decodeBytes, tokenToId, idToToken and isSpecial: guesses of a draft model with a tokenizer of its own cross as text.`,
      )
    const { vocab } = config.decoder
    if (coder.vocabSize > vocab)
      throw new ShaktiError(
        what,
        `${field} has ${coder.vocabSize} tokens, its model a vocabulary of ${vocab}.`,
      )
    return coder
  }
  const own = draft.stopTokens ?? []
  for (const id of own)
    if (!Number.isInteger(id) || id < 0)
      throw new ShaktiError(what, `draft.stopTokens has ${id}, which is no token id.`)
  return new Retokenizer(
    { tokenizer: check('tokenizer', tokenizer, model), stopTokens },
    { tokenizer: check('draft.tokenizer', draft.tokenizer, draft.model), stopTokens: own },
  )
}
