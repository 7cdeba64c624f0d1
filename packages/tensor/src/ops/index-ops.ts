// Ops that read or write at places given by another tensor. Places are i32 (i64 is accepted), counted from 0; one
// outside is found while the stream runs and makes the next read fail.
import { DTypeError, ShapeError } from '../errors.js'
import { filled, issueOne } from '../native/encode.js'
import { formatShape, normalizeDim, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { op } from './table.js'
import { sameDType } from './shape-ops.js'

export interface IndexOps {
  /** out[i][j] = this[index[i][j]][j] for dim 0, and so on for the others. Sizes of `index` may be smaller off `dim`. */
  gather(dim: number, index: Tensor): Tensor
  /** A copy with `source` added at the places of `index` along `dim`; repeated places add up, in a fixed order. */
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor
  /** The slices of `dim` that `index` (1-D) names. */
  indexSelect(dim: number, index: Tensor): Tensor
  /** A copy with the slices of `source` added to those that `index` (1-D) names. */
  indexAdd(dim: number, index: Tensor, source: Tensor): Tensor
  /** Elements of the flattened tensor, in the shape of `index`. */
  take(index: Tensor): Tensor
}

export function checkIndex(name: string, index: Tensor): void {
  wantTensors(name, { index })
  if (index.dtype !== 'i32' && index.dtype !== 'i64') {
    throw new DTypeError(
      name,
      `places must be i32 (or i64), got ${index.describe()}. Convert with .to('i32').`,
    )
  }
}

interface DimAttr {
  readonly dim: number
}

const gatherRow = op({
  command: 'gather',
  inputs: ['x', 'index'],
  outputs: ['out'],
  check: ({ x, index }, { dim }: DimAttr) => {
    if (index.ndim !== x.ndim || index.shape.some((s, d) => d !== dim && s > x.shape[d]!)) {
      throw new ShapeError(
        'gather',
        `index ${index.describe()} does not fit ${x.describe()} off dim ${dim}.`,
        [x.shape, index.shape],
      )
    }
    return { out: { shape: index.shape, dtype: x.dtype } }
  },
  encode: ({ dim }) => [dim],
  saves: ['index'],
  grad: (g, { index }, { attrs: { dim }, metas }) => ({
    x: filled(metas.x, 0, g).scatterAdd(dim, index, g),
  }),
})

const scatterAddRow = op({
  command: 'scatter_add',
  inputs: ['x', 'index', 'src'],
  outputs: ['out'],
  check: ({ x, index, src }, { dim }: DimAttr) => {
    const fits = index.ndim === x.ndim && index.shape.every((s, d) => d === dim || s <= x.shape[d]!)
    if (!fits || !sameShape(index.shape, src.shape)) {
      throw new ShapeError(
        'scatterAdd',
        `index ${formatShape(index.shape)} and source ${formatShape(src.shape)} must be equal and fit ${x.describe()} off dim ${dim}.`,
        [x.shape, index.shape, src.shape],
      )
    }
    return { out: { shape: x.shape, dtype: x.dtype } }
  },
  encode: ({ dim }) => [dim],
  saves: ['index'],
  grad: (g, { index }, { attrs: { dim }, need }) => ({
    x: need.x ? g : undefined,
    src: need.src ? g.gather(dim, index) : undefined,
  }),
})

function checkSlices(name: string, index: Tensor): void {
  checkIndex(name, index)
  if (index.ndim !== 1)
    throw new ShapeError(name, `index must have one dimension, got ${index.describe()}.`, [
      index.shape,
    ])
}

const indexSelectRow = op({
  command: 'index_select',
  inputs: ['x', 'index'],
  outputs: ['out'],
  check: ({ x, index }, { dim }: DimAttr) => ({
    out: { shape: x.shape.map((s, d) => (d === dim ? index.shape[0]! : s)), dtype: x.dtype },
  }),
  encode: ({ dim }) => [dim],
  saves: ['index'],
  grad: (g, { index }, { attrs: { dim }, metas }) => ({
    x: filled(metas.x, 0, g).indexAdd(dim, index, g),
  }),
})

const indexAddRow = op({
  command: 'index_add',
  inputs: ['x', 'index', 'src'],
  outputs: ['out'],
  check: ({ x, index, src }, { dim }: DimAttr) => {
    const want = x.shape.map((s, d) => (d === dim ? index.shape[0]! : s))
    if (!sameShape(src.shape, want)) {
      throw new ShapeError(
        'indexAdd',
        `source must be ${formatShape(want)}, got ${src.describe()}.`,
        [x.shape, src.shape],
      )
    }
    return { out: { shape: x.shape, dtype: x.dtype } }
  },
  encode: ({ dim }) => [dim],
  saves: ['index'],
  grad: (g, { index }, { attrs: { dim }, need }) => ({
    x: need.x ? g : undefined,
    src: need.src ? g.indexSelect(dim, index) : undefined,
  }),
})

/**
 * Sums of 16-bit numbers are formed in f32: one by one in bf16, 256 ones and a thousand more are still 256.
 * @param add gets x and source in the dtype of the sums
 */
function summed(x: Tensor, source: Tensor, add: (x: Tensor, source: Tensor) => Tensor): Tensor {
  if (x.dtype !== 'bf16' && x.dtype !== 'f16') return add(x, source)
  return add(x.to('f32'), source.to('f32')).to(x.dtype)
}

const indexSelect = (x: Tensor, dim: number, index: Tensor): Tensor => {
  checkSlices('indexSelect', index)
  return indexSelectRow({ x, index }, { dim: normalizeDim('indexSelect', dim, x.ndim) }).out
}

export const indexOps: {
  [K in keyof IndexOps]: (x: Tensor, ...args: Parameters<IndexOps[K]>) => Tensor
} = {
  gather: (x, dim, index) => {
    checkIndex('gather', index)
    return gatherRow({ x, index }, { dim: normalizeDim('gather', dim, x.ndim) }).out
  },
  scatterAdd: (x, dim, index, src) => {
    checkIndex('scatterAdd', index)
    wantTensors('scatterAdd', { source: src })
    sameDType('scatterAdd', x, src)
    const d = normalizeDim('scatterAdd', dim, x.ndim)
    return summed(x, src, (to, from) => scatterAddRow({ x: to, index, src: from }, { dim: d }).out)
  },
  indexSelect,
  indexAdd: (x, dim, index, src) => {
    checkSlices('indexAdd', index)
    wantTensors('indexAdd', { source: src })
    sameDType('indexAdd', x, src)
    const d = normalizeDim('indexAdd', dim, x.ndim)
    return summed(x, src, (to, from) => indexAddRow({ x: to, index, src: from }, { dim: d }).out)
  },
  take: (x, index) => {
    checkIndex('take', index)
    return indexSelect(x.reshape([-1]), 0, index.reshape([-1])).reshape(index.shape)
  },
}

const embeddingRow = op({
  command: 'embedding',
  inputs: ['weight', 'ids'],
  outputs: ['out'],
  check: ({ weight, ids }, _: { paddingIdx: number }) => {
    if (weight.ndim !== 2) {
      throw new ShapeError(
        'embedding',
        `weight must be [vocabulary, width], got ${weight.describe()}.`,
        [weight.shape],
      )
    }
    return { out: { shape: [...ids.shape, weight.shape[1]!], dtype: weight.dtype } }
  },
  encode: () => [],
  saves: ['ids'],
  grad: (g, { ids }, { attrs: { paddingIdx }, metas }) => ({
    weight: issueOne(
      'embedding_backward',
      [g, ids],
      { shape: metas.weight.shape, dtype: g.dtype },
      [paddingIdx],
    ),
  }),
})

/**
 * Rows of `weight` ([vocabulary, width]) at `ids` (i32, any shape): ids.shape + [width].
 * @param options.paddingIdx an id whose row gets no gradient
 */
export function embedding(
  ids: Tensor,
  weight: Tensor,
  options: { paddingIdx?: number } = {},
): Tensor {
  wantTensors('embedding', { weight })
  checkIndex('embedding', ids)
  return embeddingRow({ weight, ids }, { paddingIdx: options.paddingIdx ?? -1 }).out
}
