// Order along a dimension. The kernels work on the last one; another is moved there.
import { ShapeError } from '../errors.js'
import { filled } from '../native/encode.js'
import { normalizeDim } from '../shape.js'
import type { Tensor } from '../tensor.js'
import type { ValuesAndIndices } from './reduce.js'
import { op } from './table.js'

export interface SortOps {
  /** Values in order and where they stood (i32). Stable; NaN counts as the largest. */
  sort(dim?: number, options?: { descending?: boolean }): ValuesAndIndices
  /** Where the elements stand in order (i32), as `sort` gives it. */
  argsort(dim?: number, options?: { descending?: boolean }): Tensor
  /** The k largest (or smallest) in order, and where they stood (i32). */
  topk(k: number, dim?: number, options?: { largest?: boolean }): ValuesAndIndices
}

const sortRow = op({
  command: 'sort',
  inputs: ['x'],
  outputs: ['values', 'indices'],
  check: ({ x }, _: { descending: boolean }) => ({
    values: { shape: x.shape, dtype: x.dtype },
    indices: { shape: x.shape, dtype: 'i32' as const },
  }),
  encode: ({ descending }) => [descending ? 1 : 0],
  saves: ['indices'],
  grad: (g, { indices }, { metas }) => ({ x: filled(metas.x, 0, g).scatterAdd(-1, indices, g) }),
})

const topkRow = op({
  command: 'topk',
  inputs: ['x'],
  outputs: ['values', 'indices'],
  check: ({ x }, { k }: { k: number; largest: boolean }) => {
    const shape = [...x.shape.slice(0, -1), k]
    return { values: { shape, dtype: x.dtype }, indices: { shape, dtype: 'i32' as const } }
  },
  encode: ({ largest }) => [largest ? 1 : 0],
  saves: ['indices'],
  grad: (g, { indices }, { metas }) => ({ x: filled(metas.x, 0, g).scatterAdd(-1, indices, g) }),
})

export const sortOps = {
  sort: (
    x: Tensor,
    dim = -1,
    { descending = false }: { descending?: boolean } = {},
  ): ValuesAndIndices => {
    const d = normalizeDim('sort', dim, x.ndim)
    if (x.ndim === 0)
      throw new ShapeError('sort', 'a single number has no order; needs at least one dimension.')
    const { values, indices } = sortRow({ x: x.movedim(d, -1) }, { descending })
    return { values: values.movedim(-1, d), indices: indices.movedim(-1, d) }
  },
  argsort: (x: Tensor, dim = -1, options?: { descending?: boolean }): Tensor =>
    sortOps.sort(x.detach(), dim, options).indices,
  topk: (
    x: Tensor,
    k: number,
    dim = -1,
    { largest = true }: { largest?: boolean } = {},
  ): ValuesAndIndices => {
    const d = normalizeDim('topk', dim, x.ndim)
    const size = x.shape[d] ?? 0
    if (!Number.isInteger(k) || k < 0 || k > size) {
      throw new ShapeError(
        'topk',
        `k must be an integer from 0 to ${size}, the size of dim ${d} of ${x.describe()}, got ${k}.`,
        [x.shape],
      )
    }
    const { values, indices } = topkRow({ x: x.movedim(d, -1) }, { k, largest })
    return { values: values.movedim(-1, d), indices: indices.movedim(-1, d) }
  },
}
