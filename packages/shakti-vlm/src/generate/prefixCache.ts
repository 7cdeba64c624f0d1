// What was read before, for prompts that begin alike: keys and values by a tree of tokens, visual tokens by image.
import { dtypeSize, keep, ShaktiError, type Tensor } from '@shakti/tensor'
import type { KVCache, KVDType, KVSlice } from '@shakti/nn'
import type { EncodedImage, ShaktiVlm } from '../vlm.js'

export interface PrefixCacheOptions {
  /** Memory for keys and values, in bytes. Default 1 GiB. */
  kvBytes?: number
  /** Memory for images' visual tokens, in bytes. Default 256 MiB. */
  imageBytes?: number
}

export interface PrefixCacheStats {
  readonly kvBytes: number
  readonly imageBytes: number
  /** Positions whose keys and values are held. */
  readonly positions: number
  readonly images: number
}

/** Tokens that follow those of the parent, with their keys and values. */
interface Node {
  readonly parent: Node | undefined
  keys: readonly number[]
  kv: KVSlice | undefined
  readonly children: Map<number, Node>
  used: number
}

interface CachedImage {
  /** [tokens, decoder width] */
  readonly tokens: Tensor
  /** Tells its visual tokens from those of other images in the tree. */
  readonly number: number
  readonly bytes: number
}

const sizeOf = (slice: KVSlice): number =>
  slice.layers.reduce(
    (n, { parts }) => n + parts.reduce((m, t) => m + t.numel * dtypeSize(t.dtype), 0),
    0,
  )

const free = (slice: KVSlice | undefined): void => {
  for (const { parts } of slice?.layers ?? []) for (const t of parts) t.dispose()
}

/** Positions from .. to - 1 of a slice, copied. */
function part(slice: KVSlice, from: number, to: number): KVSlice {
  return {
    length: to - from,
    dtype: slice.dtype,
    layers: slice.layers.map(({ window, parts }) => ({
      window,
      parts: parts.map((t) => {
        const view = t.narrow(1, from, to - from)
        const copy = keep(view.clone())
        view.dispose()
        return copy
      }),
    })),
  }
}

const root = (): Node => ({
  parent: undefined,
  keys: [],
  kv: undefined,
  children: new Map(),
  used: 0,
})

// Objects told apart by a number, which does not keep them alive.
const numbers = new WeakMap<object, number>()
let objects = 0
const numberOf = (o: object): number => {
  let n = numbers.get(o)
  if (n === undefined) numbers.set(o, (n = ++objects))
  return n
}

/** All that a model's numbers depend on: its modules, rotary table, parameters, and how often their memory was written. */
function fingerprint(model: ShaktiVlm): number[] {
  const out = [numberOf(model.decoder.rope)]
  for (const [, m] of model.namedModules()) out.push(numberOf(m))
  for (const [, p] of model.namedParameters()) out.push(numberOf(p.storage), p.storage.version)
  return out
}

/**
 * Remembers prompts for one model: an image asked again costs no encoder run, and a beginning that was read before (by token
 * ids, and images by a hash of their pixels) is not read again. Give it to `generate`. What was used longest ago goes when a
 * budget is full. What it holds is good for the weights that made it: before each use it looks whether the model's modules,
 * rotary base or parameters are others or were written (a training step, `loadStateDict`, `quantize_`), and if so
 * forgets everything. A LoRA adapter or another model in the place of a part counts as other modules.
 * @example const prefixCache = new PrefixCache(model)
 * for await (const { text } of generate(model, prompt, { prefixCache, tokenizer })) process.stdout.write(text)
 */
export class PrefixCache {
  readonly kvBudget: number
  readonly imageBudget: number
  readonly #trees = new Map<KVDType | undefined, Node>()
  /** The one used last stands last. */
  readonly #images = new Map<string, CachedImage>()
  #print: readonly number[] = []
  #clock = 0
  #kvBytes = 0
  #imageBytes = 0
  #imagesSeen = 0

  constructor(
    readonly model: ShaktiVlm,
    options: PrefixCacheOptions = {},
  ) {
    const { kvBytes = 2 ** 30, imageBytes = 2 ** 28 } = options
    for (const [field, value] of Object.entries({ kvBytes, imageBytes }))
      if (!Number.isSafeInteger(value) || value < 0)
        throw new ShaktiError('PrefixCache', `${field} is ${value}. It must be an integer from 0.`)
    this.kvBudget = kvBytes
    this.imageBudget = imageBytes
  }

