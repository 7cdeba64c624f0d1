// The bytes of every token, as a tree: which tokens may come is found by walking it, and what is refused is refused with all
// tokens that begin so.
import { ShaktiError } from '@shakti/tensor'

/** What constraints ask of a tokenizer; @shakti/tokenizer's has it. */
export interface TokenBytes {
  /** Largest id + 1. */
  readonly vocabSize: number
  /** Special tokens are no text: a constraint never allows one (stop tokens come by `stopTokens`). */
  isSpecial(id: number): boolean
  /** Undefined where there is no such token. */
  idToToken(id: number): string | undefined
  decodeBytes(ids: Iterable<number>): Uint8Array
}

const made = new WeakMap<TokenBytes, Vocabulary>()

export class Vocabulary {
  readonly size: number
  /** Bytes that are a token each. */
  readonly single = new Uint8Array(256)
  // The nodes of the tree in preorder: the byte that leads to each, how many bytes do, the node behind its subtree, and the token that
  // ends there, or -1.
  readonly byte: Uint8Array
  readonly depth: Uint16Array
  readonly skip: Int32Array
  readonly token: Int32Array
  /** By token: another token of the same bytes, or -1. */
  readonly twin: Int32Array
  readonly deepest: number
  readonly #bytes: readonly (Uint8Array | undefined)[]

  /** Of a tokenizer; made once for each (about 0.3 s for 128 K tokens). */
  static of(tokenizer: TokenBytes): Vocabulary {
    let v = made.get(tokenizer)
    if (!v) made.set(tokenizer, (v = new Vocabulary(tokenBytes(tokenizer))))
    return v
  }

  /** @param bytes of each token by id; undefined or empty for what is no text */
  constructor(bytes: readonly (Uint8Array | undefined)[]) {
    this.size = bytes.length
    this.#bytes = bytes
    const entries: { text: string; id: number }[] = []
    let total = 0
    bytes.forEach((b, id) => {
      if (!b || b.length === 0) return
      if (b.length > 65_535)
        throw new ShaktiError('Vocabulary', `token ${id} has ${b.length} bytes, more than 65535.`)
      if (b.length === 1) this.single[b[0]!] = 1
      total += b.length
      entries.push({ text: Buffer.from(b).toString('latin1'), id })
    })
    entries.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.id - b.id))
    const byte = new Uint8Array(total)
    const depth = new Uint16Array(total)
    const skip = new Int32Array(total)
    const token = new Int32Array(total).fill(-1)
    this.twin = new Int32Array(this.size).fill(-1)
    /** Nodes on the way to the last text. */
    const path: number[] = []
    let nodes = 0
    let deepest = 0
    let before = ''
    for (const { text, id } of entries) {
      let common = 0
      while (common < before.length && before.charCodeAt(common) === text.charCodeAt(common))
        common++
      while (path.length > common) skip[path.pop()!] = nodes
      for (let d = common; d < text.length; d++) {
        byte[nodes] = text.charCodeAt(d)
        depth[nodes] = d + 1
        path.push(nodes++)
      }
      const end = path.at(-1)!
      if (token[end] !== -1) this.twin[id] = token[end]!
      token[end] = id
      deepest = Math.max(deepest, text.length)
      before = text
    }
    while (path.length > 0) skip[path.pop()!] = nodes
    this.byte = byte.slice(0, nodes)
    this.depth = depth.slice(0, nodes)
    this.skip = skip.slice(0, nodes)
    this.token = token.slice(0, nodes)
    this.deepest = deepest
  }

  /** Undefined for what is no text. */
  bytesOf(id: number): Uint8Array | undefined {
    return this.#bytes[id]
  }
}

/**
 * The bytes of a token amid a text: some decoders drop the space of a first one.
 * @returns undefined for what is no text
 * @throws ShaktiError for a tokenizer without single letters
 */
export function spelling(tokenizer: TokenBytes): (id: number) => Uint8Array | undefined {
  const { vocabSize } = tokenizer
  const isText = (id: number): boolean =>
    tokenizer.idToToken(id) !== undefined && !tokenizer.isSpecial(id)
  let anchor = -1
  for (let id = 0; id < vocabSize && anchor < 0; id++) {
    if (!isText(id)) continue
    const b = tokenizer.decodeBytes([id])
    if (b.length === 1 && b[0]! >= 0x61 && b[0]! <= 0x7a) anchor = id
  }
  if (anchor < 0)
    throw new ShaktiError(
      'Vocabulary',
      'no token is a single letter from a to z: texts cannot be spelled.',
    )
  const letter = tokenizer.decodeBytes([anchor])[0]
  return (id) => {
    if (!isText(id)) return undefined
    const b = tokenizer.decodeBytes([anchor, id])
    return b[0] === letter ? b.slice(1) : undefined
  }
}

const tokenBytes = (tokenizer: TokenBytes): (Uint8Array | undefined)[] =>
  Array.from({ length: tokenizer.vocabSize }, (_, id) => id).map(spelling(tokenizer))
