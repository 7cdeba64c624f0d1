// The tokenizer itself: text and bytes to ids and back, special tokens, files and chats.

import type { AddedToken, AllowSpecial } from './added.js'
import { encodeChat, renderChat } from './chat/apply.js'
import type { ChatOptions, ChatTokenizer, EncodedChat } from './chat/apply.js'
import type { ChatMessage } from './chat/messages.js'
import { ChatTemplates } from './chat/templates.js'
import { NO_CONFIG, toConfigJson, toSpecialTokensMap } from './config.js'
import type { TokenizerConfig } from './config.js'
import { DecodeStream, TokenJoiner } from './decode.js'
import type { IdRun } from './decode.js'
import type { Encoding } from './encoding.js'
import { TokenizerError, brief } from './errors.js'
import { readFolder } from './files/folder.js'
import type { FurtherFiles, TokenizerFiles } from './files/folder.js'
import type { Ranks } from './files/tiktoken.js'
import { readTokenizerDocument } from './files/tokenizer-document.js'
import type { TokenizerDocument } from './files/tokenizer-document.js'
import { byteLevelFile, toTokenizerJson } from './files/tokenizer-json.js'
import { Bpe } from './models/bpe.js'
import { tokenBytesOf } from './models/byte-bpe/token-bytes.js'
import { ByteLevelBpe } from './models/byte-level-bpe.js'
import { checkText, paddingOf, truncationOf } from './options.js'
import type { DecodeOptions, EncodeOptions, EncodeTextOptions, EncodingOptions } from './options.js'
import { Pipeline, padded } from './pipeline.js'
import { readDocument, readRanks } from './read.js'
import type { TiktokenOptions } from './read.js'
import { IdBuffer } from './text/id-buffer.js'
import { planTraining } from './train/options.js'
import type { TrainOptions, TrainPlan } from './train/options.js'
import { trainOnTexts } from './train/train.js'
import type { TrainedBpe } from './train/train.js'

/** What makes the same tokenizer again on another thread; can be posted there. */
export type TokenizerRecipe =
  | { readonly json: unknown; readonly config: unknown }
  | { readonly ranks: Ranks; readonly options: TiktokenOptions }

const encoder = new TextEncoder()

