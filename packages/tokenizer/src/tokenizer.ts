// The tokenizer itself: text and bytes to ids and back, special tokens, files and chats.

import { Bpe } from './bpe.js'
import { tokenToBytes } from './bytes.js'
import { encodeChat, renderChat } from './chat/apply.js'
import type { ChatOptions, ChatTokenizer, EncodedChat } from './chat/apply.js'
import type { ChatMessage } from './chat/messages.js'
import { ChatTemplates } from './chat/templates.js'
import { parseConfig, toConfigJson } from './config.js'
import type { TokenizerConfig } from './config.js'
import { DecodeStream } from './decode.js'
import { TokenizerError, brief } from './errors.js'
import { parseTokenizerJson, toTokenizerJson } from './json.js'
import type { TokenizerParts } from './json.js'
import { SPLIT_PATTERNS } from './pretokenize.js'
import { planTraining } from './train/options.js'
import type { TrainOptions, TrainPlan } from './train/options.js'
import { trainOnTexts } from './train/train.js'
import type { TrainedBpe } from './train/train.js'

export interface EncodeOptions {
  /** Which special tokens the text may spell: none (default), all, or those listed. */
  readonly allowSpecial?: 'none' | 'all' | readonly string[]
}

export interface DecodeOptions {
  /** Leave the special tokens out; default false. */
  readonly skipSpecialTokens?: boolean
}

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

  private readonly bpe: Bpe
  private readonly idOf = new Map<string, number>()
  private readonly tokenOf: (string | undefined)[]
  private readonly bytesOf: (Buffer | undefined)[] = []
  private readonly special = new Map<string, number>()
  private readonly specialIds: ReadonlySet<number>
  private readonly plain: readonly string[]
  private readonly finders = new Map<string, RegExp | undefined>()

  protected constructor(
    private readonly parts: TokenizerParts,
    private readonly config: TokenizerConfig,
  ) {
    this.tokenOf = [...parts.model.tokens]
    const added = [...parts.added].sort((a, b) => a.id - b.id)
    for (const { id, content, special } of added) {
      while (this.tokenOf.length <= id) this.tokenOf.push(undefined)
      this.tokenOf[id] = content
      this.bytesOf[id] = Buffer.from(content, 'utf8')
      if (special) this.special.set(content, id)
    }
    this.tokenOf.forEach((token, id) => {
      if (token !== undefined) this.idOf.set(token, id)
    })
    this.vocabSize = this.tokenOf.length
    this.specialTokens = [...this.special.keys()]
    this.specialIds = new Set(this.special.values())
    this.plain = added.filter((token) => !token.special).map((token) => token.content)
    this.bpe = new Bpe(parts.model, SPLIT_PATTERNS.get(parts.pattern)!, this.specialIds)
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
  protected static fromTraining({ tokens, merges }: TrainedBpe, plan: TrainPlan): Tokenizer {
    const { bosToken, eosToken, padToken, chatTemplate } = plan
    const added = plan.specialTokens.map((content, i) => ({
      id: tokens.length + i,
      content,
      special: true,
    }))
    const templates = chatTemplate === null ? ChatTemplates.none() : ChatTemplates.of(chatTemplate)
    return new this(
      { model: { tokens, merges, ignoreMerges: false }, pattern: plan.regex, added },
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
    const parts = parseTokenizerJson(tokenizerJson, files.tokenizer ?? 'tokenizer.json')
    const specials = new Set(parts.added.map((token) => token.content))
    parts.model.tokens.forEach((token) => token !== undefined && specials.add(token))
    const config = parseConfig(
      tokenizerConfig,
      specials,
      files.config ?? 'tokenizer_config.json',
      files.chatTemplates,
    )
    return new this(parts, config)
  }

  /** What tokenizer.json holds. */
  toJSON(): Record<string, unknown> {
    return toTokenizerJson(this.parts)
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
    return this.idOf.get(token)
  }

  /** The token as tokenizer.json spells it, or undefined. */
  idToToken(id: number): string | undefined {
    return this.tokenOf[id]
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
    const out: number[] = []
    const finder = this.finder(this.allowed(options.allowSpecial ?? 'none'))
    let from = 0
    for (const hit of finder === undefined ? [] : text.matchAll(finder)) {
      this.bpe.encode(Buffer.from(text.slice(from, hit.index), 'utf8'), out)
      out.push(this.idOf.get(hit[0])!)
      from = hit.index + hit[0].length
    }
    this.bpe.encode(Buffer.from(from === 0 ? text : text.slice(from), 'utf8'), out)
    return out
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
    const out: number[] = []
    this.bpe.encode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), out)
    return out
  }

  /** Ids to text; bytes that are no UTF-8 become U+FFFD. Throws for an id that is not in the vocabulary. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    return this.join(ids, options).toString('utf8')
  }

  decodeBatch(batch: Iterable<Iterable<number>>, options: DecodeOptions = {}): string[] {
    return Array.from(batch, (ids) => this.decode(ids, options))
  }

  /** Ids to the bytes they stand for. */
  decodeBytes(ids: Iterable<number>, options: DecodeOptions = {}): Uint8Array {
    return new Uint8Array(this.join(ids, options))
  }

  /** Decodes ids one at a time, as they are generated; see DecodeStream. */
  decodeStream(options: DecodeOptions = {}): DecodeStream {
    return new DecodeStream((id) => this.bytes(id, options))
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

  private bytes(id: number, options: DecodeOptions): Buffer {
    const token = this.tokenOf[id]
    if (token === undefined) {
      throw new TokenizerError(
        'decode',
        `id ${brief(id)} is no token. Ids are integers from 0 to ${this.vocabSize - 1}.`,
      )
    }
    if (options.skipSpecialTokens === true && this.specialIds.has(id)) return Buffer.alloc(0)
    return (this.bytesOf[id] ??= tokenToBytes(token))
  }

  private join(ids: Iterable<number>, options: DecodeOptions): Buffer {
    const parts: Buffer[] = []
    for (const id of ids) parts.push(this.bytes(id, options))
    return Buffer.concat(parts)
  }
}
