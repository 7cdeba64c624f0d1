// Ops that move elements or only look at them differently. The first group makes views: no copy, no native call.
import { record } from './table.js'
import { tracks, type InputMeta } from '../autograd/tape.js'
import { DisposedError, DTypeError, ShapeError } from '../errors.js'
import { promote } from '../dtype.js'
import { filled, issueOne, type Meta } from '../native/encode.js'
import {
  broadcastShapes,
  broadcastStrides,
  checkList,
  checkShape,
  formatShape,
  inferShape,
  normalizeDim,
  normalizeDims,
  numel,
  sameShape,
  viewStrides,
  type Shape,
} from '../shape.js'
import { Tensor } from '../tensor.js'
import { wantInteger, wantNumber, wantTensorList, wantTensors } from './checks.js'
import { op } from './table.js'

/** [start, end, step] of a dimension; negative places count from the end, null takes all of it. */
export type SliceRange = readonly [start: number, end?: number, step?: number] | null

export interface ShapeOps {
  /** Another shape with the same elements in the same order; one size may be -1. A view where possible, else a copy. */
  reshape(shape: readonly number[]): Tensor
  /** As reshape, but refuses to copy. */
  view(shape: readonly number[]): Tensor
  /** Dimensions startDim .. endDim as one. */
  flatten(startDim?: number, endDim?: number): Tensor
  /** Swaps two dimensions. */
  transpose(a: number, b: number): Tensor
  /** Swaps the last two dimensions. */
  mT(): Tensor
  /** A matrix with rows and columns exchanged; a vector as it is. */
  t(): Tensor
  /** Dimensions in a new order. */
  permute(dims: readonly number[]): Tensor
  /** Moves one dimension to another place. */
  movedim(from: number, to: number): Tensor
  /** A new dimension of size 1. */
  unsqueeze(dim: number): Tensor
  /** Without a dimension of size 1, or without all of them. */
  squeeze(dim?: number): Tensor
  /** Sizes of 1 stretched to `shape` (-1 keeps a size), without a copy. */
  expand(shape: readonly number[]): Tensor
  broadcastTo(shape: readonly number[]): Tensor
  /** Stretched to the shape of `other`. */
  expandAs(other: Tensor): Tensor
  /** One dimension as several: `sizes` multiply to its size, one may be -1. */
  unflatten(dim: number, sizes: readonly number[]): Tensor
  /** `length` elements of `dim` from `start`. */
  narrow(dim: number, start: number, length: number): Tensor
  /** One index of `dim`, which disappears. */
  select(dim: number, index: number): Tensor
  /** A range a dimension, from the first dimension on: `x.slice([0, 2], null, [-3])`. */
  slice(...ranges: SliceRange[]): Tensor
  /** Parts of `size` (the last may be smaller), or of the given sizes. */
  split(size: number | readonly number[], dim?: number): Tensor[]
  /** Every index of `dim` by itself, without that dimension. */
  unbind(dim?: number): Tensor[]
  /** n parts of about equal size. */
  chunk(n: number, dim?: number): Tensor[]
  /** Grown by [before, after] elements of `value`, for the last dimensions. Negative numbers cut. */
  pad(pads: readonly (readonly [number, number])[], value?: number): Tensor
  /** In reverse order along the dims. */
  flip(dims: number | readonly number[]): Tensor
  /** Moved along `dim` by `shift`, what leaves at the end comes in at the front. Without a dim: as if it were 1-D. */
  roll(shift: number | readonly number[], dim?: number | readonly number[]): Tensor
  /** Repeated that many times along each dimension. */
  repeat(times: readonly number[]): Tensor
  /** Each element of `dim` `times` times in a row; of the flattened tensor without a dim. */
  repeatInterleave(times: number, dim?: number): Tensor
  /** The lower triangle of the last two dimensions; zero above the diagonal. */
  tril(diagonal?: number): Tensor
  triu(diagonal?: number): Tensor
}

