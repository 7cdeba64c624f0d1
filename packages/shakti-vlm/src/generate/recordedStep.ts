// The step of one sequence by one token, recorded once and replayed: its position is a tensor, so that the same commands
// serve every position that the cache has room for. Without it, issuing a step takes JavaScript as long as a tenth to a
// fifth of the step itself, on cores that the step wants.
import { capture, keep, noGrad, tensor, Tensor, tidy, type Capture } from '@shakti/tensor'
import type { KVCache } from '@shakti/nn'
import type { ShaktiVlm } from '../vlm.js'

export class RecordedStep {
  readonly #cache: KVCache
  readonly #buffers: readonly Tensor[]
  readonly #inputs: { ids: Tensor; position: Tensor; query: Tensor; keys: Tensor; one: Tensor }
  readonly #step: Capture<Tensor>
  /** What `position` holds. */
  #at: number

  /** Records; nothing runs yet. @param cache with room for the next position */
  constructor(model: ShaktiVlm, cache: KVCache) {
    const { device, decoder } = model
    this.#cache = cache
    this.#buffers = cache.buffers
    this.#at = cache.length
    const of = (...values: number[]): Tensor => keep(tensor(Int32Array.from(values), { device }))
    const inputs = {
      ids: of(0),
      position: of(this.#at),
      query: of(0, 1),
      keys: of(0, this.#at + 1),
      one: of(1),
    }
    this.#inputs = inputs
    const { ids, position, query, keys, one } = inputs
    this.#step = capture(
      () =>
        noGrad(() => {
          const x = decoder.embed(ids.reshape([1, 1]))
          const hidden = cache.at({ position, query, keys }, () =>
            decoder.forward(x, { cache, positions: position.reshape([1, 1]) }),
          )
          const logits = model.logits(hidden.reshape([1, -1]))
          position.add_(one)
          keys.narrow(0, 1, 1).add_(one)
          return logits
        }),
      { device },
    )
  }

  /** Whether the next position can be read by a replay. */
  get fits(): boolean {
    const { buffers } = this.#cache
    return (
      this.#cache.length < this.#cache.room &&
      buffers.length === this.#buffers.length &&
      buffers.every((t, i) => t === this.#buffers[i])
    )
  }

  /**
   * Reads a token.
   * @param id i32, one
   * @returns logits [1, vocab], good until the next call has run; the caller disposes them
   */
  read(id: Tensor | Int32Array): Tensor {
    const { ids, position, keys } = this.#inputs
    const { length } = this.#cache
    tidy(() => {
      const { device } = ids
      ids.copy_((id instanceof Tensor ? id : tensor(id, { device })).reshape([1]))
      if (this.#at === length) return
      // The cache was cut or went on without this step.
      position.copy_(tensor(Int32Array.of(length), { device }))
      keys.copy_(tensor(Int32Array.of(0, length + 1), { device }))
    })
    this.#step.replay()
    this.#cache.advance(1)
    this.#at = length + 1
    return noGrad(() => this.#step.output.detach())
  }

  dispose(): void {
    this.#step.dispose()
    this.#step.output.dispose()
    for (const t of Object.values(this.#inputs)) t.dispose()
  }
}
