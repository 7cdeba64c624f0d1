// The tokenizer itself: text and bytes to ids and back, special tokens, files and chats.

import { encodeChat, renderChat } from './chat/apply.js'
import type { ChatOptions, ChatTokenizer, EncodedChat } from './chat/apply.js'
import type { ChatMessage } from './chat/messages.js'
import { ChatTemplates } from './chat/templates.js'
import { parseConfig, toConfigJson } from './config.js'
import type { TokenizerConfig } from './config.js'
import { DecodeStream, TokenJoiner } from './decode.js'
import { TokenizerError, brief } from './errors.js'
import { parseRanks } from './files/tiktoken.js'
import type { Ranks } from './files/tiktoken.js'
import { readTokenizerDocument } from './files/tokenizer-document.js'
import { LONE_SURROGATE, parseTokenizerJson, toTokenizerJson } from './json.js'
import type { AddedToken, TokenizerParts } from './json.js'
import { ByteBpe } from './models/byte-bpe/byte-bpe.js'
import type { TokenBytes } from './models/byte-bpe/token-bytes.js'
import { MAX_ID } from './models/byte-bpe/word-table.js'
import { KNOWN_PATTERNS } from './split/patterns.js'
import { bytesToToken, tokenToBytes } from './text/alphabet.js'
import { IdBuffer } from './text/id-buffer.js'
import { Utf8Buffer } from './text/utf8.js'
import { planTraining } from './train/options.js'
import type { TrainOptions, TrainPlan } from './train/options.js'
import { trainOnTexts } from './train/train.js'
import type { TrainedBpe } from './train/train.js'

export interface TiktokenOptions {
  /** The regular expression that cuts text into words, as tiktoken writes it (`pat_str`). */
  readonly pattern: string
  /** Special tokens and their ids. */
  readonly specialTokens?: Readonly<Record<string, number>>
  /** Named in the errors; default 'ranks'. */
  readonly file?: string
}

export interface EncodeOptions {
  /** Which special tokens the text may spell: none (default), all, or those listed. */
  readonly allowSpecial?: 'none' | 'all' | readonly string[]
}

export interface DecodeOptions {
  /** Leave the special tokens out; default false. */
  readonly skipSpecialTokens?: boolean
}

/** What makes the same tokenizer again on another thread; can be posted there. */
export type TokenizerRecipe =
  | { readonly json: unknown; readonly config: unknown }
  | { readonly ranks: Ranks; readonly options: TiktokenOptions }

/** Names for the errors of `fromJSON`, and what else there is beside the two files. */
export interface TokenizerFileNames {
  readonly tokenizer?: string
  readonly config?: string
  /** Jinja sources of chat templates with files of their own, by name ('default': chat_template.jinja). */
  readonly chatTemplates?: Readonly<Record<string, string>>
}

/**
 * Byte-level BPE with special tokens and a chat template. It does not change after it was made.
 *
 * ```ts
 * const tokenizer = Tokenizer.train(['low lower lowest'], { vocabSize: 300 })
 * tokenizer.decode(tokenizer.encode('lower')) // 'lower'
 * await tokenizer.save('runs/tokenizer')
 * ```
 */
export class Tokenizer {
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly padToken: string | null
  /** Largest id + 1, so that an embedding of this many rows fits every id. */
  readonly vocabSize: number
  /** Texts of the special tokens in the order of their ids. */
  readonly specialTokens: readonly string[]

  private readonly bpe: ByteBpe
  private readonly joiner: TokenJoiner
  private readonly utf8 = new Utf8Buffer()
  private readonly out = new IdBuffer()
  private readonly added: ReadonlyMap<string, number>
  /** Tokens whose text in the file is not their bytes in the byte alphabet. */
  private readonly textOf = new Map<number, string>()
  private readonly special = new Map<string, number>()
  private readonly specialIds: ReadonlySet<number>
  private readonly plain: readonly string[]
  private readonly finders = new Map<string, RegExp | undefined>()

  protected constructor(
    private readonly parts: TokenizerParts,
    private readonly config: TokenizerConfig,
    file = 'tokenizer.json',
  ) {
    const { model, words } = parts
    const split = KNOWN_PATTERNS.get(parts.pattern)!
    this.bpe = new ByteBpe({ ...model, split, words, file })
    const added = [...parts.added].sort((a, b) => a.id - b.id)
    this.added = new Map(added.map(({ content, id }) => [content, id]))
    for (const [text, id] of model.outside ?? []) this.textOf.set(id, text)
    for (const { id, content, special } of added) {
      this.textOf.set(id, content)
      if (special) this.special.set(content, id)
    }
    this.joiner = new TokenJoiner(model.vocab, added)
    this.vocabSize = this.joiner.size
    this.specialTokens = [...this.special.keys()]
    this.specialIds = new Set(this.special.values())
    this.plain = added.filter((token) => !token.special).map((token) => token.content)
    this.bosToken = config.bosToken
    this.eosToken = config.eosToken
    this.padToken = config.padToken
  }

