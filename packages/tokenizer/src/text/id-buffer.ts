const KEPT_IDS = 1 << 18

/** A list of ids that grows without garbage: the first `length` of `ids` hold. */
export class IdBuffer {
  ids: Int32Array = new Int32Array(1024)
  length = 0

  /** Makes room for `more` further ids and returns the array that has it. */
  reserve(more: number): Int32Array {
    const needed = this.length + more
    if (needed > this.ids.length) {
      const grown = new Int32Array(Math.max(needed, 2 * this.ids.length))
      grown.set(this.ids.subarray(0, this.length))
      this.ids = grown
    }
    return this.ids
  }

  push(id: number): void {
    this.reserve(1)[this.length++] = id
  }

  /** Gives the memory of an uncommonly long text back; the ids are gone then. */
  trim(): void {
    if (this.ids.length <= KEPT_IDS) return
    this.ids = new Int32Array(1024)
    this.length = 0
  }

  toArray(): number[] {
    const { ids, length } = this
    const array = new Array<number>(length)
    for (let i = 0; i < length; i++) array[i] = ids[i]!
    return array
  }
}