/** A view with a gradient rule. */
function viewOf(
  name: string,
  x: Tensor,
  shape: Shape,
  strides: Shape,
  offset: number,
  rule: (g: Tensor, meta: InputMeta) => Tensor,
): Tensor {
  if (x.disposed) throw new DisposedError(name, `${x.describe()} was disposed.`)
  const out = new Tensor(x.storage, x.dtype, shape, strides, offset)
  if (tracks([x])) record(name, out, [x], (g, node) => [rule(g, node.metas[0]!)], [])
  return out
}

function view(x: Tensor, shape: readonly number[]): Tensor {
  const target = inferShape('view', shape, x.shape)
  const strides = viewStrides(x.shape, x.strides, target)
  if (!strides) {
    throw new ShapeError(
      'view',
      `${x.describe()} with strides ${formatShape(x.strides)} cannot be seen as ${formatShape(target)} without a copy. Use reshape().`,
      [x.shape, target],
    )
  }
  return viewOf('view', x, target, strides, x.offset, (g, m) => g.reshape(m.shape))
}

function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const target = inferShape('reshape', shape, x.shape)
  const strides = viewStrides(x.shape, x.strides, target)
  return strides
    ? viewOf('reshape', x, target, strides, x.offset, (g, m) => g.reshape(m.shape))
    : view(x.contiguous(), target)
}

function permute(x: Tensor, dims: readonly number[]): Tensor {
  checkList('permute', 'dims', dims)
  const order = dims.map((d) => normalizeDim('permute', d, x.ndim))
  if (order.length !== x.ndim || new Set(order).size !== x.ndim) {
    throw new ShapeError(
      'permute',
      `[${dims.join(', ')}] does not name each of the ${x.ndim} dims of ${x.describe()} once.`,
      [x.shape],
    )
  }
  const back = order.map((_, d) => order.indexOf(d))
  return viewOf(
    'permute',
    x,
    order.map((d) => x.shape[d]!),
    order.map((d) => x.strides[d]!),
    x.offset,
    (g) => g.permute(back),
  )
}

function transpose(x: Tensor, a: number, b: number): Tensor {
  const order = x.shape.map((_, d) => d)
  const i = normalizeDim('transpose', a, x.ndim)
  const j = normalizeDim('transpose', b, x.ndim)
  if (x.ndim === 0) return x
  ;[order[i], order[j]] = [order[j]!, order[i]!]
  return permute(x, order)
}

function expand(x: Tensor, shape: readonly number[]): Tensor {
  checkList('expand', 'sizes', shape)
  const lead = shape.length - x.ndim
  const target = shape.map((s, d) => (s === -1 && d >= lead ? x.shape[d - lead]! : s))
  checkShape('expand', target)
  if (lead < 0 || !sameShape(broadcastShapes('expand', x.shape, target), target)) {
    throw new ShapeError('expand', `${x.describe()} does not stretch to ${formatShape(target)}.`, [
      x.shape,
      target,
    ])
  }
  if (sameShape(x.shape, target)) return x
  // The engine sums the gradient over what was stretched.
  return viewOf(
    'expand',
    x,
    target,
    broadcastStrides(x.shape, x.strides, target),
    x.offset,
    (g) => g,
  )
}

