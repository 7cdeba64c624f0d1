// Keys and values of what was read, layer by layer. A layer that sees a window keeps only what the window still reaches:
// attention counts keys from the newest one backwards, so rows may go at the front, and rotary positions, which are turned
// into the keys before they come here, stay absolute.
import {
  dtypeSize,
  empty,
  keep,
  noGrad,
  ShaktiError,
  ShapeError,
  tidy,
  zeros,
  type Tensor,
} from '@shakti/tensor'

/** How keys and values are held. 'i8': a byte a number and an f32 scale for each position and head. */
export type KVDType = 'f32' | 'bf16' | 'f16' | 'i8'

export interface KVCacheOptions {
  /** Positions to make room for at first. Default 64. */
  capacity?: number
  /** Room is doubled when it is full, but not beyond so many positions while they suffice. Default: no bound. */
  limit?: number
  /** Default: the dtype of the first keys. */
  dtype?: KVDType
  /** How many of the newest positions `truncate` may always take back; layers with a window keep so many more. Default 0. */
  rewind?: number
}

/** What attention reads. */
export interface KeysValues {
  readonly k: Tensor
  readonly v: Tensor
  /** Of a cache in 8 bits, whose k and v are u8: `keyScale` and `valueScale` of scaledDotProductAttention, [batch, keys, kv heads, 1]. */
  readonly scales?: { readonly k: Tensor; readonly v: Tensor }
  /** Where the keys end, when there is room behind them: borders of one packed sequence (`cuSeqlensQ`, `cuSeqlensK`). */
  readonly borders?: { readonly q: Tensor; readonly k: Tensor }
}

/** A position as tensors: what a recorded step reads, so that it can be replayed at the next one. */
export interface Place {
  /** i32 [1]: where the new keys go. */
  readonly position: Tensor
  /** i32 [2]: 0 and 1, the one new query. */
  readonly query: Tensor
  /** i32 [2]: 0 and how many keys there are with the new one. */
  readonly keys: Tensor
}

/** Copies of some positions, as a cache holds them; goes back into a cache of the same layers by `extend`. */
export interface KVSlice {
  readonly length: number
  readonly dtype: KVDType
  /** For each layer: its window, and [batch, length, ...] tensors that no scope owns. */
  readonly layers: readonly { readonly window: number; readonly parts: readonly Tensor[] }[]
}

const dtypes: readonly KVDType[] = ['f32', 'bf16', 'f16', 'i8']

/** i8: numbers shifted by 128 (there is no signed byte), and scale = largest magnitude of a head's numbers / 127. */
function encode(x: Tensor, dtype: KVDType): Tensor[] {
  if (dtype !== 'i8') return [x.to(dtype)]
  const wide = x.to('f32')
  const scale = wide.abs().amax(3, { keepDim: true }).div(127).clamp(1e-30)
  return [wide.div(scale).add(128).round().to('u8'), scale]
}

/** Keys and values from what `encode` made of each. In 8 bits they stay so; else they are of `like`'s dtype. */
function asRead(parts: readonly Tensor[], like: Tensor): KeysValues {
  if (parts.length === 2) {
    // Converted as they lie, so that a head's rows stay together.
    const [k, v] = parts.map((t) =>
      t.dtype === like.dtype ? t : t.transpose(1, 2).to(like.dtype).transpose(1, 2),
    ) as [Tensor, Tensor]
    return { k, v }
  }
  const [k, keyScale, v, valueScale] = parts as [Tensor, Tensor, Tensor, Tensor]
  return { k, v, scales: { k: keyScale, v: valueScale } }
}

/**
 * Rows of one layer's tensors, [batch, rows, ...] each. Row 0 is position `start`. In memory a head's rows lie one behind the
 * other: attention reads one head at a time.
 */
class Rows {
  parts: Tensor[] = []
  start = 0

  constructor(
    /** Keys that a query sees; 0: all. */
    readonly window: number,
  ) {}

  get room(): number {
    return this.parts[0]?.shape[1] ?? 0
  }

  /** The tensors at positions start .. end - 1. */
  view(start: number, end: number): Tensor[] {
    return this.parts.map((t) => t.narrow(1, start - this.start, end - start))
  }

  /** New tensors with `room` rows for parts like these; at the front, from position `start` on, come some rows. */
  replace(like: readonly Tensor[], room: number, start: number, rows: readonly Tensor[]): void {
    const fresh = like.map((x, i) => {
      const [batch, , heads, width] = x.shape as [number, number, number, number]
      // A GPU multiplies what lies behind the last key by 0, which has to give 0.
      const make = x.device === 'cpu' ? empty : zeros
      const memory = make([batch, heads, room, width], { dtype: x.dtype, device: x.device })
      const t = keep(memory.transpose(1, 2))
      memory.dispose()
      if (rows[i]) t.narrow(1, 0, rows[i].shape[1]!).copy_(rows[i])
      return t
    })
    for (const t of this.parts) t.dispose()
    this.parts = fresh
    this.start = start
  }

