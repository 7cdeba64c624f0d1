// Normalisations over the last dimension. Statistics are kept in f32 (f64 for f64).
import { DTypeError, ShaktiError, ShapeError } from '../errors.js'
import { isFloating, type DType } from '../dtype.js'
import { issue } from '../native/encode.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { op } from './table.js'

export const statistics = (dtype: DType): DType => (dtype === 'f64' ? 'f64' : 'f32')

export function checkEps(name: string, eps: number): void {
  if (!(eps >= 0)) throw new ShaktiError(name, `eps must be a number from 0, got ${eps}.`)
}

export function checkNorm(name: string, x: Tensor, ...params: (Tensor | undefined)[]): void {
  if (!isFloating(x.dtype))
    throw new DTypeError(name, `needs a floating tensor, got ${x.describe()}.`)
  if (x.ndim === 0)
    throw new ShapeError(name, `needs at least one dimension, got ${x.describe()}.`, [x.shape])
  const width = x.shape[x.ndim - 1]
  for (const p of params) {
    if (p && (p.ndim !== 1 || p.shape[0] !== width)) {
      throw new ShapeError(
        name,
        `weight and bias must be [${width}] for x ${x.describe()}, got ${p.describe()}.`,
        [x.shape, p.shape],
      )
    }
  }
}

const layerNormRow = op({
  command: 'layer_norm',
  inputs: ['x', 'weight?', 'bias?'],
  outputs: ['out', 'mean', 'rstd'],
  check: ({ x, weight, bias }, _: { eps: number }) => {
    checkNorm('layerNorm', x, weight, bias)
    const rows = { shape: x.shape.slice(0, -1), dtype: statistics(x.dtype) }
    return { out: { shape: x.shape, dtype: x.dtype }, mean: rows, rstd: rows }
  },
  encode: ({ eps }) => [eps],
  saves: ['x', 'weight', 'mean', 'rstd'],
  grad: (g, { x, weight, mean, rstd }, { metas, need }) => {
    const of = (m: typeof metas.weight, wanted: boolean) =>
      m && wanted ? { shape: m.shape, dtype: m.dtype } : undefined
    const [dx, dweight, dbias] = issue(
      'layer_norm_backward',
      [g, x, weight, mean, rstd],
      [metas.x, of(metas.weight, need.weight), of(metas.bias, need.bias)],
    )
    return { x: dx, weight: dweight, bias: dbias }
  },
})

const rmsNormRow = op({
  command: 'rms_norm',
  inputs: ['x', 'weight?'],
  outputs: ['out', 'rstd'],
  check: ({ x, weight }, _: { eps: number }) => {
    checkNorm('rmsNorm', x, weight)
    return {
      out: { shape: x.shape, dtype: x.dtype },
      rstd: { shape: x.shape.slice(0, -1), dtype: statistics(x.dtype) },
    }
  },
  encode: ({ eps }) => [eps],
  saves: ['x', 'weight', 'rstd'],
  grad: (g, { x, weight, rstd }, { metas, need }) => {
    const [dx, dweight] = issue(
      'rms_norm_backward',
      [g, x, weight, rstd],
      [metas.x, metas.weight && need.weight ? metas.weight : undefined],
    )
    return { x: dx, weight: dweight }
  },
})

/**
 * (x - mean) / sqrt(var + eps) * weight + bias over the last dimension (arXiv 1607.06450).
 * @param weight [width], 1 when left out
 * @param bias [width], 0 when left out
 */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, eps = 1e-5): Tensor {
  wantTensors('layerNorm', { x }, { weight, bias })
  checkEps('layerNorm', eps)
  return layerNormRow({ x, weight, bias }, { eps }).out
}

/** x / sqrt(mean(x²) + eps) * weight over the last dimension (arXiv 1910.07467, equation 4). */
export function rmsNorm(x: Tensor, weight?: Tensor, eps = 1e-6): Tensor {
  wantTensors('rmsNorm', { x }, { weight })
  checkEps('rmsNorm', eps)
  return rmsNormRow({ x, weight }, { eps }).out
}