function narrow(
  x: Tensor,
  dim: number,
  start: number,
  length: number,
  step = 1,
  name = 'narrow',
): Tensor {
  const d = normalizeDim(name, dim, x.ndim)
  const size = x.shape[d] ?? 0
  if (
    x.ndim === 0 ||
    !Number.isInteger(start) ||
    !Number.isInteger(length) ||
    start < 0 ||
    length < 0 ||
    (length > 0 && start + (length - 1) * step >= size) ||
    start > size
  ) {
    throw new ShapeError(
      name,
      `${length} elements from ${start} do not lie in dim ${d} of ${x.describe()} (size ${size}).`,
      [x.shape],
    )
  }
  const shape = x.shape.map((s, i) => (i === d ? length : s))
  const strides = x.strides.map((s, i) => (i === d ? s * step : s))
  // An empty view starts nowhere in particular; at 0 it stays inside the storage.
  const offset = numel(shape) === 0 ? x.offset : x.offset + start * x.strides[d]!
  const of = (whole: Tensor): Tensor => narrow(whole, d, start, length, step)
  const out = viewOf('narrow', x, shape, strides, offset, (g, m) => {
    const whole = filled(m, 0, g)
    issueOne('copy', [g], of(whole))
    return whole
  })
  if (out.gradFn) out.gradFn.part = { dim: d, from: start, to: start + length * step, of }
  return out
}

function slice(x: Tensor, ...ranges: SliceRange[]): Tensor {
  if (ranges.length > x.ndim) {
    throw new ShapeError(
      'slice',
      `${ranges.length} ranges for ${x.ndim} dimensions of ${x.describe()}.`,
      [x.shape],
    )
  }
  return ranges.reduce<Tensor>((t, range, d) => {
    if (range === null) return t
    const size = t.shape[d]!
    checkList('slice', 'a start, an end and a step for each dim', range)
    const [from, to = size, step = 1] = range
    if (!Number.isInteger(step) || step < 1) {
      throw new ShapeError(
        'slice',
        `the step of dim ${d} must be an integer from 1, got ${step}. Use flip() to go backwards.`,
      )
    }
    const place = (v: number): number => Math.min(Math.max(v < 0 ? v + size : v, 0), size)
    const start = place(from)
    const length = Math.max(0, Math.ceil((place(to) - start) / step))
    return narrow(t, d, start, length, step, 'slice')
  }, x)
}

function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  const d = normalizeDim('split', dim, x.ndim)
  const total = x.shape[d] ?? 0
  let sizes: readonly number[]
  if (typeof size === 'number') {
    if (!Number.isInteger(size) || size < 1)
      throw new ShapeError('split', `the size of a part is an integer from 1, got ${size}.`)
    sizes = Array.from({ length: Math.max(1, Math.ceil(total / size)) }, (_, i) =>
      Math.min(size, total - i * size),
    )
  } else {
    checkList('split', 'sizes', size)
    sizes = size
  }
  if (sizes.reduce((a, b) => a + b, 0) !== total) {
    throw new ShapeError(
      'split',
      `sizes [${sizes.join(', ')}] do not add up to ${total}, dim ${d} of ${x.describe()}.`,
      [x.shape],
    )
  }
  let at = 0
  return sizes.map((s) => {
    const part = narrow(x, d, at, s, 1, 'split')
    at += s
    return part
  })
}

const catRow = (dim: number, tensors: readonly Tensor[]): Tensor => {
  const first = tensors[0]!
  const shape = first.shape.map((s, d) =>
    d === dim ? tensors.reduce((n, t) => n + t.shape[d]!, 0) : s,
  )
  const out = issueOne('cat', tensors, { shape, dtype: first.dtype }, [dim])
  if (tracks(tensors)) {
    record(
      'cat',
      out,
      tensors,
      (g, node) => {
        const parts = split(
          g,
          node.metas.map((m) => m!.shape[dim]!),
          dim,
        )
        return parts.map((p, i) => (node.needs(i) ? p : undefined))
      },
      [],
    )
  }
  return out
}

// A command holds so many operands; longer lists are cut.
const perCommand = 500

function firstOf(name: string, tensors: readonly Tensor[]): Tensor {
  checkList(name, 'tensors', tensors)
  const first = tensors[0]
  if (!first) throw new ShapeError(name, 'needs at least one tensor.')
  wantTensorList(name, tensors)
  return first
}