/**
 * Any tokenizer of Hugging Face's tokenizer.json, tiktoken's ranks, or byte-level BPE trained here, with special tokens
 * and chat templates. It does not change after it was made.
 *
 * ```ts
 * const tokenizer = Tokenizer.train(['low lower lowest'], { vocabSize: 300 })
 * tokenizer.decode(tokenizer.encode('lower')) // 'lower'
 * const files = tokenizer.toFiles() // { 'tokenizer.json': ... }
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

  private readonly addedById: ReadonlyMap<number, AddedToken>
  private readonly addedByContent: ReadonlyMap<string, AddedToken>
  private readonly special: ReadonlyMap<string, AddedToken>
  private readonly specialIds: ReadonlySet<number>
  private readonly out = new IdBuffer()
  private madeJoiner: TokenJoiner | undefined
  private chat: ChatTokenizer | undefined

  protected constructor(
    private readonly pipeline: Pipeline,
    private readonly config: TokenizerConfig,
    /** Where the tokenizer was made of ranks. */
    private readonly tiktoken?: TiktokenOptions,
  ) {
    const added = [...pipeline.file.added].sort((a, b) => a.id - b.id)
    const special = added.filter((token) => token.special)
    this.addedById = new Map(added.map((token) => [token.id, token]))
    this.addedByContent = new Map(added.map((token) => [token.content, token]))
    this.special = new Map(special.map((token) => [token.content, token]))
    this.specialIds = new Set(special.map((token) => token.id))
    this.specialTokens = [...this.special.keys()]
    this.vocabSize = Math.max(pipeline.file.model.vocab.size, (added.at(-1)?.id ?? -1) + 1)
    this.bosToken = config.bosToken
    this.eosToken = config.eosToken
    this.padToken = config.padToken
  }

  /**
   * Trains byte-level BPE on texts (strings or UTF-8 bytes), by default with Llama 3's split pattern. Deterministic, and
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
    const specialTokens = plan.specialTokens.map((content, i) => {
      return { id: model.vocab.size + i, content }
    })
    const file = byteLevelFile(model, { pattern: plan.regex, specialTokens }, 'tokenizer.json')
    const templates = chatTemplate === null ? ChatTemplates.none() : ChatTemplates.of(chatTemplate)
    return new this(new Pipeline(file), { ...NO_CONFIG, bosToken, eosToken, padToken, templates })
  }

  /**
   * From the parsed tokenizer.json and, where there is one, tokenizer_config.json; `files` are the others, and names for
   * errors. Throws FileFormatError for whatever the files hold that is wrong or not supported.
   */
  static fromJSON(
    tokenizerJson: unknown,
    tokenizerConfig: unknown = {},
    files: FurtherFiles = {},
  ): Tokenizer {
    // Through its text, so that there is one way to read a file.
    const bytes = encoder.encode(JSON.stringify(tokenizerJson) ?? '')
    const document = readTokenizerDocument(bytes, files.tokenizer ?? 'tokenizer.json')
    return this.fromDocument(document, tokenizerConfig, files)
  }

  /**
   * From the files of a folder by their names, as they are on disk or as text: tokenizer.json, or vocab.json and
   * merges.txt of a class that we know, and where they are there tokenizer_config.json, special_tokens_map.json,
   * added_tokens.json, chat_template.jinja and additional_chat_templates/*.jinja. `pathOf` gives names for errors.
   */
  static fromFiles(
    files: TokenizerFiles,
    pathOf: (name: string) => string = (name) => name,
  ): Tokenizer {
    const { document, config, further } = readFolder(files, pathOf)
    return this.fromDocument(document, config, further)
  }

  private static fromDocument(
    document: TokenizerDocument,
    tokenizerConfig: unknown,
    files: FurtherFiles,
  ): Tokenizer {
    const { pipeline, config } = readDocument(document, tokenizerConfig, files)
    return new this(pipeline, config)
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
    return new this(readRanks(ranks, options), NO_CONFIG, options)
  }

  /** What tokenizer.json holds: deep-equal to what was read. */
  toJSON(): Record<string, unknown> {
    return toTokenizerJson(this.pipeline.file)
  }

  /** @internal */
  recipe(): TokenizerRecipe {
    const { tiktoken } = this
    const { model } = this.pipeline.file
    if (tiktoken === undefined || !(model instanceof ByteLevelBpe)) {
      return { json: this.toJSON(), config: this.configJSON() }
    }
    const { vocab } = model.core
    const ranks = Array.from({ length: vocab.size }, (_, rank) =>
      vocab.has(rank) ? Array.from(vocab.of(rank)) : undefined,
    )
    return { ranks, options: tiktoken }
  }

  /** @internal */
  static fromRecipe(recipe: TokenizerRecipe): Tokenizer {
    return 'json' in recipe
      ? this.fromJSON(recipe.json, recipe.config)
      : this.fromTiktoken(recipe.ranks, recipe.options)
  }

  /** What tokenizer_config.json holds. */
  configJSON(): Record<string, unknown> {
    return toConfigJson(this.config, this.pipeline.file.added)
  }

  /**
   * The texts of the files that `fromFiles` and others' readers expect: tokenizer.json, tokenizer_config.json,
   * special_tokens_map.json, and files of chat templates for those that came so.
   */
  toFiles(): Record<string, string> {
    const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
    return {
      'tokenizer.json': text(this.toJSON()),
      'tokenizer_config.json': text(this.configJSON()),
      'special_tokens_map.json': text(toSpecialTokensMap(this.config)),
      ...this.config.templates.files(),
    }
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
    return this.addedByContent.get(token)?.id ?? this.pipeline.file.model.vocab.idOf(token)
  }

  /** The token as tokenizer.json spells it, or undefined. */
  idToToken(id: number): string | undefined {
    return this.addedById.get(id)?.content ?? this.pipeline.file.model.vocab.tokenOf(id)
  }

  isSpecial(id: number): boolean {
    return this.specialIds.has(id)
  }

  /**
   * Text to ids; no special token is added unless `addSpecialTokens` asks for it. A special token that the text spells
   * stays plain text unless it is allowed. Half a surrogate pair becomes U+FFFD, as in every UTF-8 encoder; with a
   * byte-level tokenizer without a normalizer, all other text comes back from `decode` unchanged.
   */
  encode(text: string, options: EncodeTextOptions = {}): number[] {
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
  private encodeText(text: string, options: EncodeTextOptions): IdBuffer {
    checkText('encode', 'text', text)
    const { out } = this
    out.length = 0
    if (options.addSpecialTokens === true) {
      const { ids } = this.encoding(text, { ...options, truncation: null, padding: null })
      for (const id of ids) out.push(id)
      return out
    }
    const allowed = this.allowed(options.allowSpecial ?? 'none')
    this.seed(options)
    this.pipeline.encode(text, allowed, out, true, options.onProgress)
    return out
  }

  /** Passes a result through, and gives the memory of an uncommonly long text back. */
  private take<T>(result: T): T {
    this.out.trim()
    return result
  }

  encodeBatch(texts: readonly string[], options: EncodeOptions = {}): number[][] {
    return texts.map((text) => this.encode(text, options))
  }

  /**
   * A text, or a pair of texts, as a model takes it: ids with the file's special tokens around, and for each its place
   * in the text, type, masks and word. Truncation and padding are the file's unless they are given.
   *
   * ```ts
   * const { ids, offsets, tokens } = tokenizer.encoding('Hello world')
   * tokenizer.encoding(question, { pair: answer, truncation: { maxLength: 512, strategy: 'only-second' } })
   * ```
   */
  encoding(text: string, options: EncodingOptions = {}): Encoding {
    const { pair } = options
    return this.encodings([pair === undefined ? text : [text, pair]], options)[0]!
  }

  /** Many texts, or pairs of texts, padded to one length where padding is asked for. */
  encodings(
    texts: Iterable<string | readonly [text: string, pair: string]>,
    options: Omit<EncodingOptions, 'pair'> = {},
  ): Encoding[] {
    const { addSpecialTokens = true } = options
    const { file } = this.pipeline
    const { truncationSide, paddingSide } = this.config
    const allowed = this.allowed(options.allowSpecial ?? 'none')
    const truncation = truncationOf(options.truncation, file.truncation, truncationSide)
    const padding = paddingOf(options.padding, file.padding, paddingSide, this.padId)
    this.seed(options)
    const tokenOf = (id: number): string => this.idToToken(id) ?? ''
    const encodings = Array.from(texts, (entry) => {
      const sequences = (typeof entry === 'string' ? [entry] : entry).map((text, i) => {
        checkText('encoding', i === 0 ? 'text' : 'pair', text)
        return this.pipeline.sequence(text, allowed)
      })
      return this.pipeline.process(sequences, addSpecialTokens, truncation, tokenOf)
    })
    return padding === null ? encodings : padded(encodings, padding)
  }

  private seed({ seed }: EncodeOptions): void {
    const { model } = this.pipeline.file
    if (seed !== undefined && model instanceof Bpe) model.seed(seed)
  }

  /**
   * Bytes to ids, never a special token. They need not be UTF-8 where the tokenizer is byte-level without a normalizer:
   * `decodeBytes` gives them back.
   */
  encodeBytes(bytes: Uint8Array): number[] {
    if (!(bytes instanceof Uint8Array)) {
      throw new TokenizerError(
        'encodeBytes',
        `bytes are ${brief(bytes)}. A Uint8Array is expected.`,
      )
    }
    this.out.length = 0
    this.pipeline.encodeBytes(bytes, this.out)
    return this.take(this.out.toArray())
  }

  /** Ids to text; bytes that are no UTF-8 become U+FFFD. Throws for an id that is not in the vocabulary. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    if (this.pipeline.file.decodesBytes) return this.joiner.text(ids, this.skipped(options))
    let text = ''
    const run = this.open(options, (part) => (text += part))
    for (const id of ids) run.id(id)
    run.end()
    return text
  }

  decodeBatch(batch: Iterable<Iterable<number>>, options: DecodeOptions = {}): string[] {
    return Array.from(batch, (ids) => this.decode(ids, options))
  }

  /** Ids to the bytes they stand for; the UTF-8 of their text where the tokenizer is not byte-level. */
  decodeBytes(ids: Iterable<number>, options: DecodeOptions = {}): Uint8Array {
    if (this.pipeline.file.decodesBytes) return this.joiner.bytes(ids, this.skipped(options))
    return encoder.encode(this.decode(ids, options))
  }

  /** Decodes ids one at a time, as they are generated; see DecodeStream. */
  decodeStream(options: DecodeOptions = {}): DecodeStream {
    return new DecodeStream((emit) => this.open(options, emit))
  }

  private open(options: DecodeOptions, emit: (text: string) => void): IdRun {
    const skip = this.skipped(options)
    if (this.pipeline.file.decodesBytes) {
      const stream = new TextDecoder('utf-8', { ignoreBOM: true })
      return {
        id: (id) => emit(stream.decode(this.joiner.bytes([id], skip), { stream: true })),
        end: () => emit(stream.decode()),
      }
    }
    const run = this.pipeline.file.decoder(emit)
    return {
      id: (id) => {
        const token = this.tokenFor(id)
        if (skip?.has(id) !== true) run.token(token)
      },
      end: () => run.end(),
    }
  }

  /** The bytes of tokens, where that is what they decode to. */
  private get joiner(): TokenJoiner {
    const { model, added } = this.pipeline.file
    return (this.madeJoiner ??= new TokenJoiner(
      model instanceof ByteLevelBpe ? model.core.vocab : tokenBytesOf(model.vocab),
      added,
    ))
  }

  private tokenFor(id: number): string {
    const token = this.idToToken(id)
    if (token === undefined) {
      throw new TokenizerError(
        'decode',
        `id ${brief(id)} is no token. Ids are integers from 0 to ${this.vocabSize - 1}.`,
      )
    }
    return token
  }

  private skipped(options: DecodeOptions): ReadonlySet<number> | undefined {
    return options.skipSpecialTokens === true ? this.specialIds : undefined
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
    const chat = (this.chat ??= {
      templates: this.config.templates,
      bosToken: this.bosToken,
      eosToken: this.eosToken,
      padToken: this.padToken,
      special: this.special,
      find: finderOf(this.specialTokens),
      encode: (text, first) => {
        this.out.length = 0
        this.pipeline.encode(text, 'none', this.out, first)
        return this.take(this.out.toArray())
      },
    })
    const rendered = renderChat(chat, messages, options)
    if (options.tokenize !== false) return encodeChat(chat, rendered, options)
    return rendered.segments.map((segment) => segment.text).join('')
  }

  private allowed(choice: AllowSpecial): AllowSpecial {
    if (choice === 'none' || choice === 'all') return choice
    for (const token of Array.isArray(choice) ? (choice as readonly unknown[]) : [choice]) {
      if (!this.special.has(token as string)) {
        throw new TokenizerError(
          'encode',
          `allowSpecial has ${brief(token)}, which is no special token.`,
        )
      }
    }
    return choice
  }
}

/** Finds the longest of the special tokens, in what a chat template rendered. */
function finderOf(tokens: readonly string[]): RegExp | undefined {
  if (tokens.length === 0) return undefined
  const sorted = [...tokens].sort((a, b) => b.length - a.length)
  const escaped = sorted.map((t) => t.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
  return new RegExp(escaped.join('|'), 'g')
}
