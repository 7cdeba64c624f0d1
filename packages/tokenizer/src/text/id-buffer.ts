/** A list of ids that grows without garbage: the first `length` of `ids` hold. */
export class IdBuffer {
  ids: Int32Array
  length = 0

  /** With `ids`, writes into the caller's array until that is full. */
  constructor(ids: Int32Array = new Int32Array(1024)) {
    this.ids = ids
  }

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

  toArray(): number[] {
    const { ids, length } = this
    const array = new Array<number>(length)
    for (let i = 0; i < length; i++) array[i] = ids[i]!
    return array
  }
}