/** Tensors one after the other along `dim`; the other sizes must agree, dtypes promote. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  const first = firstOf('cat', tensors)
  const d = normalizeDim('cat', dim, first.ndim)
  for (const t of tensors) {
    if (
      t.ndim !== first.ndim ||
      first.ndim === 0 ||
      t.shape.some((s, i) => i !== d && s !== first.shape[i])
    ) {
      throw new ShapeError(
        'cat',
        `${t.describe()} does not continue ${first.describe()} along dim ${d}.`,
        [first.shape, t.shape],
      )
    }
  }
  const dtype = tensors.reduce((a, t) => promote(a, t.dtype), first.dtype)
  if (tensors.length > perCommand) {
    const parts: Tensor[] = []
    for (let i = 0; i < tensors.length; i += perCommand)
      parts.push(cat(tensors.slice(i, i + perCommand), d).to(dtype))
    return cat(parts, d)
  }
  return catRow(
    d,
    tensors.map((t) => t.to(dtype)),
  )
}

/** Tensors of one shape along a new dimension. */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  const first = firstOf('stack', tensors)
  for (const t of tensors) {
    if (!sameShape(t.shape, first.shape)) {
      throw new ShapeError(
        'stack',
        `all shapes must be equal, got ${first.describe()} and ${t.describe()}.`,
        [first.shape, t.shape],
      )
    }
  }
  const d = normalizeDim('stack', dim, first.ndim + 1)
  return cat(
    tensors.map((t) => unsqueeze(t, d)),
    d,
  )
}

function unsqueeze(x: Tensor, dim: number): Tensor {
  const d = normalizeDim('unsqueeze', dim, x.ndim + 1)
  const shape = [...x.shape]
  shape.splice(d, 0, 1)
  return reshape(x, shape)
}

const padRow = op({
  command: 'pad',
  inputs: ['x'],
  outputs: ['out'],
  check: (
    { x },
    { before, after }: { before: readonly number[]; after: readonly number[]; value: number },
  ) => ({
    out: { shape: x.shape.map((s, d) => s + before[d]! + after[d]!), dtype: x.dtype },
  }),
  encode: ({ before, value }) => [value, before.length, ...before],
  saves: [],
  grad: (g, _, { attrs: { before }, metas }) => ({
    x: metas.x.shape.reduce((t, s, d) => narrow(t, d, before[d]!, s), g),
  }),
})

function pad(x: Tensor, pads: readonly (readonly [number, number])[], value = 0): Tensor {
  checkList('pad', '[before, after] pairs', pads)
  wantNumber('pad', 'value', value)
  const lead = x.ndim - pads.length
  if (lead < 0 || pads.some((p) => p.length !== 2 || !p.every(Number.isInteger))) {
    throw new ShapeError('pad', `needs at most ${x.ndim} pairs of integers for ${x.describe()}.`, [
      x.shape,
    ])
  }
  const full = x.shape.map((_, d) => (d < lead ? ([0, 0] as const) : pads[d - lead]!))
  const cut = full.reduce<Tensor>((t, [b, a], d) => {
    const start = Math.max(0, -b)
    const length = t.shape[d]! - start - Math.max(0, -a)
    return start === 0 && length === t.shape[d] ? t : narrow(t, d, start, length, 1, 'pad')
  }, x)
  const before = full.map(([b]) => Math.max(0, b))
  const after = full.map(([, a]) => Math.max(0, a))
  checkShape(
    'pad',
    cut.shape.map((s, d) => s + before[d]! + after[d]!),
  )
  return padRow({ x: cut }, { before, after, value }).out
}

const flipRow = op({
  command: 'flip',
  inputs: ['x'],
  outputs: ['out'],
  check: ({ x }, _: { dims: readonly number[] }) => ({ out: { shape: x.shape, dtype: x.dtype } }),
  encode: ({ dims }) => [dims.length, ...dims],
  saves: [],
  grad: (g, _, { attrs: { dims } }) => ({ x: g.flip(dims) }),
})

