// RMS normalisation of heads and their rotation as one op: what attention with QK-norm does to its queries and keys.
import { ShapeError } from '../errors.js'
import { issue } from '../native/encode.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { checkRotation, dense } from './nn.js'
import { checkEps, checkNorm, statistics } from './norm.js'
import { op } from './table.js'

const normRopeRow = op({
  command: 'norm_rope',
  inputs: ['x', 'weight?', 'cos', 'sin'],
  outputs: ['out', 'rstd'],
  check: ({ x, weight, cos, sin }, _: { eps: number }) => {
    checkNorm('normRope', x, weight)
    checkRotation('normRope', x, cos, sin)
    if (x.shape[3] === 0)
      throw new ShapeError('normRope', `needs heads of at least 2, got ${x.describe()}.`, [x.shape])
    return {
      out: { shape: x.shape, dtype: x.dtype },
      rstd: { shape: x.shape.slice(0, -1), dtype: statistics(x.dtype) },
    }
  },
  encode: ({ eps }) => [eps],
  saves: ['x', 'weight', 'cos', 'sin', 'rstd'],
  grad: (g, { x, weight, cos, sin, rstd }, { metas, need }) => {
    const [dx, dweight] = issue(
      'norm_rope_backward',
      [dense(g), x, weight, rstd, cos, sin],
      [metas.x, metas.weight && need.weight ? metas.weight : undefined],
    )
    return { x: dx, weight: dweight }
  },
})

/**
 * rope(rmsNorm(x, weight, eps), cos, sin) in one pass over memory, rounded once.
 * @param x [batch, length, heads, d], d even
 * @param weight [d], of x's dtype or f32; 1 when undefined
 * @param cos f32 [batch or 1, length, d / 2]
 * @param sin as cos
 * @returns as x
 * @throws ShapeError, DTypeError where the operands are not of these forms; ShaktiError for a negative eps
 */
export function normRope(
  x: Tensor,
  weight: Tensor | undefined,
  cos: Tensor,
  sin: Tensor,
  eps = 1e-6,
): Tensor {
  wantTensors('normRope', { x, cos, sin }, { weight })
  checkEps('normRope', eps)
  const operands = {
    x: dense(x),
    weight: weight?.contiguous(),
    cos: cos.contiguous(),
    sin: sin.contiguous(),
  }
  return normRopeRow(operands, { eps }).out
}