  get stats(): PrefixCacheStats {
    let positions = 0
    for (const node of this.#nodes()) positions += node.keys.length
    const { size: images } = this.#images
    return { kvBytes: this.#kvBytes, imageBytes: this.#imageBytes, positions, images }
  }

  /** Forgets everything. */
  clear(): void {
    for (const node of this.#nodes()) free(node.kv)
    for (const { tokens } of this.#images.values()) tokens.dispose()
    this.#trees.clear()
    this.#images.clear()
    this.#kvBytes = this.#imageBytes = 0
  }

  dispose(): void {
    this.clear()
  }

  [Symbol.dispose](): void {
    this.clear()
  }

  /** Internal: forgets what other weights made. @throws ShaktiError when it belongs to another model */
  check(model: ShaktiVlm): void {
    if (model !== this.model)
      throw new ShaktiError('PrefixCache', 'belongs to another model. Make one for each.')
    const now = fingerprint(model)
    if (now.length === this.#print.length && now.every((n, i) => n === this.#print[i])) return
    this.clear()
    this.#print = now
  }

  // ---- Images.

  /** Internal: a hash of an image, made beside the event loop. */
  async hash({ pixels, height, width, patch }: EncodedImage): Promise<string> {
    const bytes = new Uint8Array(pixels.buffer as ArrayBuffer, pixels.byteOffset, pixels.byteLength)
    const digest = await crypto.subtle.digest('SHA-256', bytes)
    return `${height}x${width}/${patch}:${Buffer.from(digest).toString('hex')}`
  }

  /** Internal: an image's visual tokens, if they are held: a view, for the caller to dispose. */
  image(hash: string): { tokens: Tensor; number: number } | undefined {
    const found = this.#images.get(hash)
    if (!found) return undefined
    this.#images.delete(hash)
    this.#images.set(hash, found)
    return { tokens: found.tokens.detach(), number: found.number }
  }

  /** Internal: keeps an image's visual tokens. @returns its number */
  addImage(hash: string, tokens: Tensor): number {
    const known = this.#images.get(hash)
    if (known) return known.number
    const number = this.#imagesSeen++
    const bytes = tokens.numel * dtypeSize(tokens.dtype)
    if (bytes > this.imageBudget) return number
    const kept = keep(tokens.detach())
    this.#images.set(hash, { tokens: kept, number, bytes })
    this.#imageBytes += bytes
    for (const [oldest, entry] of this.#images) {
      if (this.#imageBytes <= this.imageBudget) break
      entry.tokens.dispose()
      this.#imageBytes -= entry.bytes
      this.#images.delete(oldest)
    }
    return number
  }

  // ---- Keys and values.

  /**
   * Internal: fills an empty cache with the longest beginning of `keys` that is held.
   * @param most positions, at most
   * @returns how many
   */
  load(cache: KVCache, dtype: KVDType | undefined, keys: readonly number[], most: number): number {
    let node = this.#trees.get(dtype)
    let at = 0
    while (node && at < most) {
      const next: Node | undefined = node.children.get(keys[at]!)
      if (!next) break
      const n = Math.min(shared(next.keys, keys, at), most - at)
      next.used = ++this.#clock
      if (n < next.keys.length) {
        const piece = part(next.kv!, 0, n)
        cache.extend(piece)
        free(piece)
        return at + n
      }
      cache.extend(next.kv!)
      at += n
      node = next
    }
    return at
  }

  /** Internal: keeps what `cache` holds for `keys`, as far as it is not known. Positions that the cache let go of are left out. */
  add(cache: KVCache, dtype: KVDType | undefined, keys: readonly number[]): void {
    let node = this.#trees.get(dtype)
    if (!node) this.#trees.set(dtype, (node = root()))
    let at = 0
    while (at < keys.length) {
      const next: Node | undefined = node.children.get(keys[at]!)
      if (!next) break
      const n = shared(next.keys, keys, at)
      next.used = ++this.#clock
      at += n
      node = n === next.keys.length ? next : this.#split(next, n)
      if (n < next.keys.length) break
    }
    if (at >= keys.length || !cache.holds(at)) return
    const kv = cache.slice(at, keys.length)
    const bytes = sizeOf(kv)
    // Something too large would drive out all else, and then itself.
    if (bytes > this.kvBudget) return free(kv)
    const fresh: Node = {
      parent: node,
      keys: keys.slice(at),
      kv,
      children: new Map(),
      used: ++this.#clock,
    }
    node.children.set(fresh.keys[0]!, fresh)
    this.#kvBytes += bytes
    this.#shrink()
  }

  /** Puts a node for the first n of a node's tokens between it and its parent. */
  #split(node: Node, n: number): Node {
    const kv = node.kv!
    const parent = node.parent!
    const first: Node = {
      parent,
      keys: node.keys.slice(0, n),
      kv: part(kv, 0, n),
      children: new Map(),
      used: node.used,
    }
    const rest: Node = {
      parent: first,
      keys: node.keys.slice(n),
      kv: part(kv, n, node.keys.length),
      children: node.children,
      used: node.used,
    }
    for (const child of rest.children.values()) (child as { parent: Node }).parent = rest
    free(kv)
    parent.children.set(first.keys[0]!, first)
    first.children.set(rest.keys[0]!, rest)
    return first
  }

  /** Lets the leaf that was used longest ago go, until the budget is kept. */
  #shrink(): void {
    while (this.#kvBytes > this.kvBudget) {
      let oldest: Node | undefined
      for (const node of this.#nodes())
        if (node.parent && node.children.size === 0 && (!oldest || node.used < oldest.used))
          oldest = node
      if (!oldest) return
      this.#kvBytes -= sizeOf(oldest.kv!)
      free(oldest.kv)
      oldest.parent!.children.delete(oldest.keys[0]!)
    }
  }

  *#nodes(): Generator<Node> {
    const waiting = [...this.#trees.values()]
    for (let node = waiting.pop(); node; node = waiting.pop()) {
      yield node
      waiting.push(...node.children.values())
    }
  }
}

/** How many of a node's keys are those of a text from `at` on. */
function shared(node: readonly number[], keys: readonly number[], at: number): number {
  const most = Math.min(node.length, keys.length - at)
  let n = 0
  while (n < most && node[n] === keys[at + n]) n++
  return n
}

/** What stands for each position in the tree: a token's id, or a negative number of an image and the place in it. */
export function prefixKeys(
  ids: ArrayLike<number>,
  source: Int32Array,
  images: readonly { readonly number: number; readonly tokens: Tensor }[],
): number[] {
  const places: number[] = []
  for (const { number, tokens } of images)
    for (let i = 0; i < tokens.shape[0]!; i++) places.push(-1 - (number * 2 ** 20 + i))
  return Array.from(source, (s, i) => (s < 0 ? ids[i]! : places[s]!))
}