function triangle(command: 'tril' | 'triu') {
  const row = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: ({ x }, _: { diagonal: number }): { out: Meta } => {
      if (x.ndim < 2)
        throw new ShapeError(command, `needs a matrix, got ${x.describe()}.`, [x.shape])
      return { out: { shape: x.shape, dtype: x.dtype } }
    },
    encode: ({ diagonal }) => [diagonal],
    saves: [],
    grad: (g, _, { attrs: { diagonal } }) => ({ x: g[command](diagonal) }),
  })
  return (x: Tensor, diagonal = 0): Tensor => {
    wantInteger(command, 'the diagonal', diagonal)
    return row({ x }, { diagonal }).out
  }
}

function rollOne(x: Tensor, shift: number, dim: number): Tensor {
  wantInteger('roll', 'a shift', shift)
  const d = normalizeDim('roll', dim, x.ndim)
  const size = x.shape[d] ?? 0
  if (size === 0) return x
  const by = ((shift % size) + size) % size
  return by === 0 ? x : cat([narrow(x, d, size - by, by), narrow(x, d, 0, size - by)], d)
}

/** Dimension d n times over: the whole of it, or each element in a row. */
function repeatDim(x: Tensor, d: number, n: number, each: boolean): Tensor {
  if (n === 1) return x
  const before = numel(x.shape.slice(0, d))
  const after = numel(x.shape.slice(d + 1))
  const size = x.shape[d]!
  const shape = x.shape.map((s, i) => (i === d ? s * n : s))
  checkShape(each ? 'repeatInterleave' : 'repeat', shape)
  const [apart, grown] = each
    ? [
        [before * size, 1, after],
        [before * size, n, after],
      ]
    : [
        [before, 1, size * after],
        [before, n, size * after],
      ]
  return reshape(expand(reshape(x, apart), grown), shape)
}

