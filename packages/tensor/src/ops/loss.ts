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

/** The dtype of losses and sums of exponentials. */
export const statistics = (dtype: DType): DType => (dtype === 'f64' ? 'f64' : 'f32')

const crossEntropyRow = op({
  command: 'cross_entropy',
  inputs: ['logits', 'target'],
  outputs: ['out', 'lse'],
  check: (
    { logits, target },
    _: Pick<Required<CrossEntropyOptions>, 'ignoreIndex' | 'labelSmoothing'>,
  ) => {
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

/** The options with their defaults, checked. */
export function lossOptions(
  op: string,
  options: CrossEntropyOptions,
): Required<CrossEntropyOptions> {
  const { ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' } = options
  wantInteger(op, 'ignoreIndex', ignoreIndex)
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new ShaktiError(op, `labelSmoothing lies in [0, 1], got ${labelSmoothing}.`)
  if (reduction !== 'mean' && reduction !== 'sum' && reduction !== 'none') {
    throw new ShaktiError(op, `reduction is 'mean', 'sum' or 'none', got '${String(reduction)}'.`)
  }
  return { ignoreIndex, labelSmoothing, reduction }
}

/** A sum over rows, divided by the number of targets that count unless it is asked for as it is. */
export function reduced(
  total: Tensor,
  target: Tensor,
  options: Required<CrossEntropyOptions>,
): Tensor {
  return options.reduction === 'sum'
    ? total
    : total.div(target.ne(options.ignoreIndex).sum().to(total.dtype))
}

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
  const settings = lossOptions('crossEntropy', options)
  wantTensors('crossEntropy', { logits, target })
  if (!isFloating(logits.dtype))
    throw new DTypeError('crossEntropy', `logits must be floating, got ${logits.describe()}.`)
  checkIndex('crossEntropy', target)
  const rows = crossEntropyRow({ logits, target }, settings).out
  return settings.reduction === 'none' ? rows : reduced(rows.sum(), target, settings)
}