  /**
   * Trains byte-level BPE on texts (strings or UTF-8 bytes) with Llama 3's split pattern. Deterministic, and
   * independent of the texts' order. Ids 0 to 255 are the bytes. Special tokens in the texts count as plain text.
   */
  static train(texts: Iterable<string | Uint8Array>, options: TrainOptions): Tokenizer {
    if (typeof texts === 'string' || texts instanceof Uint8Array) {
      throw new TokenizerError(
        'Tokenizer.train',
        'texts is one text. A list of texts is expected: [text].',
      )
    }
    const plan = planTraining(options)
    return this.fromTraining(trainOnTexts(texts, plan, options), plan)
  }

  /** @internal */
  protected static fromTraining(model: TrainedBpe, plan: TrainPlan): Tokenizer {
    const { bosToken, eosToken, padToken, chatTemplate } = plan
    const added = plan.specialTokens.map((content, i) => ({
      id: model.vocab.size + i,
      content,
      special: true,
    }))
    const templates = chatTemplate === null ? ChatTemplates.none() : ChatTemplates.of(chatTemplate)
    return new this(
      { model, pattern: plan.regex, added },
      { bosToken, eosToken, padToken, templates, rest: {} },
    )
  }

  /**
   * From the parsed tokenizer.json and, where there is one, tokenizer_config.json. `files` are named in the errors.
   * Throws FileFormatError for whatever the files hold that is wrong or not supported.
   */
  static fromJSON(
    tokenizerJson: unknown,
    tokenizerConfig: unknown = {},
    files: TokenizerFileNames = {},
  ): Tokenizer {
    // Through its text, so that there is one way to read a file.
    const text = JSON.stringify(tokenizerJson) ?? ''
    return this.fromBytes(new TextEncoder().encode(text), tokenizerConfig, files)
  }

  /** @internal */
  protected static fromBytes(
    tokenizerJson: Uint8Array,
    tokenizerConfig: unknown,
    files: TokenizerFileNames,
  ): Tokenizer {
    const file = files.tokenizer ?? 'tokenizer.json'
    const parts = parseTokenizerJson(readTokenizerDocument(tokenizerJson, file), file)
    return new this(
      parts,
      parseConfig(
        tokenizerConfig,
        (token) => parts.idOf(token) !== undefined,
        files.config ?? 'tokenizer_config.json',
        files.chatTemplates,
      ),
      file,
    )
  }

  /**
   * From tiktoken's ranks: the text of a `.tiktoken` file, or what npm packages ship (`bpe_ranks` of js-tiktoken and
   * tiktoken, the arrays of gpt-tokenizer).
   *
   * ```ts
   * import cl100k from 'js-tiktoken/ranks/cl100k_base'
   * const tokenizer = Tokenizer.fromTiktoken(cl100k.bpe_ranks, {
   *   pattern: cl100k.pat_str,
   *   specialTokens: cl100k.special_tokens,
   * })
   * ```
   */
  static fromTiktoken(ranks: Ranks, options: TiktokenOptions): Tokenizer {
    const { pattern, specialTokens = {}, file = 'ranks' } = options
    if (!KNOWN_PATTERNS.has(pattern)) {
      throw new TokenizerError(
        'Tokenizer.fromTiktoken',
        `pattern ${brief(pattern)} has no scanner. Supported: those of r50k_base, p50k_base, cl100k_base, o200k_base,` +
          ' Llama 3 and Qwen 2.',
      )
    }
    const vocab = parseRanks(ranks, file)
    const added = checkAdded(specialTokens, vocab)
    const model = { vocab, merges: null, ignoreMerges: true }
    const templates = ChatTemplates.none()
    const config = { bosToken: null, eosToken: null, padToken: null, templates, rest: {} }
    return new this({ model, pattern, added }, config, file)
  }

  /** What tokenizer.json holds. */
  toJSON(): Record<string, unknown> {
    return toTokenizerJson(this.parts)
  }

