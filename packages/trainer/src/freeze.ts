// Proof that frozen weights did not move: a hash over their names and elements.
import { type Tensor } from '@shakti/tensor'
import { createHash } from 'node:crypto'

/** SHA-256 over the names, dtypes, shapes and elements of tensors, in the order given. */
export async function hashTensors(named: Iterable<readonly [string, Tensor]>): Promise<string> {
  const hash = createHash('sha256')
  for (const [name, t] of named) {
    hash.update(`${name}\0${t.describe()}\0`)
    const data = await t.data()
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

/** Takes parameters off the tape; the function returned puts them back as they were. */
export function freeze(named: Iterable<readonly [string, Tensor]>): () => void {
  const before: [Tensor, boolean][] = []
  for (const [, t] of named) {
    before.push([t, t.requiresGrad])
    t.requiresGrad = false
    t.grad = undefined
  }
  return () => {
    for (const [t, requiresGrad] of before) t.requiresGrad = requiresGrad
  }
}
