// Rotary embedding, SwiGLU, dropout, convolution, interpolation.
import { DTypeError, ShapeError, ShaktiError } from '../errors.js'
import { issue, issueOne } from '../native/encode.js'
import { takeRandom } from '../random.js'
import { checkShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { sameDType } from './shape-ops.js'
import { wantTensors } from './checks.js'
import { op } from './table.js'

type NoAttrs = Record<never, never>

/** Throws unless the heads x can be rotated by these tables. */
export function checkRotation(name: string, x: Tensor, cos: Tensor, sin: Tensor): void {
  const [b, l, , d] = x.shape
  const want = x.ndim === 4 && cos.ndim === 3 && sameShape(cos.shape, sin.shape)
  if (
    !want ||
    d! % 2 !== 0 ||
    (cos.shape[0] !== 1 && cos.shape[0] !== b) ||
    cos.shape[1] !== l ||
    cos.shape[2] !== d! / 2
  ) {
    throw new ShapeError(
      name,
      `needs x [batch, length, heads, even d] with cos and sin [batch or 1, length, d / 2], got ${x.describe()}, ${cos.describe()}, ${sin.describe()}.`,
      [x.shape, cos.shape, sin.shape],
    )
  }
}

const ropeRow = op({
  command: 'rope',
  inputs: ['x', 'cos', 'sin'],
  outputs: ['out'],
  check: ({ x, cos, sin }, _: { inverse: boolean }) => {
    checkRotation('rope', x, cos, sin)
    return { out: { shape: x.shape, dtype: x.dtype } }
  },
  encode: ({ inverse }) => [inverse ? 1 : 0],
  saves: ['cos', 'sin'],
  grad: (g, { cos, sin }, { attrs: { inverse } }) => ({ x: rotate(g, cos, sin, !inverse) }),
})

/** As it is where the last dimension lies in order, else a copy. */
export const dense = (t: Tensor): Tensor => (t.strides[t.ndim - 1] === 1 ? t : t.contiguous())

/**
 * Rotary position embedding (arXiv 2104.09864, equation 34) in the half-split form of Llama: dimension i is rotated with
 * i + d/2 by the angle whose cosine and sine are given.
 * @param x [batch, length, heads, d]
 * @param cos f32 [batch or 1, length, d / 2]
 * @param sin as cos
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  wantTensors('rope', { x, cos, sin })
  return rotate(x, cos, sin, false)
}

function rotate(x: Tensor, cos: Tensor, sin: Tensor, inverse: boolean): Tensor {
  return ropeRow({ x: dense(x), cos: cos.contiguous(), sin: sin.contiguous() }, { inverse }).out
}

const swigluRow = op({
  command: 'swiglu',
  inputs: ['gate', 'up'],
  outputs: ['out'],
  check: ({ gate, up }, _: NoAttrs) => {
    if (!sameShape(gate.shape, up.shape)) {
      throw new ShapeError(
        'swiglu',
        `gate and up must have one shape, got ${gate.describe()} and ${up.describe()}.`,
        [gate.shape, up.shape],
      )
    }
    return { out: { shape: gate.shape, dtype: gate.dtype } }
  },
  saves: ['gate', 'up'],
  grad: (g, { gate, up }, { metas }) => {
    const [dgate, dup] = issue('swiglu_backward', [g, gate, up], [metas.gate, metas.up])
    return { gate: dgate, up: dup }
  },
})

/** silu(gate) * up (arXiv 2002.05202, equation 6 without the products). */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  wantTensors('swiglu', { gate, up })
  sameDType('swiglu', gate, up)
  return swigluRow({ gate, up }, {}).out
}

interface DropoutAttrs {
  readonly p: number
  readonly random: readonly number[]
}

const dropoutRow = op({
  command: 'dropout',
  inputs: ['x'],
  outputs: ['out'],
  check: ({ x }, _: DropoutAttrs) => ({ out: { shape: x.shape, dtype: x.dtype } }),
  encode: ({ p, random }) => [p, ...random],
  saves: [],
  // The same random numbers make the same mask.
  grad: (g, _, { attrs }) => ({ x: drop(g, attrs) }),
})

function drop(x: Tensor, attrs: DropoutAttrs): Tensor {
  return dropoutRow({ x }, attrs).out
}

/** Each element is 0 with probability p, else divided by 1 - p. p = 0 returns x itself. */
export function dropout(x: Tensor, p: number): Tensor {
  wantTensors('dropout', { x })
  if (!(p >= 0 && p < 1)) throw new ShaktiError('dropout', `p must lie in [0, 1), got ${p}.`)
  return p === 0 ? x : drop(x, { p, random: takeRandom(x.numel) })
}

export interface Conv2dOptions {
  stride?: number | readonly [number, number]
  padding?: number | readonly [number, number]
  dilation?: number | readonly [number, number]
  groups?: number
}

interface ConvAttrs {
  readonly numbers: readonly number[]
}

const pair = (
  v: number | readonly [number, number] | undefined,
  or: number,
): readonly [number, number] => (typeof v === 'object' ? v : [v ?? or, v ?? or])

