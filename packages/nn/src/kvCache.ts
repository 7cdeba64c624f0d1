// Keys and values of what was read, layer by layer, in buffers that double when they are full.
import { empty, noGrad, ShapeError, type Tensor } from '@shakti/tensor'

interface LayerCache {
  k: Tensor
  v: Tensor
}

export class KVCache {
  #layers: (LayerCache | undefined)[] = []
  #length = 0

  /** @param capacity positions to make room for at first; default 64 */
  constructor(readonly capacity = 64) {}

  /** Positions that every layer holds. */
  get length(): number {
    return this.#length
  }

  /**
   * Adds k and v ([batch, n, kv heads, head dim]) behind what `layer` holds and returns all of it, as views.
   */
  append(layer: number, k: Tensor, v: Tensor): LayerCache {
    const [batch, n, heads, dim] = k.shape as [number, number, number, number]
    const end = this.#length + n
    let cache = this.#layers[layer]
    if (
      cache &&
      (cache.k.shape[0] !== batch || cache.k.shape[2] !== heads || cache.k.shape[3] !== dim)
    ) {
      throw new ShapeError(
        'KVCache',
        `layer ${layer} holds ${cache.k.describe()}, got ${k.describe()}.`,
        [cache.k.shape, k.shape],
      )
    }
    if (!cache || cache.k.shape[1]! < end) {
      const room = Math.max(this.capacity, end, 2 * (cache?.k.shape[1] ?? 0))
      const grow = (old: Tensor | undefined): Tensor => {
        const t = empty([batch, room, heads, dim], { dtype: k.dtype, device: k.device })
        t.kept = true
        if (old) t.narrow(1, 0, this.#length).copy_(old.narrow(1, 0, this.#length))
        old?.dispose()
        return t
      }
      cache = noGrad(() => ({ k: grow(cache?.k), v: grow(cache?.v) }))
      this.#layers[layer] = cache
    }
    noGrad(() => {
      cache.k.narrow(1, this.#length, n).copy_(k)
      cache.v.narrow(1, this.#length, n).copy_(v)
    })
    return { k: cache.k.narrow(1, 0, end), v: cache.v.narrow(1, 0, end) }
  }

  /** Called once all layers have appended n positions. */
  advance(n: number): void {
    this.#length += n
  }

  dispose(): void {
    for (const l of this.#layers) {
      l?.k.dispose()
      l?.v.dispose()
    }
    this.#layers = []
    this.#length = 0
  }
}
