// Scaled dot-product attention (arXiv 1706.03762, equation 1), fused: memory grows linearly with the length.
import { AutogradError, DTypeError, ShaktiError, ShapeError } from '../errors.js'
import { tracks } from '../autograd/tape.js'
import { isFloating } from '../dtype.js'
import { issue } from '../native/encode.js'
import { formatShape, type Shape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { where } from './elementwise.js'
import { getFloat32MatmulPrecision } from './matmul.js'
import { sameDType } from './shape-ops.js'
import { op } from './table.js'

export interface AttentionOptions {
  /**
   * Which keys a query may look at (bool, true = may), or numbers added to the scaled scores (a bias, which may
   * require a gradient). Broadcasts to [batch, heads, queries, keys].
   */
  mask?: Tensor
  /** PyTorch's name for `mask`. */
  attnMask?: Tensor
  /** Query i of n looks at keys up to i + (keys - n). Default false. */
  isCausal?: boolean
  /** Scores are multiplied by this. Default 1 / sqrt(head dim). */
  scale?: number
  /** With isCausal: only the last `window` keys are seen. Default: all. */
  window?: number
  /** Several sequences packed into one (batch 1): i32 [n + 1] borders from 0 to the length. No attention across. */
  cuSeqlensQ?: Tensor
  /** Borders of the keys; default those of the queries. Without a gradient the last may lie before the end: keys behind it are not there yet (on a GPU they must be finite all the same). */
  cuSeqlensK?: Tensor
  /**
   * Of keys in bytes: f32 [batch, kv heads, keys, 1] (see `layout`). k and v then are u8, each number u standing for (u - 128)
   * times the scale of its position and head; q is f32, bf16 or f16. Bytes are read as they are, and scores and sums are f32.
   * There is no gradient.
   */
  keyScale?: Tensor
  /** As `keyScale`, of the values; the two go together. */
  valueScale?: Tensor
  /** Order of the dimensions: 'bhld' [batch, heads, length, head dim] as in PyTorch (default), or 'blhd'. */
  layout?: 'bhld' | 'blhd'
}

interface Attrs {
  readonly scale: number
  readonly causal: boolean
  readonly window: number
  /** Factors may be rounded to bf16; the backward pass keeps to what the forward pass did. */
  readonly bf16: boolean
}

const encode = ({ scale, causal, window, bf16 }: Attrs): number[] => [
  scale,
  causal ? 1 : 0,
  window,
  bf16 ? 1 : 0,
]

const attention = op({
  command: 'attention',
  inputs: ['q', 'k', 'v', 'mask?', 'cuQ?', 'cuK?', 'kScale?', 'vScale?'],
  outputs: ['out', 'lse'],
  check: ({ q }, _: Attrs) => ({
    out: { shape: q.shape, dtype: q.dtype },
    lse: {
      shape: [q.shape[0]!, q.shape[2]!, q.shape[1]!],
      dtype: q.dtype === 'f64' ? ('f64' as const) : ('f32' as const),
    },
  }),
  encode,
  saves: ['q', 'k', 'v', 'mask', 'cuQ', 'cuK', 'out', 'lse'],
  grad: (g, { q, k, v, mask, cuQ, cuK, out, lse }, { attrs, metas }) => {
    const [dq, dk, dv] = issue(
      'attention_backward',
      [g, q, k, v, out, lse, mask, cuQ, cuK],
      [metas.q, metas.k, metas.v],
      encode(attrs),
    )
    return { q: dq, k: dk, v: dv }
  },
})

/** The same in plain ops, for the one case that the fused kernel leaves out: a bias that wants a gradient. */
function composed(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  bias: Tensor,
  { scale, causal, window }: Attrs,
): Tensor {
  const group = q.shape[2]! / k.shape[2]!
  const heads = (t: Tensor): Tensor => {
    const [b, l, h, d] = t.shape as [number, number, number, number]
    return t
      .unsqueeze(3)
      .expand([b, l, h, group, d])
      .reshape([b, l, h * group, d])
      .transpose(1, 2)
  }
  const [lq, lk] = [q.shape[1]!, k.shape[1]!]
  let scores = q.transpose(1, 2).matmul(heads(k).mT()).mul(scale).add(bias)
  if (causal) {
    const ones = scores.detach().mul(0).add(1)
    let may = ones.tril(lk - lq)
    if (window > 0) may = may.triu(lk - lq - window + 1)
    scores = where(may.ne(0), scores, -Infinity)
  }
  return scores.softmax(-1).matmul(heads(v)).transpose(1, 2)
}

const lastContiguous = (t: Tensor): Tensor =>
  t.strides[3] === 1 || t.shape[3] === 1 ? t : t.contiguous()

function fail(message: string, ...shapes: Shape[]): never {
  throw new ShapeError('scaledDotProductAttention', message, shapes)
}

/**
 * softmax(q kᵀ * scale + mask) v.
 * @param q [batch, heads, queries, head dim] (see `layout`)
 * @param k [batch, kv heads, keys, head dim]; heads must be a multiple of kv heads (grouped-query attention, arXiv 2305.13245)
 * @returns the shape of q. A query that may look at nothing gives 0.
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  if (options instanceof Tensor)
    fail('options are an object: pass a mask as { mask }.', options.shape)
  const {
    attnMask,
    mask = attnMask,
    isCausal = false,
    window = 0,
    cuSeqlensQ,
    cuSeqlensK = cuSeqlensQ,
    layout = 'bhld',
    scale,
    keyScale,
    valueScale,
  } = options
  wantTensors(
    'scaledDotProductAttention',
    { q, k, v },
    { mask, cuSeqlensQ, cuSeqlensK, keyScale, valueScale },
  )
  if (scale !== undefined && !Number.isFinite(scale)) {
    throw new ShaktiError(
      'scaledDotProductAttention',
      `scale must be a finite number, got ${String(scale)}.`,
    )
  }
  if (layout !== 'bhld' && layout !== 'blhd') {
    throw new ShaktiError(
      'scaledDotProductAttention',
      `layout is 'bhld' or 'blhd', got '${String(layout)}'.`,
    )
  }
  if (cuSeqlensK && !cuSeqlensQ) fail('cuSeqlensK comes with cuSeqlensQ.')
  if (layout === 'bhld') {
    const swap = (t: Tensor): Tensor => {
      if (t.ndim !== 4)
        fail(
          `q, k and v need 4 dimensions, got ${q.describe()}, ${k.describe()}, ${v.describe()}.`,
          q.shape,
          k.shape,
          v.shape,
        )
      return t.transpose(1, 2)
    }
    return scaledDotProductAttention(swap(q), swap(k), swap(v), {
      ...options,
      ...(keyScale ? { keyScale: swap(keyScale) } : {}),
      ...(valueScale ? { valueScale: swap(valueScale) } : {}),
      layout: 'blhd',
    }).transpose(1, 2)
  }
  if (q.ndim !== 4 || k.ndim !== 4 || v.ndim !== 4) {
    fail(
      `q, k and v need 4 dimensions, got ${q.describe()}, ${k.describe()}, ${v.describe()}.`,
      q.shape,
      k.shape,
      v.shape,
    )
  }
  if (keyScale || valueScale) wantBytes(q, k, v, mask, keyScale, valueScale)
  else sameDType('scaledDotProductAttention', q, k, v)
  if (!isFloating(q.dtype))
    throw new DTypeError(
      'scaledDotProductAttention',
      `needs floating tensors, got ${q.describe()}.`,
    )
  const [b, lq, h, d] = q.shape as [number, number, number, number]
  const [bk, lk, hk, dk] = k.shape as [number, number, number, number]
  if (
    bk !== b ||
    dk !== d ||
    v.shape.some((s, i) => s !== k.shape[i]) ||
    hk === 0 ||
    h % hk !== 0
  ) {
    fail(
      `k and v must be equal, with q's batch and head dim and a divisor of its ${h} heads: q ${q.describe()}, k ${k.describe()}, v ${v.describe()} as [batch, length, heads, head dim].`,
      q.shape,
      k.shape,
      v.shape,
    )
  }
  if (window < 0 || !Number.isInteger(window) || (window > 0 && !isCausal)) {
    fail(`window is an integer from 1 and goes with isCausal, got ${window}.`)
  }
  if (cuSeqlensQ && b !== 1)
    fail(`packed sequences (cuSeqlensQ) come as batch 1, got ${q.describe()}.`, q.shape)
  const attrs: Attrs = {
    scale: scale ?? 1 / Math.sqrt(d),
    causal: isCausal,
    window,
    bf16: getFloat32MatmulPrecision() === 'medium',
  }
  const wide = q.dtype === 'f64' && mask && isFloating(mask.dtype) ? mask.to('f64') : mask
  const full = wide && broadcastMask(wide, [b, h, lq, lk])
  if (full?.requiresGrad && cuSeqlensQ)
    fail('a mask beside packed sequences (cuSeqlensQ) cannot require a gradient.', full.shape)
  if (full?.requiresGrad) return composed(q, k, v, full, attrs)
  return attention(
    {
      q: lastContiguous(q),
      k: lastContiguous(k),
      v: lastContiguous(v),
      mask: full,
      cuQ: cuSeqlensQ?.contiguous(),
      cuK: cuSeqlensK?.contiguous(),
      kScale: keyScale,
      vScale: valueScale,
    },
    attrs,
  ).out
}

/** Keys and values in bytes, with their scales, as the op takes them. */
function wantBytes(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor | undefined,
  keyScale: Tensor | undefined,
  valueScale: Tensor | undefined,
): void {
  const op = 'scaledDotProductAttention'
  if (!keyScale || !valueScale) fail('keyScale and valueScale go together.')
  if (q.dtype === 'f64' || !isFloating(q.dtype) || k.dtype !== 'u8' || v.dtype !== 'u8')
    throw new DTypeError(
      op,
      `with keyScale and valueScale, q is f32, bf16 or f16, and k and v are u8; got ${q.describe()}, ${k.describe()}, ${v.describe()}.`,
    )
  for (const [name, scale] of [
    ['keyScale', keyScale],
    ['valueScale', valueScale],
  ] as const) {
    if (scale.dtype !== 'f32') throw new DTypeError(op, `${name} is f32, got ${scale.describe()}.`)
    if (scale.ndim !== 4 || scale.shape.some((n, d) => n !== (d === 3 ? 1 : k.shape[d])))
      fail(
        `${name} has a number for each position and head: k's shape with 1 for the head dim; k ${k.describe()}, ${name} ${scale.describe()} as [batch, length, heads, head dim].`,
        k.shape,
        scale.shape,
      )
  }
  if (tracks([q, mask, keyScale, valueScale]))
    throw new AutogradError(
      op,
      'keys in bytes (keyScale, valueScale) have no gradient, and one is asked for. Call it in noGrad, or with keys and values as floats.',
    )
}

function broadcastMask(mask: Tensor, shape: Shape): Tensor {
  try {
    return mask.expand(shape)
  } catch {
    return fail(
      `the mask must stretch to [batch, heads, queries, keys] = ${formatShape(shape)}, got ${mask.describe()}.`,
      mask.shape,
    )
  }
}
