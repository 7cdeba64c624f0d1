import { DTypeError, ShaktiError, ShapeError } from '../errors.js'
import { isFloating, type DType } from '../dtype.js'
import { issueOne } from '../native/encode.js'
import type { Tensor } from '../tensor.js'
import { checkIndex } from './index-ops.js'
import { wantInteger, wantTensors } from './checks.js'
import { op } from './table.js'

export interface CrossEntropyOptions {
  /** Targets with this value do not count. Default -100. */
  ignoreIndex?: number
  /** Share of the target's probability that is spread over all classes. Default 0. */
  labelSmoothing?: number
  /** 'mean' divides by the number of targets that count. Default 'mean'. */
  reduction?: 'mean' | 'sum' | 'none'
}

const statistics = (dtype: DType): DType => (dtype === 'f64' ? 'f64' : 'f32')

const crossEntropyRow = op({
  command: 'cross_entropy',
  inputs: ['logits', 'target'],
  outputs: ['out', 'lse'],
  check: ({ logits, target }, _: { ignoreIndex: number; labelSmoothing: number }) => {
    if (logits.ndim !== 2 || target.ndim !== 1 || target.shape[0] !== logits.shape[0]) {
      throw new ShapeError(
        'crossEntropy',
        `needs logits [n, classes] and target [n], got ${logits.describe()} and ${target.describe()}.`,
        [logits.shape, target.shape],
      )
    }
    const rows = { shape: target.shape, dtype: statistics(logits.dtype) }
    return { out: rows, lse: rows }
  },
  encode: ({ ignoreIndex, labelSmoothing }) => [ignoreIndex, labelSmoothing],
  saves: ['logits', 'target', 'lse'],
  grad: (g, { logits, target, lse }, { attrs: { ignoreIndex, labelSmoothing } }) => ({
    logits: issueOne(
      'cross_entropy_backward',
      [g, logits, target, lse],
      { shape: logits.shape, dtype: logits.dtype },
      [ignoreIndex, labelSmoothing],
    ),
  }),
})

/**
 * Negative log-likelihood of `target` under softmax(logits).
 * @param logits [n, classes], any float dtype; the loss is f32 (f64 for f64)
 * @param target [n], i32 class or `ignoreIndex`
 * @returns one number, or [n] with reduction 'none'. The mean over no target at all is NaN, as in PyTorch.
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  const { ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' } = options
  wantTensors('crossEntropy', { logits, target })
  wantInteger('crossEntropy', 'ignoreIndex', ignoreIndex)
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new ShaktiError('crossEntropy', `labelSmoothing lies in [0, 1], got ${labelSmoothing}.`)
  if (reduction !== 'mean' && reduction !== 'sum' && reduction !== 'none') {
    throw new ShaktiError(
      'crossEntropy',
      `reduction is 'mean', 'sum' or 'none', got '${String(reduction)}'.`,
    )
  }
  if (!isFloating(logits.dtype))
    throw new DTypeError('crossEntropy', `logits must be floating, got ${logits.describe()}.`)
  checkIndex('crossEntropy', target)
  const rows = crossEntropyRow({ logits, target }, { ignoreIndex, labelSmoothing }).out
  if (reduction === 'none') return rows
  const total = rows.sum()
  return reduction === 'sum' ? total : total.div(target.ne(ignoreIndex).sum().to(total.dtype))
}
