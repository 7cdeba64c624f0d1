// The last layer of a language model and its loss in one, a few rows at a time: with a vocabulary of 128,256 the logits of
// 4,096 positions would take 2 GiB, their gradient as much again. Gradients are formed on the way, while a chunk's logits
// are there, so that no product is computed twice.
import { AutogradError, DTypeError, ShaktiError, ShapeError } from '../errors.js'
import { anomaly } from '../autograd/anomaly.js'
import { isGradEnabled, noGrad, tracks } from '../autograd/tape.js'
import { dtypeSize, isFloating } from '../dtype.js'
import { filled, issue, issueOne } from '../native/encode.js'
import { inScope } from '../scope.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { checkIndex } from './index-ops.js'
import { lossOptions, reduced, statistics, type CrossEntropyOptions } from './loss.js'
import { productInto } from './matmul.js'
import { record } from './table.js'

export interface LinearCrossEntropyOptions extends Omit<CrossEntropyOptions, 'reduction'> {
  /** 'mean' divides by the number of targets that count. Default 'mean'. */
  reduction?: 'mean' | 'sum'
  /** Rows whose logits exist at a time. Default: as many as make 16 MiB, at least 512 (1024 of 16 bits). */
  rows?: number
}

// So many bytes of logits stay in the last cache from the product to the loss and back; but each chunk adds to the whole
// gradient of the weight, which costs as much as the product of a few hundred rows.
const logitBytes = 16 << 20
const leastBytesOfColumn = 2048

interface Pass {
  /** Losses of the rows. */
  readonly losses: Tensor
  /** Gradients of the losses' sum, for those that were asked for. */
  readonly hidden: Tensor | undefined
  readonly weight: Tensor | undefined
}

/** All rows, chunk by chunk, with the gradients that `need` names. */
function run(
  { hidden, weight, target }: { hidden: Tensor; weight: Tensor; target: Tensor },
  options: Required<CrossEntropyOptions>,
  rows: number,
  need: { readonly hidden: boolean; readonly weight: boolean },
): Pass {
  const n = hidden.shape[0]!
  const { dtype } = hidden
  const exact = statistics(dtype)
  const attrs = [options.ignoreIndex, options.labelSmoothing]
  const losses = filled({ shape: [n], dtype: exact }, 0, hidden)
  const dHidden = need.hidden ? filled(hidden, 0, hidden) : undefined
  const ones =
    need.hidden || need.weight ? filled({ shape: [rows], dtype: exact }, 1, hidden) : undefined
  let dWeight = need.weight && n === 0 ? filled(weight, 0, hidden) : undefined
  /** Chunks add up in f32 whatever the dtype. */
  const withChunk = (g: Tensor, x: Tensor): Tensor => {
    if (!dWeight) return g.mT().matmul(x)
    if (dtype === exact) return productInto(dWeight, g.mT(), x, { accumulate: true })
    const sum = dWeight.to(exact).add_(g.mT().matmul(x).to(exact))
    if (sum.storage !== dWeight.storage) dWeight.dispose()
    return sum
  }
  for (let at = 0; at < n; at += rows) {
    dWeight = inScope(() => {
      const size = Math.min(rows, n - at)
      const part = (t: Tensor): Tensor => t.narrow(0, at, size)
      const x = part(hidden)
      const logits = x.linear(weight)
      const [, lse] = issue(
        'cross_entropy',
        [logits, part(target)],
        [part(losses), { shape: [size], dtype: exact }],
        attrs,
      )
      if (!ones) return undefined
      const g = issueOne(
        'cross_entropy_backward',
        [ones.narrow(0, 0, size), logits, part(target), lse],
        { shape: logits.shape, dtype },
        attrs,
      )
      if (dHidden) productInto(part(dHidden), g, weight)
      return need.weight ? withChunk(g, x) : undefined
    })
  }
  return { losses, hidden: dHidden, weight: dWeight }
}

/**
 * `crossEntropy(hidden.linear(weight), target)` without ever holding the logits of more than a few rows. The gradients are
 * computed together with the loss, where a gradient is needed; there are no second derivatives.
 * @param hidden [n, d], any float dtype; the loss is f32 (f64 for f64)
 * @param weight [classes, d], of hidden's dtype
 * @param target [n], i32 class or `ignoreIndex`
 * @returns one number
 * @throws ShapeError, DTypeError when the three do not fit
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  target: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  const op = 'linearCrossEntropy'
  const settings = lossOptions(op, options)
  wantTensors(op, { hidden, weight, target })
  if ((settings.reduction as string) === 'none')
    throw new ShaktiError(op, `reduction is 'mean' or 'sum', got 'none'. Use crossEntropy.`)
  const [n, d] = hidden.shape
  const classes = weight.shape[0]
  if (
    hidden.ndim !== 2 ||
    weight.ndim !== 2 ||
    target.ndim !== 1 ||
    weight.shape[1] !== d ||
    target.shape[0] !== n ||
    classes === 0
  ) {
    throw new ShapeError(
      op,
      `needs hidden [n, d], weight [classes, d] and target [n], got ${hidden.describe()}, ${weight.describe()} and ${target.describe()}.`,
      [hidden.shape, weight.shape, target.shape],
    )
  }
  if (hidden.dtype !== weight.dtype || !isFloating(hidden.dtype)) {
    throw new DTypeError(
      op,
      `needs two equal floating dtypes, got ${hidden.describe()} and ${weight.describe()}. Convert one with .to(...).`,
    )
  }
  checkIndex(op, target)
  const size = dtypeSize(hidden.dtype)
  const { rows = Math.floor(Math.max(leastBytesOfColumn, logitBytes / classes!) / size) } = options
  if (!Number.isInteger(rows) || rows < 1)
    throw new ShaktiError(op, `rows is an integer from 1, got ${rows}.`)

  const tracked = tracks([hidden, weight])
  const need = { hidden: tracked && hidden.requiresGrad, weight: tracked && weight.requiresGrad }
  const { total, grads } = noGrad(() =>
    inScope(() => {
      const pass = run({ hidden, weight, target }, settings, Math.min(rows, Math.max(n!, 1)), need)
      return { total: pass.losses.sum(), grads: [pass.hidden, pass.weight] }
    }),
  )
  if (tracked) {
    const saved = grads.flatMap((t) =>
      t ? [{ tensor: t.alias(), version: t.storage.version }] : [],
    )
    record(
      op,
      total,
      [hidden, weight],
      (g, node) => {
        if (isGradEnabled())
          throw new AutogradError(op, 'has no second derivative. Use linear and crossEntropy.')
        let i = 0
        const scaled = (wanted: boolean): Tensor | undefined =>
          wanted ? node.saved(i++).to(g.dtype).mul(g) : undefined
        return [scaled(need.hidden), scaled(need.weight)]
      },
      saved,
    )
  }
  if (anomaly.on) anomaly.check(op, [total])
  return reduced(total, target, settings)
}