const conv2dRow = op({
  command: 'conv2d',
  inputs: ['x', 'w', 'bias?'],
  outputs: ['out'],
  check: ({ x, w, bias }, { numbers }: ConvAttrs) => {
    const [sh, sw, ph, pw, dh, dw, groups] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    const [n, c, height, width] = x.shape as [number, number, number, number]
    const [o, cg, kh, kw] = w.shape as [number, number, number, number]
    if (x.ndim !== 4 || w.ndim !== 4 || c !== cg * groups || o % groups !== 0 || kh * kw === 0) {
      throw new ShapeError(
        'conv2d',
        `needs x [n, c, h, w] and weight [out, c / groups, kh, kw], got ${x.describe()} and ${w.describe()} with ${groups} groups.`,
        [x.shape, w.shape],
      )
    }
    if (bias && (bias.ndim !== 1 || bias.shape[0] !== o)) {
      throw new ShapeError('conv2d', `bias must be [${o}], got ${bias.describe()}.`, [bias.shape])
    }
    const oh = Math.floor((height + 2 * ph - dh * (kh - 1) - 1) / sh) + 1
    const ow = Math.floor((width + 2 * pw - dw * (kw - 1) - 1) / sw) + 1
    if (oh < 1 || ow < 1) {
      throw new ShapeError(
        'conv2d',
        `a kernel of ${kh}x${kw} does not fit into ${height}x${width} with padding ${ph}, ${pw}.`,
        [x.shape, w.shape],
      )
    }
    checkShape('conv2d', [n, o, oh, ow])
    return { out: { shape: [n, o, oh, ow], dtype: x.dtype } }
  },
  encode: ({ numbers }) => numbers,
  saves: ['x', 'w'],
  grad: (g, { x, w }, { attrs: { numbers }, need, metas }) => ({
    x: need.x ? issueOne('conv2d_backward_input', [g, w], metas.x, numbers) : undefined,
    w: need.w ? issueOne('conv2d_backward_weight', [g, x], metas.w, numbers) : undefined,
    bias: need.bias ? g.sum([0, 2, 3]) : undefined,
  }),
})

/**
 * 2-D cross-correlation, as torch.nn.functional.conv2d.
 * @param x [n, channels, height, width]
 * @param weight [out, channels / groups, kernel height, kernel width]
 * @param bias [out]
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: Conv2dOptions = {},
): Tensor {
  wantTensors('conv2d', { x, weight }, { bias })
  const { groups = 1 } = options
  sameDType('conv2d', x, weight, bias)
  const numbers = [
    ...pair(options.stride, 1),
    ...pair(options.padding, 0),
    ...pair(options.dilation, 1),
    groups,
  ]
  const least = [1, 1, 0, 0, 1, 1, 1]
  if (numbers.some((v, i) => !Number.isInteger(v) || v < least[i]!)) {
    throw new ShapeError(
      'conv2d',
      `stride, dilation and groups are integers from 1, padding from 0; got [${numbers.join(', ')}].`,
    )
  }
  return conv2dRow({ x, w: weight, bias }, { numbers }).out
}

const modes = ['nearest', 'bilinear', 'bicubic'] as const

const interpolateRow = op({
  command: 'interpolate',
  inputs: ['x'],
  outputs: ['out'],
  check: (
    { x },
    { size }: { size: readonly [number, number]; mode: number; alignCorners: boolean },
  ) => {
    if (x.ndim !== 4 || x.shape[2] === 0 || x.shape[3] === 0) {
      throw new ShapeError(
        'interpolate',
        `needs x [n, c, h, w] that is not empty, got ${x.describe()}.`,
        [x.shape],
      )
    }
    checkShape('interpolate', [x.shape[0]!, x.shape[1]!, ...size])
    return { out: { shape: [x.shape[0]!, x.shape[1]!, ...size], dtype: x.dtype } }
  },
  encode: ({ mode, alignCorners }) => [mode, alignCorners ? 1 : 0],
  saves: [],
  grad: (g, _, { attrs: { mode, alignCorners }, metas }) => {
    // One element may get very many shares, which bf16 would not add up.
    const wide = g.dtype === 'f64' ? g : g.to('f32')
    const dx = { shape: metas.x.shape, dtype: wide.dtype }
    return { x: issueOne('interpolate_backward', [wide], dx, [mode, alignCorners ? 1 : 0]) }
  },
})

/**
 * Resizes [n, c, h, w] to `size` ([height, width], or one number for both), as torch.nn.functional.interpolate (no antialiasing).
 * @param options.mode default 'nearest'; 'bicubic' uses a = -0.75
 */
export function interpolate(
  x: Tensor,
  options: {
    size: number | readonly [number, number]
    mode?: (typeof modes)[number]
    alignCorners?: boolean
  },
): Tensor {
  wantTensors('interpolate', { x })
  const { mode = 'nearest', alignCorners = false } = options
  const size = pair(options.size, 0)
  if (!modes.includes(mode))
    throw new ShaktiError('interpolate', `unknown mode '${mode}'. Use ${modes.join(', ')}.`)
  if (size.length !== 2 || size.some((s) => !Number.isInteger(s) || s < 1)) {
    throw new ShapeError(
      'interpolate',
      `size is [height, width], integers from 1, got [${String(options.size)}].`,
    )
  }
  if (!x.dtype.includes('f'))
    throw new DTypeError('interpolate', `needs a floating tensor, got ${x.describe()}.`)
  return interpolateRow({ x }, { size, mode: modes.indexOf(mode), alignCorners }).out
}
