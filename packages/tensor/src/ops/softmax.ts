// Softmax and its logarithm. The kernels work on the last dimension; another one is moved there.
import { DTypeError } from '../errors.js'
import { isFloating } from '../dtype.js'
import { normalizeDim } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { op } from './table.js'

export interface SoftmaxOps {
  /** exp(x) / sum(exp(x)) along `dim`. A row of -inf alone gives 0 everywhere. */
  softmax(dim: number): Tensor
  /** log(softmax(x)), without the loss of digits. */
  logSoftmax(dim: number): Tensor
}

type Command = 'softmax' | 'log_softmax'

function family(command: Command) {
  const backward = op({
    command: `${command}_backward`,
    inputs: ['g', 'y'],
    outputs: ['dx'],
    check: ({ y }, _: Record<never, never>) => ({ dx: { shape: y.shape, dtype: y.dtype } }),
    saves: ['g', 'y'],
    grad: 'none',
  })
  const forward = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: ({ x }, _: Record<never, never>) => ({ out: { shape: x.shape, dtype: x.dtype } }),
    saves: ['out'],
    grad: (g, { out }) => ({ x: backward({ g, y: out }, {}).dx }),
  })
  return (x: Tensor, dim: number): Tensor => {
    if (!isFloating(x.dtype))
      throw new DTypeError(command, `needs a floating tensor, got ${x.describe()}.`)
    const d = normalizeDim(command, dim, x.ndim)
    if (x.ndim === 0) return forward({ x: x.reshape([1]) }, {}).out.reshape([])
    if (d === x.ndim - 1) return forward({ x }, {}).out
    return forward({ x: x.movedim(d, -1) }, {}).out.movedim(-1, d)
  }
}

export const softmaxOps = { softmax: family('softmax'), logSoftmax: family('log_softmax') }
