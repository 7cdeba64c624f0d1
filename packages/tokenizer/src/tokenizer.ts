// The tokenizer itself: text and bytes to ids and back, special tokens, files and chats.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { AddedToken, AllowSpecial } from './added.js'
import { LONE_SURROGATE } from './added.js'
import { tokenToBytes } from './bytes.js'
import {
  DEFAULT_CHAT_TEMPLATE,
  DEFAULT_SPECIAL_TOKENS,
  compileTemplate,
  renderSegments,
} from './chat.js'
import type { ChatMessage } from './chat.js'
import { parseConfig, toConfigJson } from './config.js'
import type { TokenizerConfig } from './config.js'
import { DecodeStream } from './decode.js'
import type { IdRun } from './decode.js'
import type { Encoding, Padding, Truncation } from './encoding.js'
import { FileFormatError, TokenizerError, brief } from './errors.js'
import { parseJson, readText, writeAtomic } from './files.js'
import { furtherTokens, withEnds, withPrefixSpace } from './files/config-switches.js'
import { mergeLines, tokenizerJsonOfClass } from './files/vocab-classes.js'
import { Reader } from './files/reader.js'
import type { JsonObject } from './files/reader.js'
import { readTokenizerJson, toTokenizerJson } from './files/tokenizer-json.js'
import { trainedJson } from './files/trained-json.js'
import { Bpe } from './models/bpe.js'
import { isSpace } from './normalizers/characters.js'
import { Pipeline, padded } from './pipeline.js'
import { LLAMA3_PATTERN } from './pretokenize.js'
import { countWords, trainBpe } from './train.js'

export interface TrainOptions {
  /** Ids in the end, bytes and special tokens among them. Fewer where the texts have no more pairs to merge. */
  readonly vocabSize: number
  /** A pair met less often than this is not merged; default 2. */
  readonly minFrequency?: number
  /** Default `DEFAULT_SPECIAL_TOKENS`; they get the last ids, in this order. */
  readonly specialTokens?: readonly string[]
  /** Default '<|begin_of_text|>', '<|end_of_text|>' and '<|pad|>' where they are among the special tokens. */
  readonly bosToken?: string
  readonly eosToken?: string
  readonly padToken?: string
  /** Jinja source; default `DEFAULT_CHAT_TEMPLATE` with the default special tokens, none with others. */
  readonly chatTemplate?: string
}

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

export interface ChatOptions {
  /** End with what opens the assistant's turn; default false. */
  readonly addGenerationPrompt?: boolean
  /** Ids (default), or the prompt as text. */
  readonly tokenize?: boolean
  /** Placeholders each image takes, in order, e.g. its patches; default one `<|image|>` an image. */
  readonly imageTokens?: readonly number[]
  /** The placeholder that `imageTokens` repeats; default '<|image|>'. */
  readonly imageToken?: string
  /** Further variables of the template (tools, documents ...); JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>
}

export interface EncodedChat {
  readonly ids: number[]
  /** 1 where the assistant wrote the id, by the template's `{% generation %}`; null where the template has none. */
  readonly assistantMask: Uint8Array | null
}

