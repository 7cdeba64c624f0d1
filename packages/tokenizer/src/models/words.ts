// Models whose tokens are words or beginnings and insides of them: WordPiece and WordLevel.

import { brief } from '../errors.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { Trie } from '../text/trie.js'
import { PieceCache, Vocab, append } from './model.js'
import type { Encoded, IdSink, Model } from './model.js'

/** BERT's: the longest token that begins the word, then the longest that goes on, or the whole word is unknown. */
export class WordPiece implements Model {
  private readonly cache = new PieceCache<Encoded>()
  private readonly first = new Trie()
  private readonly inner = new Trie()

  constructor(
    readonly vocab: Vocab,
    readonly unknown: number,
    prefix: string,
    private readonly maxCharacters: number,
    /** Ids that no text may become: the special tokens. */
    reserved: ReadonlySet<number>,
  ) {
    vocab.tokens.forEach((token, id) => {
      if (token === undefined || reserved.has(id)) return
      this.first.add(token, id)
      if (token.length > prefix.length && token.startsWith(prefix)) {
        this.inner.add(token.slice(prefix.length), id)
      }
    })
  }

  encode(piece: string, ids: IdSink, spans: number[] | null): void {
    append(this.cache.get(piece, this.pieces), 0, ids, spans)
  }

  private readonly pieces = (word: string): Encoded => {
    const nothing = { ids: [this.unknown], spans: [0, word.length] }
    if (word.length > this.maxCharacters && [...word].length > this.maxCharacters) return nothing
    const ids: number[] = []
    const spans: number[] = []
    for (let start = 0; start < word.length;) {
      const trie = start === 0 ? this.first : this.inner
      let id = -1
      let end = start
      for (let node = 0, i = start; i < word.length;) {
        node = trie.step(node, word.charCodeAt(i++))
        if (node < 0) break
        if (trie.valueAt(node) >= 0) [id, end] = [trie.valueAt(node), i]
      }
      if (id < 0) return nothing
      ids.push(id)
      spans.push(start, end)
      start = end
    }
    return { ids, spans }
  }

  toJSON(): JsonObject {
    return { vocab: this.vocab.toJSON() }
  }
}

/** A token a word. */
export class WordLevel implements Model {
  constructor(
    readonly vocab: Vocab,
    readonly unknown: number | undefined,
    /** Ids that no text may become: the special tokens. */
    private readonly reserved: ReadonlySet<number>,
    private readonly fail: (text: string) => never,
  ) {}

  encode(piece: string, ids: IdSink, spans: number[] | null): void {
    const id = this.vocab.ids.get(piece)
    const known = id !== undefined && !this.reserved.has(id)
    ids.push(known ? id : (this.unknown ?? this.fail(piece)))
    spans?.push(0, piece.length)
  }

  toJSON(): JsonObject {
    return { vocab: this.vocab.toJSON() }
  }
}

/** The longest word that WordPiece looks at; each of its characters may cost as much as the longest token. */
const MAX_CHARACTERS = 1024

export function readWordPiece(
  read: Reader,
  model: JsonObject,
  reserved: ReadonlySet<number>,
): WordPiece {
  read.only(model, 'model', [
    'type',
    'unk_token',
    'continuing_subword_prefix',
    'max_input_chars_per_word',
    'vocab',
  ])
  const vocab = Vocab.read(read, model.vocab)
  const unk = read.text(model.unk_token ?? '[UNK]', 'model.unk_token')
  const unknown = vocab.ids.get(unk)
  if (unknown === undefined) {
    read.fail('model.unk_token', `is ${brief(unk)}, which model.vocab lacks.`)
  }
  return new WordPiece(
    vocab,
    unknown,
    read.text(model.continuing_subword_prefix ?? '##', 'model.continuing_subword_prefix', true),
    read.integer(
      model.max_input_chars_per_word ?? 100,
      'model.max_input_chars_per_word',
      1,
      MAX_CHARACTERS,
    ),
    reserved,
  )
}

export function readWordLevel(
  read: Reader,
  model: JsonObject,
  reserved: ReadonlySet<number>,
  fail: (text: string) => never,
): WordLevel {
  read.only(model, 'model', ['type', 'unk_token', 'vocab'])
  const vocab = Vocab.read(read, model.vocab)
  const unk = read.text(model.unk_token ?? '<unk>', 'model.unk_token', true)
  return new WordLevel(vocab, vocab.ids.get(unk), reserved, fail)
}