  /** @internal */
  recipe(): TokenizerRecipe {
    const { model, pattern } = this.parts
    if (model.merges !== null) return { json: this.toJSON(), config: this.configJSON() }
    const { vocab } = model
    const ranks = Array.from({ length: vocab.size }, (_, rank) =>
      vocab.has(rank) ? Array.from(vocab.of(rank)) : undefined,
    )
    return { ranks, options: { pattern, specialTokens: Object.fromEntries(this.special) } }
  }

  /** @internal */
  static fromRecipe(recipe: TokenizerRecipe): Tokenizer {
    return 'json' in recipe
      ? this.fromJSON(recipe.json, recipe.config)
      : this.fromTiktoken(recipe.ranks, recipe.options)
  }

  /** What tokenizer_config.json holds. */
  configJSON(): Record<string, unknown> {
    return toConfigJson(this.config, this.parts.added)
  }

  /** Jinja source of the default chat template, or null. */
  get chatTemplate(): string | null {
    return this.config.templates.default?.source ?? null
  }

  /** Names of the chat templates. */
  get chatTemplates(): readonly string[] {
    return this.config.templates.names
  }

  get bosId(): number | null {
    return this.bosToken === null ? null : this.tokenToId(this.bosToken)!
  }

  get eosId(): number | null {
    return this.eosToken === null ? null : this.tokenToId(this.eosToken)!
  }

  get padId(): number | null {
    return this.padToken === null ? null : this.tokenToId(this.padToken)!
  }

  /** The id of a token as tokenizer.json spells it ('Ġthe', '<|image|>'), or undefined. */
  tokenToId(token: string): number | undefined {
    const added = this.added.get(token)
    if (added !== undefined) return added
    const bytes = tokenToBytes(token)
    const id = bytes === undefined ? this.parts.model.outside?.get(token) : this.bpe.idOf(bytes)
    return id === undefined || (this.textOf.get(id) ?? token) !== token ? undefined : id
  }

  /** The token as tokenizer.json spells it, or undefined. */
  idToToken(id: number): string | undefined {
    const text = this.textOf.get(id)
    if (text !== undefined) return text
    return this.parts.model.vocab.has(id) ? bytesToToken(this.bpe.bytesOf(id)) : undefined
  }

  isSpecial(id: number): boolean {
    return this.specialIds.has(id)
  }

  /**
   * Text to ids; no special token is added. A special token that the text spells stays plain text unless it is
   * allowed. Half a surrogate pair becomes U+FFFD, as in every UTF-8 encoder; all other text comes back from
   * `decode` unchanged.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    if (typeof text !== 'string') {
      throw new TokenizerError('encode', `text is ${brief(text)}. A string is expected.`)
    }
    return this.take(this.encodeText(text, options).toArray())
  }

  /**
   * As `encode`, into the caller's array from its beginning: no garbage in a loop over many texts. Returns how many
   * ids the text has; where that is more than `target` is long, the first ones were written.
   */
  encodeInto(text: string, target: Int32Array, options: EncodeOptions = {}): number {
    if (!(target instanceof Int32Array)) {
      throw new TokenizerError('encodeInto', 'target is no Int32Array.')
    }
    const { ids, length } = this.encodeText(text, options)
    const count = Math.min(length, target.length)
    for (let i = 0; i < count; i++) target[i] = ids[i]!
    return this.take(length)
  }

  /** How many ids `encode` would give. */
  countTokens(text: string, options: EncodeOptions = {}): number {
    return this.take(this.encodeText(text, options).length)
  }

  /** The ids in a buffer that the next call uses again. */
  private encodeText(text: string, options: EncodeOptions): IdBuffer {
    if (typeof text !== 'string') {
      throw new TokenizerError('encode', `text is ${brief(text)}. A string is expected.`)
    }
    const { out } = this
    out.length = 0
    const finder = this.finder(this.allowed(options.allowSpecial ?? 'none'))
    if (finder === undefined) {
      this.append(text)
      return out
    }
    let from = 0
    for (const hit of text.matchAll(finder)) {
      this.append(text.slice(from, hit.index))
      out.push(this.added.get(hit[0])!)
      from = hit.index + hit[0].length
    }
    this.append(text.slice(from))
    return out
  }

  private append(text: string): void {
    const { utf8 } = this
    utf8.write(text)
    this.bpe.encode(utf8.bytes, 0, utf8.length, this.out)
  }

  /** Passes a result through, and gives the memory of an uncommonly long text back. */
  private take<T>(result: T): T {
    this.utf8.trim()
    this.out.trim()
    return result
  }