/**
 * Any tokenizer of Hugging Face's tokenizer.json, or byte-level BPE trained here, with special tokens and a chat
 * template. It does not change after it was made.
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

  private readonly pipeline: Pipeline
  private readonly addedById: ReadonlyMap<number, AddedToken>
  private readonly addedByContent: ReadonlyMap<string, AddedToken>
  private readonly bytesOf: (Uint8Array | undefined)[] = []
  private finder: RegExp | undefined

  private constructor(
    pipeline: Pipeline,
    private readonly config: TokenizerConfig,
  ) {
    this.pipeline = pipeline
    const added = [...pipeline.file.added].sort((a, b) => a.id - b.id)
    this.addedById = new Map(added.map((token) => [token.id, token]))
    this.addedByContent = new Map(added.map((token) => [token.content, token]))
    this.vocabSize = Math.max(pipeline.file.model.vocab.tokens.length, (added.at(-1)?.id ?? -1) + 1)
    this.specialTokens = added.filter((token) => token.special).map((token) => token.content)
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
    const { vocabSize, minFrequency = 2, specialTokens = DEFAULT_SPECIAL_TOKENS } = options
    checkSpecialTokens(specialTokens)
    const least = 256 + specialTokens.length
    if (!Number.isInteger(vocabSize) || vocabSize < least || vocabSize > 2 ** 20) {
      throw new TokenizerError(
        'Tokenizer.train',
        `vocabSize is ${vocabSize}. An integer from ${least} (256 bytes and ${specialTokens.length} special tokens)` +
          ` to ${2 ** 20} is expected.`,
      )
    }
    if (!Number.isInteger(minFrequency) || minFrequency < 1) {
      throw new TokenizerError(
        'Tokenizer.train',
        `minFrequency is ${minFrequency}. At least 1 is expected.`,
      )
    }
    const named = (given: string | undefined, usual: string, option: string): string | null => {
      if (given === undefined) return specialTokens.includes(usual) ? usual : null
      if (specialTokens.includes(given)) return given
      throw new TokenizerError(
        'Tokenizer.train',
        `${option} ${brief(given)} is not among specialTokens.`,
      )
    }
    const source =
      options.chatTemplate ??
      (DEFAULT_SPECIAL_TOKENS.every((token) => specialTokens.includes(token))
        ? DEFAULT_CHAT_TEMPLATE
        : null)
    const config: TokenizerConfig = {
      bosToken: named(options.bosToken, '<|begin_of_text|>', 'bosToken'),
      eosToken: named(options.eosToken, '<|end_of_text|>', 'eosToken'),
      padToken: named(options.padToken, '<|pad|>', 'padToken'),
      template: source === null ? null : compileTemplate(source),
      paddingSide: undefined,
      truncationSide: undefined,
      rest: {},
    }
    const model = trainBpe(countWords(texts), {
      tokens: vocabSize - specialTokens.length,
      minFrequency,
      forbidden: specialTokens,
    })
    const json = trainedJson({ model, pattern: LLAMA3_PATTERN, specialTokens })
    return new Tokenizer(new Pipeline(readTokenizerJson(json, 'tokenizer.json')), config)
  }

  /**
   * From the parsed tokenizer.json and, where there is one, tokenizer_config.json. `files` are named in the errors.
   * Throws FileFormatError for whatever the files hold that is wrong or not supported.
   */
  static fromJSON(
    tokenizerJson: unknown,
    tokenizerConfig: unknown = {},
    files: FurtherFiles = {},
  ): Tokenizer {
    const name = files.tokenizer ?? 'tokenizer.json'
    const configName = files.config ?? 'tokenizer_config.json'
    const root = (isObject(tokenizerConfig) ? tokenizerConfig : {}) as JsonObject
    const further = furtherTokens(tokenizerJson, root, configName, files.addedTokens)
    const adjusted = withPrefixSpace(tokenizerJson, root, configName)
    let file = readTokenizerJson(adjusted, name, further)
    if (adjusted !== tokenizerJson) {
      const { pre_tokenizer } = tokenizerJson as JsonObject
      file = { ...file, shell: { ...file.shell, pre_tokenizer: structuredClone(pre_tokenizer) } }
    }
    const added = new Map(file.added.map((token) => [token.content, token.id]))
    const { vocab } = file.model
    const config = parseConfig(
      tokenizerConfig,
      { has: (token) => added.has(token) || vocab.ids.has(token) },
      configName,
      files.chatTemplate,
      files.specialTokensMap,
    )
    const processor = withEnds(
      file.postProcessor,
      root,
      configName,
      { bos: config.bosToken, eos: config.eosToken },
      {
        tokenOf: (id) => vocab.tokens[id],
        idOf: (token) => added.get(token) ?? vocab.ids.get(token),
      },
    )
    return new Tokenizer(new Pipeline(file, processor), config)
  }

  /**
   * Reads tokenizer.json from a folder, or vocab.json and merges.txt of a class that we know, and where they are there
   * tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat_template.jinja.
   */
  static async fromPretrained(dir: string): Promise<Tokenizer> {
    const tokenizer = join(dir, 'tokenizer.json')
    const config = join(dir, 'tokenizer_config.json')
    const configText = await readText(config, 2 ** 24)
    const configJson = configText === undefined ? {} : parseJson(configText, config)
    const text = await readText(tokenizer)
    const json =
      text === undefined ? await withoutTokenizerJson(dir, configJson) : parseJson(text, tokenizer)
    const chatTemplate = await readText(join(dir, 'chat_template.jinja'), 2 ** 20)
    const further: FurtherFiles = {}
    for (const [field, name] of [
      ['specialTokensMap', 'special_tokens_map.json'],
      ['addedTokens', 'added_tokens.json'],
    ] as const) {
      const path = join(dir, name)
      const source = await readText(path, 2 ** 24)
      if (source !== undefined) Object.assign(further, { [field]: parseJson(source, path) })
    }
    return Tokenizer.fromJSON(json, configJson, {
      ...further,
      tokenizer,
      config,
      ...(chatTemplate === undefined ? {} : { chatTemplate }),
    })
  }

  /** What tokenizer.json holds: deep-equal to what was read. */
  toJSON(): Record<string, unknown> {
    return toTokenizerJson(this.pipeline.file)
  }

  /** Writes tokenizer.json and tokenizer_config.json into the folder, each atomically; makes the folder. */
  async save(dir: string): Promise<void> {
    const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
    await writeAtomic(join(dir, 'tokenizer.json'), text(this.toJSON()))
    await writeAtomic(
      join(dir, 'tokenizer_config.json'),
      text(toConfigJson(this.config, this.pipeline.file.added)),
    )
  }

  /** Jinja source of the chat template, or null. */
  get chatTemplate(): string | null {
    return this.config.template?.source ?? null
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
    return this.addedByContent.get(token)?.id ?? this.pipeline.file.model.vocab.ids.get(token)
  }

  /** The token as tokenizer.json spells it, or undefined. */
  idToToken(id: number): string | undefined {
    return this.addedById.get(id)?.content ?? this.pipeline.file.model.vocab.tokens[id]
  }

  isSpecial(id: number): boolean {
    return this.addedById.get(id)?.special === true
  }

  /**
   * Text to ids; no special token is added unless `addSpecialTokens` asks for it. A special token that the text spells
   * stays plain text unless it is allowed. Half a surrogate pair becomes U+FFFD, as in every UTF-8 encoder; with a
   * byte-level tokenizer without a normalizer, all other text comes back from `decode` unchanged.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    checkText('encode', 'text', text)
    const allowed = this.allowed(options.allowSpecial ?? 'none')
    if (options.addSpecialTokens === true) {
      return [...this.encoding(text, { ...options, truncation: null, padding: null }).ids]
    }
    this.seed(options)
    const ids: number[] = []
    this.pipeline.encode(text, allowed, ids)
    return ids
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
    const allowed = this.allowed(options.allowSpecial ?? 'none')
    const truncation = this.truncation(options.truncation)
    const padding = this.padding(options.padding)
    this.seed(options)
    const encodings = Array.from(texts, (entry) => {
      const sequences = (typeof entry === 'string' ? [entry] : entry).map((text, i) => {
        checkText('encoding', i === 0 ? 'text' : 'pair', text)
        return this.pipeline.sequence(text, allowed)
      })
      return this.pipeline.process(
        sequences,
        options.addSpecialTokens ?? true,
        truncation,
        (id) => this.idToToken(id) ?? '',
      )
    })
    return padding === null ? encodings : padded(encodings, padding)
  }

  private truncation(given: Truncation | null | undefined): Truncation | null {
    const { truncationSide } = this.config
    const side = truncationSide === undefined ? {} : { side: truncationSide }
    if (given === undefined) {
      const { truncation } = this.pipeline.file
      return truncation === null ? null : { ...truncation, ...side }
    }
    if (given === null) return null
    for (const [field, value] of [
      ['maxLength', given.maxLength],
      ['stride', given.stride ?? 0],
    ] as const) {
      if (!Number.isInteger(value) || value < 0) {
        throw new TokenizerError(
          'encoding',
          `truncation.${field} is ${brief(value)}. An integer from 0 is expected.`,
        )
      }
    }
    return { ...side, ...given }
  }

  private padding(given: PaddingOptions | null | undefined): Padding | null {
    const { padding } = this.pipeline.file
    if (given === null || (given === undefined && padding === null)) return null
    const id = given?.id ?? this.padId ?? padding?.id
    if (id === undefined) {
      throw new TokenizerError(
        'encoding',
        'padding needs an id, and the files name no padding token.',
      )
    }
    const length = given?.length ?? padding?.length ?? 'longest'
    const multipleOf = given?.multipleOf ?? padding?.multipleOf ?? 1
    if (length !== 'longest' && !(Number.isInteger(length) && length >= 0)) {
      throw new TokenizerError(
        'encoding',
        `padding.length is ${brief(length)}. An integer is expected.`,
      )
    }
    if (!Number.isInteger(multipleOf) || multipleOf < 1) {
      throw new TokenizerError(
        'encoding',
        `padding.multipleOf is ${brief(multipleOf)}. An integer from 1 is expected.`,
      )
    }
    return {
      id,
      length,
      multipleOf,
      side: given?.side ?? this.config.paddingSide ?? padding?.side ?? 'right',
      typeId: given?.typeId ?? padding?.typeId ?? 0,
    }
  }

  private seed({ seed }: EncodeOptions): void {
    const { model } = this.pipeline.file
    if (seed !== undefined && model instanceof Bpe) model.seed(seed)
  }

  /** Any bytes to ids, valid UTF-8 or not; `decodeBytes` gives them back. Never a special token. */
  encodeBytes(bytes: Uint8Array): number[] {
    if (!(bytes instanceof Uint8Array)) {
      throw new TokenizerError(
        'encodeBytes',
        `bytes are ${brief(bytes)}. A Uint8Array is expected.`,
      )
    }
    const ids: number[] = []
    this.pipeline.encodeBytes(bytes, ids)
    return ids
  }

  /** Ids to text; bytes that are no UTF-8 become U+FFFD. Throws for an id that is not in the vocabulary. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    if (this.pipeline.file.decodesBytes) return decoder.decode(this.decodeBytes(ids, options))
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
    if (!this.pipeline.file.decodesBytes) return encoder.encode(this.decode(ids, options))
    const parts: Uint8Array[] = []
    let size = 0
    for (const id of ids) {
      const part = this.bytes(id, options)
      parts.push(part)
      size += part.length
    }
    const out = new Uint8Array(size)
    let at = 0
    for (const part of parts) {
      out.set(part, at)
      at += part.length
    }
    return out
  }

  /** Decodes ids one at a time, as they are generated; see DecodeStream. */
  decodeStream(options: DecodeOptions = {}): DecodeStream {
    return new DecodeStream((emit) => this.open(options, emit))
  }

  private open(options: DecodeOptions, emit: (text: string) => void): IdRun {
    if (this.pipeline.file.decodesBytes) {
      const stream = new TextDecoder('utf-8', { ignoreBOM: true })
      return {
        id: (id) => emit(stream.decode(this.bytes(id, options), { stream: true })),
        end: () => emit(stream.decode()),
      }
    }
    const run = this.pipeline.file.decoder(emit)
    return {
      id: (id) => {
        const token = this.tokenFor(id)
        if (options.skipSpecialTokens !== true || !this.isSpecial(id)) run.token(token)
      },
      end: () => run.end(),
    }
  }

  /**
   * A conversation as the model reads it. What messages say is plain text: special tokens come from the template
   * alone. Throws TemplateError for what the template refuses, TokenizerError where there is no template.
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
    const { template } = this.config
    if (template === null) {
      throw new TokenizerError('applyChatTemplate', 'the tokenizer has no chat template.')
    }
    if (!Array.isArray(messages)) {
      throw new TokenizerError(
        'applyChatTemplate',
        `messages are ${brief(messages)}. A list of { role, content } is expected.`,
      )
    }
    const segments = renderSegments(
      template,
      { ...options.variables, messages },
      {
        add_generation_prompt: options.addGenerationPrompt ?? false,
        bos_token: this.bosToken ?? '',
        eos_token: this.eosToken ?? '',
        pad_token: this.padToken ?? '',
      },
      this.specialTokens,
      (this.finder ??= finderOf(this.specialTokens)),
    )
    if (options.tokenize === false) return segments.map((segment) => segment.text).join('')
    const repeats = this.imageRepeats(options)
    const ids: number[] = []
    const mask: number[] = []
    segments.forEach(({ text, special, assistant }, i) => {
      if (special) {
        const id = this.tokenToId(text)!
        for (let count = repeats(text); count > 0; count--) ids.push(id)
      } else {
        this.pipeline.encode(this.withoutTaken(segments, i), 'none', ids, i === 0)
      }
      while (mask.length < ids.length) mask.push(assistant ? 1 : 0)
    })
    repeats(null)
    return { ids, assistantMask: template.marksGeneration ? Uint8Array.from(mask) : null }
  }

  /** A segment of text without the blanks that special tokens beside it take (lstrip, rstrip). */
  private withoutTaken(segments: readonly { text: string; special: boolean }[], i: number): string {
    const beside = (k: number): AddedToken | undefined => {
      const segment = segments[k]
      return segment?.special === true ? this.addedByContent.get(segment.text) : undefined
    }
    let { text } = segments[i]!
    if (beside(i - 1)?.rstrip === true) text = text.replace(/^\p{White_Space}+/u, '')
    if (beside(i + 1)?.lstrip === true) text = trimmedEnd(text)
    return text
  }

  /** How often each special token is written; called with null at the end to check the number of images. */
  private imageRepeats(options: ChatOptions): (token: string | null) => number {
    const { imageTokens, imageToken = '<|image|>' } = options
    if (imageTokens === undefined) return () => 1
    if (this.addedByContent.get(imageToken)?.special !== true) {
      throw new TokenizerError(
        'applyChatTemplate',
        `imageToken ${brief(imageToken)} is no special token.`,
      )
    }
    for (const count of imageTokens) {
      if (!Number.isInteger(count) || count < 1 || count > 2 ** 20) {
        throw new TokenizerError(
          'applyChatTemplate',
          `imageTokens has ${count}. An integer from 1 to ${2 ** 20} is expected for each image.`,
        )
      }
    }
    let images = 0
    return (token) => {
      if (token !== null && token !== imageToken) return 1
      if (token !== null) return imageTokens[images++] ?? 1
      if (images === imageTokens.length) return 0
      throw new TokenizerError(
        'applyChatTemplate',
        `the messages have ${images} images, imageTokens has ${imageTokens.length}. One count an image is expected.`,
      )
    }
  }

  private allowed(choice: AllowSpecial): AllowSpecial {
    if (choice === 'none' || choice === 'all') return choice
    const tokens: readonly unknown[] = Array.isArray(choice) ? choice : [choice]
    for (const token of tokens) {
      if (this.addedByContent.get(token as string)?.special !== true) {
        throw new TokenizerError(
          'encode',
          `allowSpecial has ${brief(token)}, which is no special token.`,
        )
      }
    }
    return tokens as readonly string[]
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

  private bytes(id: number, options: DecodeOptions): Uint8Array {
    let bytes = this.bytesOf[id]
    if (bytes === undefined) {
      const token = this.tokenFor(id)
      // An added token stands for its own text, whatever alphabet the others are in.
      bytes = this.addedById.has(id) ? encoder.encode(token) : tokenToBytes(token)
      this.bytesOf[id] = bytes
    }
    return options.skipSpecialTokens === true && this.isSpecial(id) ? NOTHING : bytes
  }
}

