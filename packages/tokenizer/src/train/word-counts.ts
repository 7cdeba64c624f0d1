// How often each word was met. Words lie one behind the other in one array of bytes, so that millions of them take
// no more memory than their bytes, and a worker's counts travel without being copied.

/** The columns of a `WordCounts`, as they are handed between threads and written into checkpoints. */
export interface WordColumns {
  /** All words, one behind the other. */
  readonly bytes: Uint8Array
  readonly lengths: Int32Array
  readonly counts: Float64Array
}

/** What bounding the memory took away. */
export interface Pruned {
  /** Words dropped; one that came again after it was dropped counts again. */
  readonly words: number
  /** How often they had been met, all together. */
  readonly occurrences: number
  /** No word that is left is counted too low by more than this. */
  readonly perWord: number
}

export class WordCounts {
  /** Number of different words. */
  size = 0
  private used = 0
  private dropped: Pruned = { words: 0, occurrences: 0, perWord: 0 }
  private bytes = new Uint8Array(1 << 16)
  private starts = new Int32Array(1 << 12)
  private counts = new Float64Array(1 << 12)
  private hashes = new Int32Array(1 << 12)
  /** Index of a word + 1, by hash. */
  private slots = new Int32Array(1 << 13)
  // Nobody can write a text whose words all collide.
  private readonly seed = (Math.random() * 2 ** 32) | 0

  /** Bytes of the words, and one more each: the positions that merging works on. */
  get positions(): number {
    return this.used + this.size
  }

  get pruned(): Pruned {
    return this.dropped
  }

  add(bytes: Uint8Array, start: number, end: number, count: number): void {
    let hash = this.seed ^ (end - start)
    for (let i = start; i < end; i++) {
      hash = Math.imul(hash ^ bytes[i]!, 0x9e3779b1)
      hash ^= hash >>> 15
    }
    const mask = this.slots.length - 1
    let slot = hash & mask
    for (;;) {
      const word = this.slots[slot]! - 1
      if (word < 0) break
      if (this.hashes[word] === hash && this.equals(word, bytes, start, end)) {
        this.counts[word]! += count
        return
      }
      slot = (slot + 1) & mask
    }
    this.append(bytes, start, end, count, hash)
    this.slots[slot] = this.size
    if (2 * this.size > mask) this.rehash(2 * this.slots.length)
  }

  private equals(word: number, bytes: Uint8Array, start: number, end: number): boolean {
    const from = this.starts[word]!
    if (this.starts[word + 1]! - from !== end - start) return false
    for (let i = start, j = from; i < end; i++, j++) {
      if (this.bytes[j] !== bytes[i]) return false
    }
    return true
  }

  private append(bytes: Uint8Array, start: number, end: number, count: number, hash: number): void {
    const length = end - start
    if (this.used + length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.used + length, 2 * this.bytes.length))
      grown.set(this.bytes.subarray(0, this.used))
      this.bytes = grown
    }
    if (length < 32) {
      for (let i = start, j = this.used; i < end; i++, j++) this.bytes[j] = bytes[i]!
    } else this.bytes.set(bytes.subarray(start, end), this.used)
    if (this.size + 2 > this.starts.length) {
      const grow = <T extends Int32Array | Float64Array>(old: T, wider: T): T => {
        wider.set(old)
        return wider
      }
      const size = 2 * this.starts.length
      this.starts = grow(this.starts, new Int32Array(size))
      this.counts = grow(this.counts, new Float64Array(size))
      this.hashes = grow(this.hashes, new Int32Array(size))
    }
    this.used += length
    this.counts[this.size] = count
    this.hashes[this.size] = hash
    this.starts[++this.size] = this.used
  }

  private rehash(length: number): void {
    const slots = new Int32Array(length)
    for (let word = 0; word < this.size; word++) {
      let slot = this.hashes[word]! & (length - 1)
      while (slots[slot] !== 0) slot = (slot + 1) & (length - 1)
      slots[slot] = word + 1
    }
    this.slots = slots
  }

  /** Adds what another one counted. */
  addAll({ bytes, lengths, counts }: WordColumns): void {
    for (let word = 0, start = 0; word < lengths.length; word++) {
      const end = start + lengths[word]!
      this.add(bytes, start, end, counts[word]!)
      start = end
    }
  }

  /**
   * Where there are more positions than `limit`, drops the rarest words until half of that is left: all that were
   * met once, then all that were met twice, and so on.
   */
  prune(limit: number): void {
    if (this.positions <= limit) return
    let least = 1
    while (this.positionsAbove(least) > limit / 2) least++
    const { bytes, starts, counts, hashes, size } = this
    let { words, occurrences } = this.dropped
    this.size = 0
    this.used = 0
    for (let word = 0; word < size; word++) {
      const start = starts[word]!
      const end = starts[word + 1]!
      const count = counts[word]!
      if (count <= least) {
        words++
        occurrences += count
        continue
      }
      bytes.copyWithin(this.used, start, end)
      this.used += end - start
      counts[this.size] = count
      hashes[this.size] = hashes[word]!
      // Behind what is still to be read: words only move down.
      if (this.size < word) starts[this.size + 1] = this.used
      this.size++
    }
    this.dropped = { words, occurrences, perWord: this.dropped.perWord + least }
    this.rehash(this.slots.length)
  }

  private positionsAbove(least: number): number {
    let positions = 0
    for (let word = 0; word < this.size; word++) {
      if (this.counts[word]! > least) positions += this.starts[word + 1]! - this.starts[word]! + 1
    }
    return positions
  }

  /** The words in the order in which they were first met. The arrays are copies of their own. */
  columns(): WordColumns {
    const lengths = new Int32Array(this.size)
    for (let word = 0; word < this.size; word++) {
      lengths[word] = this.starts[word + 1]! - this.starts[word]!
    }
    return {
      bytes: this.bytes.slice(0, this.used),
      lengths,
      counts: this.counts.slice(0, this.size),
    }
  }

  /** The inverse of `columns` and `pruned`. */
  static from(columns: WordColumns, pruned: Pruned): WordCounts {
    const words = new WordCounts()
    words.addAll(columns)
    words.dropped = pruned
    return words
  }
}