export const shapeOps: {
  [K in keyof ShapeOps]: (x: Tensor, ...args: Parameters<ShapeOps[K]>) => ReturnType<ShapeOps[K]>
} = {
  reshape,
  view,
  flatten: (x, startDim = 0, endDim = -1) => {
    const a = normalizeDim('flatten', startDim, x.ndim)
    const b = normalizeDim('flatten', endDim, x.ndim)
    if (a > b) throw new ShapeError('flatten', `startDim ${startDim} lies after endDim ${endDim}.`)
    return reshape(x, [
      ...x.shape.slice(0, a),
      numel(x.shape.slice(a, b + 1)),
      ...x.shape.slice(b + 1),
    ])
  },
  transpose,
  mT: (x) => {
    if (x.ndim < 2) throw new ShapeError('mT', `needs a matrix, got ${x.describe()}.`, [x.shape])
    return transpose(x, -2, -1)
  },
  t: (x) => {
    if (x.ndim > 2) throw new ShapeError('t', `needs a matrix, got ${x.describe()}.`, [x.shape])
    return x.ndim === 2 ? transpose(x, 0, 1) : x
  },
  permute,
  movedim: (x, from, to) => {
    const a = normalizeDim('movedim', from, x.ndim)
    const b = normalizeDim('movedim', to, x.ndim)
    if (a === b) return x
    const order = x.shape.map((_, d) => d).filter((d) => d !== a)
    order.splice(b, 0, a)
    return permute(x, order)
  },
  unsqueeze,
  squeeze: (x, dim) => {
    if (dim === undefined)
      return reshape(
        x,
        x.shape.filter((s) => s !== 1),
      )
    const d = normalizeDim('squeeze', dim, x.ndim)
    return x.shape[d] === 1
      ? reshape(
          x,
          x.shape.filter((_, i) => i !== d),
        )
      : x
  },
  expand,
  broadcastTo: expand,
  expandAs: (x, other) => {
    wantTensors('expandAs', { other })
    return expand(x, other.shape)
  },
  unflatten: (x, dim, sizes) => {
    const d = normalizeDim('unflatten', dim, x.ndim)
    const inner = inferShape('unflatten', sizes, x.shape.slice(d, d + 1))
    return reshape(x, [...x.shape.slice(0, d), ...inner, ...x.shape.slice(d + 1)])
  },
  narrow: (x, dim, start, length) => narrow(x, dim, start, length),
  select: (x, dim, index) => {
    const d = normalizeDim('select', dim, x.ndim)
    const at = index < 0 ? index + (x.shape[d] ?? 0) : index
    return reshape(
      narrow(x, d, at, 1, 1, 'select'),
      x.shape.filter((_, i) => i !== d),
    )
  },
  slice,
  split,
  unbind: (x, dim = 0) => {
    const d = normalizeDim('unbind', dim, x.ndim)
    if (x.ndim === 0)
      throw new ShapeError('unbind', 'a single number has no dimension to take apart.')
    return Array.from({ length: x.shape[d]! }, (_, i) => shapeOps.select(x, d, i))
  },
  chunk: (x, n, dim = 0) => {
    if (!Number.isInteger(n) || n < 1)
      throw new ShapeError('chunk', `the number of parts is an integer from 1, got ${n}.`)
    const d = normalizeDim('chunk', dim, x.ndim)
    const size = x.shape[d] ?? 0
    // As PyTorch: of nothing, n times nothing.
    if (size === 0 && x.ndim > 0) return Array.from({ length: n }, () => narrow(x, d, 0, 0))
    return split(x, Math.max(1, Math.ceil(size / n)), dim)
  },
  pad,
  flip: (x, dims) => {
    const list = normalizeDims('flip', dims, x.ndim)
    return list.length === 0 || x.ndim === 0 ? x : flipRow({ x }, { dims: list }).out
  },
  roll: (x, shift, dim) => {
    if (dim === undefined) return reshape(shapeOps.roll(reshape(x, [x.numel]), shift, 0), x.shape)
    const shifts = typeof shift === 'object' ? shift : [shift]
    const dims = typeof dim === 'object' ? dim : [dim]
    if (shifts.length !== dims.length)
      throw new ShapeError('roll', `${shifts.length} shifts for ${dims.length} dims.`)
    return dims.reduce<Tensor>((t, one, i) => rollOne(t, shifts[i]!, one), x)
  },
  repeat: (x, times) => {
    checkList('repeat', 'numbers', times)
    if (times.length < x.ndim || times.some((n) => !Number.isInteger(n) || n < 0)) {
      throw new ShapeError(
        'repeat',
        `needs an integer from 0 for each of the ${x.ndim} dims of ${x.describe()}, got [${times.join(', ')}].`,
        [x.shape],
      )
    }
    const shape = [...new Array<number>(times.length - x.ndim).fill(1), ...x.shape]
    checkShape(
      'repeat',
      shape.map((s, d) => s * times[d]!),
    )
    return times.reduceRight((t, n, d) => repeatDim(t, d, n, false), reshape(x, shape))
  },
  repeatInterleave: (x, times, dim) => {
    if (!Number.isSafeInteger(times) || times < 0)
      throw new ShapeError('repeatInterleave', `times is an integer from 0, got ${times}.`)
    if (dim === undefined) return repeatDim(reshape(x, [x.numel]), 0, times, true)
    const d = normalizeDim('repeatInterleave', dim, x.ndim)
    return repeatDim(x.ndim === 0 ? reshape(x, [1]) : x, d, times, true)
  },
  tril: triangle('tril'),
  triu: triangle('triu'),
}

/** Refuses tensors of different dtype where an op cannot convert. */
export function sameDType(name: string, ...tensors: readonly (Tensor | undefined)[]): void {
  const given = tensors.filter((t) => t !== undefined)
  if (given.some((t) => t.dtype !== given[0]!.dtype)) {
    throw new DTypeError(name, `needs one dtype, got ${given.map((t) => t.describe()).join(', ')}.`)
  }
}