/** What `fromJSON` takes beyond the two usual files: their names for errors, and the texts of others. */
export interface FurtherFiles {
  readonly tokenizer?: string
  readonly config?: string
  /** Text of chat_template.jinja. */
  readonly chatTemplate?: string
  /** special_tokens_map.json and added_tokens.json, parsed. */
  readonly specialTokensMap?: unknown
  readonly addedTokens?: unknown
}

/** What tokenizer.json would hold, from vocab.json and merges.txt. */
async function withoutTokenizerJson(dir: string, config: unknown): Promise<JsonObject> {
  const vocabFile = join(dir, 'vocab.json')
  const vocab = await readText(vocabFile)
  const merges = await readText(join(dir, 'merges.txt'))
  if (vocab === undefined || merges === undefined) {
    const found = await stat(dir).then(
      (s) => (s.isDirectory() ? 'the folder has no such file' : 'its parent is no folder'),
      () => 'the folder does not exist',
    )
    throw new FileFormatError(join(dir, 'tokenizer.json'), 'file', `is missing: ${found}.`)
  }
  return tokenizerJsonOfClass(
    new Reader(vocabFile).object(parseJson(vocab, vocabFile), 'file'),
    mergeLines(merges),
    (isObject(config) ? config : {}) as JsonObject,
    join(dir, 'tokenizer_config.json'),
  )
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const NOTHING = new Uint8Array(0)

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkText(op: string, name: string, text: unknown): void {
  if (typeof text !== 'string') {
    throw new TokenizerError(op, `${name} is ${brief(text)}. A string is expected.`)
  }
}

function trimmedEnd(text: string): string {
  let end = text.length
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(0, end)
}

/** Finds the longest of the special tokens, in what a chat template rendered. */
function finderOf(tokens: readonly string[]): RegExp | undefined {
  if (tokens.length === 0) return undefined
  const sorted = [...tokens].sort((a, b) => b.length - a.length)
  const escaped = sorted.map((t) => t.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
  return new RegExp(escaped.join('|'), 'g')
}

function checkSpecialTokens(tokens: readonly string[]): void {
  const seen = new Set<string>()
  for (const token of tokens) {
    if (typeof token !== 'string' || token.length < 2 || LONE_SURROGATE.test(token)) {
      throw new TokenizerError(
        'Tokenizer.train',
        `specialTokens has ${brief(token)}. A text of two characters or more is expected.`,
      )
    }
    if (seen.has(token))
      throw new TokenizerError('Tokenizer.train', `specialTokens has ${brief(token)} twice.`)
    seen.add(token)
  }
}