  encodeBatch(texts: readonly string[], options: EncodeOptions = {}): number[][] {
    return texts.map((text) => this.encode(text, options))
  }

  /** Any bytes to ids, valid UTF-8 or not; `decodeBytes` gives them back. Never a special token. */
  encodeBytes(bytes: Uint8Array): number[] {
    if (!(bytes instanceof Uint8Array)) {
      throw new TokenizerError(
        'encodeBytes',
        `bytes are ${brief(bytes)}. A Uint8Array is expected.`,
      )
    }
    this.out.length = 0
    this.bpe.encode(bytes, 0, bytes.length, this.out)
    return this.take(this.out.toArray())
  }

  /** Ids to text; bytes that are no UTF-8 become U+FFFD. Throws for an id that is not in the vocabulary. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    return this.joiner.text(ids, this.skipped(options))
  }

  decodeBatch(batch: Iterable<Iterable<number>>, options: DecodeOptions = {}): string[] {
    return Array.from(batch, (ids) => this.decode(ids, options))
  }

  /** Ids to the bytes they stand for. */
  decodeBytes(ids: Iterable<number>, options: DecodeOptions = {}): Uint8Array {
    return this.joiner.bytes(ids, this.skipped(options))
  }

  /** Decodes ids one at a time, as they are generated; see DecodeStream. */
  decodeStream(options: DecodeOptions = {}): DecodeStream {
    const skip = this.skipped(options)
    return new DecodeStream((id) => this.joiner.bytes([id], skip))
  }

  /**
   * A conversation as the model reads it. What messages, tools and documents say is plain text: special tokens come
   * from the template alone. Throws TemplateError for what the template refuses, TokenizerError where there is none.
   */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatOptions & { tokenize: false },
  ): string
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatOptions & { tokenize?: true },
  ): EncodedChat
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): string | EncodedChat {
    const chat: ChatTokenizer = {
      templates: this.config.templates,
      bosToken: this.bosToken,
      eosToken: this.eosToken,
      padToken: this.padToken,
      special: this.special,
      find: this.finder(this.specialTokens, true),
      encode: (text) => this.encode(text),
    }
    const rendered = renderChat(chat, messages, options)
    if (options.tokenize !== false) return encodeChat(chat, rendered, options)
    return rendered.segments.map((segment) => segment.text).join('')
  }

  private allowed(choice: 'none' | 'all' | readonly string[]): readonly string[] {
    if (choice === 'none') return []
    if (choice === 'all') return this.specialTokens
    for (const token of Array.isArray(choice) ? choice : [choice]) {
      if (!this.special.has(token as string)) {
        throw new TokenizerError(
          'encode',
          `allowSpecial has ${brief(token)}, which is no special token.`,
        )
      }
    }
    return choice
  }

  /** Finds the longest of the special tokens given, and of the added plain ones unless `alone`. */
  private finder(specials: readonly string[], alone = false): RegExp | undefined {
    const tokens = alone ? specials : [...specials, ...this.plain]
    if (tokens.length === 0) return undefined
    const key = JSON.stringify(tokens)
    let finder = this.finders.get(key)
    if (finder === undefined) {
      const sorted = [...tokens].sort((a, b) => b.length - a.length)
      finder = new RegExp(
        sorted.map((t) => t.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'),
        'g',
      )
      if (this.finders.size >= 64) this.finders.clear()
      this.finders.set(key, finder)
    }
    return finder
  }

  private skipped(options: DecodeOptions): ReadonlySet<number> | undefined {
    return options.skipSpecialTokens === true ? this.specialIds : undefined
  }
}

function checkAdded(
  specialTokens: Readonly<Record<string, number>>,
  vocab: TokenBytes,
): AddedToken[] {
  const ids = new Set<number>()
  return Object.entries(specialTokens).map(([content, id]) => {
    const fail = (message: string): never => {
      const text = `specialTokens[${brief(content)}] ${message}`
      throw new TokenizerError('Tokenizer.fromTiktoken', text)
    }
    if (content.length < 2 || LONE_SURROGATE.test(content)) {
      fail('is no text of two characters or more.')
    }
    if (!Number.isInteger(id) || id < 0 || id >= MAX_ID) {
      fail(`is ${brief(id)}. An id from 0 to ${MAX_ID - 1} is expected.`)
    }
    if (vocab.has(id) || ids.has(id)) fail(`is ${id}, the id of another token.`)
    ids.add(id)
    return { id, content, special: true }
  })
}