  /** `replace` by what is held at positions from .. to - 1. */
  move(like: readonly Tensor[], room: number, from: number, to: number): void {
    this.replace(like, room, from, to > from ? this.view(from, to) : [])
  }

  /** As `move`, where there is room enough: rows go to the front, by way of a copy since they may overlap. */
  shift(from: number, to: number): void {
    if (to > from) {
      const rows = this.view(from, to).map((t) => t.clone())
      for (const [i, t] of this.parts.entries()) t.narrow(1, 0, to - from).copy_(rows[i]!)
    }
    this.start = from
  }
}

export class KVCache {
  readonly options: Readonly<KVCacheOptions>
  #layers: (Rows | undefined)[] = []
  #length = 0
  #dtype: KVDType | undefined
  #place: Place | undefined

  /** @param options or the capacity alone */
  constructor(options: KVCacheOptions | number = {}) {
    this.options = typeof options === 'number' ? { capacity: options } : options
    const { dtype, capacity = 64, rewind = 0, limit = 1 } = this.options
    if (dtype !== undefined && !dtypes.includes(dtype))
      throw new ShaktiError(
        'KVCache',
        `dtype is '${String(dtype)}'. It must be one of ${dtypes.join(', ')}.`,
      )
    for (const [name, value, least] of [
      ['capacity', capacity, 1],
      ['limit', limit, 1],
      ['rewind', rewind, 0],
    ] as const)
      if (!Number.isSafeInteger(value) || value < least)
        throw new ShaktiError(
          'KVCache',
          `${name} is ${value}. It must be an integer from ${least}.`,
        )
    this.#dtype = dtype
  }

  /** Positions read. */
  get length(): number {
    return this.#length
  }

  /** How numbers are held; undefined before there are any, where no dtype was asked for. */
  get dtype(): KVDType | undefined {
    return this.#dtype
  }

  /** Memory that it holds. */
  get bytes(): number {
    let n = 0
    for (const rows of this.#layers)
      for (const t of rows?.parts ?? []) n += t.numel * dtypeSize(t.dtype)
    return n
  }

  /**
   * Adds k and v ([batch, n, kv heads, head dim]) behind what `layer` holds.
   * @param window keys that a query of this layer sees, itself among them; default all. Then older ones may go
   * @returns what the layer holds, the new ones last, in k's dtype, or in 8 bits with their scales: all positions, or with a
   * window at least those that some of the n queries see
   */
  append(layer: number, k: Tensor, v: Tensor, window = 0): KeysValues {
    const [, n] = k.shape as [number, number]
    const place = this.#place
    if (place) return this.#appendAt(place, layer, k, v)
    return noGrad(() => {
      const dtype = (this.#dtype ??= k.dtype as KVDType)
      const parts = [...encode(k, dtype), ...encode(v, dtype)]
      const rows = this.#write(layer, parts, window, k)
      return asRead(rows.view(rows.start, this.#length + n), k)
    })
  }

  /**
   * Positions that `at` can write before the buffers grow, of one sequence; 0 where it cannot: with windows, whose rows move.
   */
  get room(): number {
    if (this.#layers.length === 0) return 0
    const fits = (r: Rows | undefined): number =>
      r && r.window === 0 && r.parts[0]!.shape[0] === 1 ? r.room : 0
    return Math.min(...this.#layers.map(fits))
  }

  /** The buffers themselves: others, once rows have moved to larger ones or were put in another order. */
  get buffers(): readonly Tensor[] {
    return this.#layers.flatMap((r) => r?.parts ?? [])
  }

  /** Whether this is a call inside `at`: positions lie below `room`. */
  get placed(): boolean {
    return this.#place !== undefined
  }

  /**
   * Calls `fn`, in which `append` takes one position, writes it where `place` says, and returns the whole buffers with borders.
   * Nothing is counted, by `advance` neither: whoever replays what was recorded does that.
   */
  at<T>(place: Place, fn: () => T): T {
    const before = this.#length
    this.#place = place
    try {
      return fn()
    } finally {
      this.#place = undefined
      this.#length = before
    }
  }

  #appendAt({ position, query, keys }: Place, layer: number, k: Tensor, v: Tensor): KeysValues {
    const { parts } = this.#layers[layer]!
    const dtype = this.#dtype!
    noGrad(() => {
      for (const [i, x] of [...encode(k, dtype), ...encode(v, dtype)].entries())
        parts[i]!.indexCopy_(1, position, x)
    })
    return { ...asRead(parts, k), borders: { q: query, k: keys } }
  }

  /** Puts encoded rows behind the others. */
  #write(layer: number, parts: readonly Tensor[], window: number, given: Tensor): Rows {
    const rows = (this.#layers[layer] ??= new Rows(window))
    const held = rows.parts[0]
    const first = parts[0]!
    if (held && [0, 2, 3].some((d) => held.shape[d] !== first.shape[d])) {
      throw new ShapeError(
        'KVCache',
        `layer ${layer} holds ${held.describe()}, got ${given.describe()}.`,
        [held.shape, given.shape],
      )
    }
    const n = first.shape[1]!
    const now = this.#length
    const end = now + n
    if (end - rows.start > rows.room) this.#makeRoom(rows, parts, n)
    for (const [i, t] of rows.parts.entries()) t.narrow(1, now - rows.start, n).copy_(parts[i]!)
    return rows
  }

  #makeRoom(rows: Rows, like: readonly Tensor[], n: number): void {
    const { capacity = 64, limit = Infinity, rewind = 0 } = this.options
    const now = this.#length
    const end = now + n
    if (rows.window === 0) {
      const doubled = Math.min(2 * rows.room, Math.max(limit, end))
      return rows.move(like, Math.max(Math.min(capacity, limit), end, doubled), 0, now)
    }
    // What the window still reaches and a rewind may ask for; behind it slack, so that rows move only now and then.
    const reach = rows.window - 1 + rewind
    const from = Math.max(rows.start, now - reach)
    const slack = Math.max(64, rows.window >> 2)
    if (rows.room >= end - from) return rows.shift(from, now)
    const most = reach + Math.max(n, slack)
    const wanted = Math.max(end - from, Math.min(capacity, limit), Math.min(2 * rows.room, limit))
    rows.move(like, Math.max(end - from, Math.min(most, wanted)), from, now)
  }

  /** Called once all layers have appended n positions. */
  advance(n: number): void {
    this.#length += n
  }

  /** Whether `truncate(length)` is possible: layers with a window may have let go of what the next query would see. */
  canTruncate(length: number): boolean {
    return this.#layers.every((r) => !r || r.start === 0 || r.start <= length - r.window + 1)
  }

  /**
   * Forgets all but the first `length` positions.
   * @throws ShapeError when there are fewer, or a layer with a window no longer holds what precedes (see `rewind`)
   */
  truncate(length: number): void {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.#length)
      throw new ShapeError('KVCache', `cannot go back to ${length} of ${this.#length} positions.`)
    if (!this.canTruncate(length))
      throw new ShapeError(
        'KVCache',
        `cannot go back from ${this.#length} to ${length} positions: a layer with a window has let go of what precedes. Ask for more \`rewind\`.`,
      )
    this.#length = length
  }

  /** Whether every layer still holds the positions from `start` on. */
  holds(start: number): boolean {
    return this.#layers.every((r) => !r || r.start <= start)
  }

  /** A copy of positions start .. end - 1. @throws ShapeError when they are not held any more */
  slice(start: number, end: number): KVSlice {
    if (start < 0 || end > this.#length || start > end || !this.holds(start))
      throw new ShapeError(
        'KVCache',
        `positions ${start} to ${end} are not held, of ${this.#length} read.`,
      )
    return {
      length: end - start,
      dtype: this.#dtype ?? 'f32',
      layers: this.#layers.map((rows) => ({
        window: rows!.window,
        parts: tidy(() => noGrad(() => rows!.view(start, end).map((t) => keep(t.clone())))),
      })),
    }
  }

  /**
   * Adds positions that another cache held behind these, as they are.
   * @throws ShaktiError when that one held another dtype
   */
  extend(slice: KVSlice): void {
    if (slice.dtype !== (this.#dtype ??= slice.dtype))
      throw new ShaktiError('KVCache', `holds ${this.#dtype}, and was given ${slice.dtype}.`)
    tidy(() =>
      noGrad(() => {
        for (const [i, { window, parts }] of slice.layers.entries())
          this.#write(i, parts, window, parts[0]!)
      }),
    )
    this.#length += slice.length
  }

  /** Makes row i of the batch what row `rows[i]` was: beams are reordered, finished prompts leave. */
  select(rows: Tensor): void {
    tidy(() =>
      noGrad(() => {
        for (const layer of this.#layers) {
          if (!layer) continue
          const chosen = layer.view(layer.start, this.#length).map((t) => t.indexSelect(0, rows))
          layer.replace(chosen, layer.room, layer.start, chosen)
        }
      }),
    )
  }

  /** A cache that holds the same and goes its own way. */
  clone(): KVCache {
    const copy = new KVCache({ ...this.options, ...(this.#dtype ? { dtype: this.#dtype } : {}) })
    copy.#length = this.#length
    copy.#layers = this.#layers.map((rows) => {
      if (!rows) return undefined
      const other = new Rows(rows.window)
      const { start, room, parts } = rows
      tidy(() => noGrad(() => other.replace(parts, room, start, rows.view(start, this.#length))))
      return other
    })
    return copy
  }

  dispose(): void {
    for (const rows of this.#layers) for (const t of rows?.parts ?? []) t.dispose()
    this.#layers = []
    this.#length = 0
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
