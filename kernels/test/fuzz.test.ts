// Every op with operands of the right form, and with ones that are a little wrong: whatever a check lets through, the
// kernel must handle within its operands. Under the sanitizers (npm run test:asan) each storage ends in forbidden
// ground, so that one element too far is seen.
import { readFileSync } from 'node:fs'
import {
  assert,
  b,
  generator,
  info,
  native,
  release,
  rowMajor,
  test,
  write,
  type View,
} from './border.js'

const [f32, bf16, f16, f64, i32, i64, u8, bool] = [0, 1, 2, 3, 4, 5, 6, 7]
const sizeOf = [4, 2, 2, 8, 4, 8, 1, 1]

const random = generator(1)
const int = (n: number): number => Math.floor(random() * n)
const pick = <T>(list: readonly T[]): T => list[int(list.length)]!
const chance = (p: number): boolean => random() < p

/** A size: small, around the width of vectors, now and then none. */
const size = (): number => pick([0, 1, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33])
const some = (): number => Math.max(1, size())
/** Up to four sizes, a thousand or so elements in all. */
const sizes = (): number[] => {
  const list = Array.from({ length: int(4) + 1 }, size)
  while (list.reduce((a, b) => a * b) > 2000) list[list.indexOf(Math.max(...list))] = int(4)
  return list
}

interface Spec {
  shape: number[]
  dtype: number
  /** Of integer content: the values that are allowed are below it. */
  below?: number
  ascending?: boolean
  /** How to lie in memory. Outputs and contiguous-only operands lie in order. */
  strided?: boolean
  must?: 'fresh' | 'old'
}
interface Call {
  in: (Spec | null)[]
  out: (Spec | null)[]
  attrs?: number[]
}

const t = (shape: number[], dtype = f32): Spec => ({ shape: [...shape], dtype })
const s = (shape: number[], dtype = f32): Spec => ({ shape: [...shape], dtype, strided: true })
const index = (shape: number[], below: number): Spec => ({
  shape: [...shape],
  dtype: pick([i32, i64]),
  below,
})
const float = (): number => pick([f32, f32, bf16, f16, f64])
const any = (): number => pick([f32, bf16, f16, f64, i32, i64, u8, bool])
const stat = (dtype: number): number => (dtype === f64 ? f64 : f32)
const maybe = (spec: Spec): Spec | null => (chance(0.5) ? spec : null)
const seed = (): number[] => [int(2 ** 32), int(2 ** 32), int(100)]
const replace = (shape: number[], d: number, n: number): number[] =>
  shape.map((x, i) => (i === d ? n : x))

function attention(): {
  q: Spec
  k: Spec
  v: Spec
  mask: Spec | null
  cu: (Spec | null)[]
  scale: Spec
  sizes: number[]
  attrs: number[]
  d: number
} {
  const d = float()
  const packed = chance(0.3)
  const [b, lq, lk, g, width] = [
    packed ? 1 : some(),
    size(),
    size(),
    pick([1, 2, 3]),
    pick([1, 3, 8, 16, 20]),
  ] as const
  const h = g * pick([1, 2])
  const last = (shape: number[]): Spec => t(shape, d)
  const offsets = (below: number): Spec => ({
    shape: [3],
    dtype: i32,
    below: below + 1,
    ascending: true,
  })
  return {
    q: last([b, lq, h, width]),
    k: last([b, lk, g, width]),
    v: last([b, lk, g, width]),
    mask: maybe(s([b, h, lq, lk], pick([bool, d, d === f64 ? f64 : f32]))),
    cu: packed ? [offsets(lq), offsets(lk)] : [null, null],
    scale: s([b, lk, g, 1]),
    sizes: [b, lq, h],
    attrs: [0.5, int(2), pick([0, 0, 1, 3]), int(2)],
    d,
  }
}

/** Heads, their norm, and what turns them. */
function normRope(): { x: Spec; y: Spec; w: Spec; rstd: Spec; table: Spec } {
  const [b, l, h, half, d] = [pick([1, 2]), size(), pick([1, 3]), pick([1, 2, 8, 17]), float()]
  return {
    x: t([b, l, h, 2 * half], d),
    y: t([b, l, h, 2 * half], d),
    w: t([2 * half], pick([d, stat(d)])),
    rstd: t([b, l, h], stat(d)),
    table: t([pick([1, b]), l, half]),
  }
}

function conv(): { x: number[]; w: number[]; y: number[]; attrs: number[] } {
  const [n, groups, kh, kw, sh, sw, ph, pw] = [
    pick([1, 2]),
    pick([1, 2]),
    pick([1, 2, 3]),
    pick([1, 3]),
    pick([1, 2]),
    pick([1, 2]),
    int(2),
    int(2),
  ] as const
  const [dh, dw] = [pick([1, 2]), 1]
  const c = groups * pick([1, 2])
  const o = groups * pick([1, 3])
  const [h, w] = [6 + int(4), 4 + int(4)]
  const out = (x: number, pad: number, k: number, dilation: number, stride: number): number =>
    Math.floor((x + 2 * pad - dilation * (k - 1) - 1) / stride) + 1
  return {
    x: [n, c, h, w],
    w: [o, c / groups, kh, kw],
    y: [n, o, out(h, ph, kh, dh, sh), out(w, pw, kw, dw, sw)],
    attrs: [sh, sw, ph, pw, dh, dw, groups],
  }
}

/** A quantised weight [n, k], packed, and its format. */
function quantized(): { n: number; k: number; d: number; packed: Spec; attrs: number[] } {
  const [n, k, bits, group] = [size(), size() * pick([1, 5]), pick([8, 4]), pick([32, 64, 128])]
  const [groups, zeroPoint] = [Math.ceil(k / group), int(2)]
  const bytes = 32 * groups * (2 + (group * bits) / 8) + zeroPoint * 64 * Math.ceil(groups / 2)
  return {
    n,
    k,
    d: pick([f32, bf16, f16]),
    packed: t([Math.ceil(n / 32), bytes], u8),
    attrs: [bits, group, zeroPoint],
  }
}

/** A weight [n, k] packed in its own dtype. */
function kept(): { n: number; k: number; d: number; packed: Spec } {
  const [n, k, d] = [size(), size() * pick([1, 5]), pick([f32, bf16])]
  const bytes = 32 * (d === f32 ? 4 * k : 64 * Math.ceil(k / 32))
  return { n, k, d, packed: t([Math.ceil(n / 32), bytes], u8) }
}

const unary = (): Call => {
  const [shape, d] = [sizes(), float()]
  return { in: [s(shape, d)], out: [t(shape, d)] }
}
const binary =
  (result: (d: number) => number, dtype = any): (() => Call) =>
  () => {
    const [shape, d] = [sizes(), dtype()]
    return { in: [s(shape, d), maybe(s(shape, d))], out: [t(shape, result(d))], attrs: [2, int(2)] }
  }
const gradient = (): Call => {
  const [shape, d] = [sizes(), float()]
  return { in: [s(shape, d), s(shape, d)], out: [t(shape, d)] }
}
const reduction =
  (dtype: () => number): (() => Call) =>
  () => {
    const [shape, d] = [sizes().map((n) => Math.max(n, 1)), dtype()]
    return {
      in: [s(shape, d)],
      out: [
        t(
          shape.map((n) => (chance(0.5) ? 1 : n)),
          d,
        ),
      ],
    }
  }
const extreme = (): Call => {
  const [shape, d] = [[...sizes(), some()], pick([f32, bf16, f16, f64, i32])]
  const out = replace(shape, shape.length - 1, 1)
  return { in: [t(shape, d)], out: [t(out, d), t(out, i32)] }
}
const rows =
  (n: number): (() => Call) =>
  () => {
    const [shape, d] = [[...sizes(), size()], float()]
    return { in: Array.from({ length: n }, () => t(shape, d)), out: [t(shape, d)] }
  }
const made =
  (attrs: () => number[], dtype: () => number = float): (() => Call) =>
  () => ({
    in: [],
    out: [t(sizes(), dtype())],
    attrs: [...seed(), ...attrs()],
  })

/** Calls that each op must accept. Ops that are not here have one input and one output alike. */
const calls: Record<string, () => Call> = {
  ...Object.fromEntries(
    ['add', 'sub', 'mul', 'maximum', 'minimum'].map((n) => [
      n,
      binary(
        (d) => d,
        () => pick([f32, bf16, f16, f64, i32]),
      ),
    ]),
  ),
  ...Object.fromEntries(['div', 'pow'].map((n) => [n, binary((d) => d, float)])),
  ...Object.fromEntries(['eq', 'ne', 'lt', 'le', 'gt', 'ge'].map((n) => [n, binary(() => bool)])),
  ...Object.fromEntries(
    ['logical_and', 'logical_or'].map((n) => [
      n,
      binary(
        () => bool,
        () => bool,
      ),
    ]),
  ),
  logical_not: () => {
    const shape = sizes()
    return { in: [s(shape, bool)], out: [t(shape, bool)] }
  },
  isfinite: () => {
    const shape = sizes()
    return { in: [s(shape, float())], out: [t(shape, bool)] }
  },
  where: () => {
    const [shape, d] = [sizes(), any()]
    return {
      in: [s(shape, bool), maybe(s(shape, d)), maybe(s(shape, d))],
      out: [t(shape, d)],
      attrs: [1, 0],
    }
  },
  clamp: () => ({ ...unary(), attrs: [-1, pick([1, Infinity])] }),
  ...Object.fromEntries(
    ['relu', 'gelu', 'gelu_tanh', 'silu', 'tanh', 'sigmoid'].map((n) => [
      `${n}_backward`,
      gradient,
    ]),
  ),
  sum: reduction(() => pick([f32, bf16, f16, f64, i32])),
  amax: reduction(() => pick([f32, bf16, f16, f64, i32])),
  amin: reduction(() => pick([f32, bf16, f16, f64, i32])),
  prod: reduction(float),
  max_index: extreme,
  min_index: extreme,
  cumsum: () => ({ ...rows(1)(), attrs: [int(2)] }),
  matmul: () => {
    const [batch, m, k, n, d] = [
      Array.from({ length: int(3) }, () => pick([1, 2, 3])),
      size(),
      size(),
      size(),
      float(),
    ]
    const [shape, out] = [[...batch, m, n], d === f64 ? f64 : pick([d, f32])]
    return {
      in: [
        s([...batch, m, k], d),
        s([...batch, k, n], d),
        maybe(t([n], d)),
        maybe(s(shape, out)),
        maybe(s(shape, out)),
      ],
      out: [t(shape, out)],
      attrs: [0, int(2), int(4), pick([1, 0.5]), int(2)],
    }
  },
  copy: () => {
    const shape = sizes()
    return { in: [s(shape, any())], out: [t(shape, any())] }
  },
  fill: () => ({
    in: [],
    out: [t(sizes(), any())],
    attrs: [pick([0, 1, -3.5, 300, NaN, Infinity])],
  }),
  arange: () => ({ in: [], out: [t([size()], pick([f32, f64, i32, i64]))], attrs: [1, 2] }),
  ...Object.fromEntries(
    ['tril', 'triu'].map((n) => [
      n,
      () => {
        const [shape, d] = [[...sizes(), size(), size()].slice(-3), float()]
        return { in: [s(shape, d)], out: [t(shape, d)], attrs: [int(7) - 3] }
      },
    ]),
  ),
  cat: () => {
    const [shape, d] = [sizes(), any()]
    const dim = int(shape.length)
    const lengths = Array.from({ length: 1 + int(4) }, size)
    return {
      in: lengths.map((n) => s(replace(shape, dim, n), d)),
      out: [
        t(
          replace(
            shape,
            dim,
            lengths.reduce((a, b) => a + b),
          ),
          d,
        ),
      ],
      attrs: [dim],
    }
  },
  pad: () => {
    const [shape, d] = [sizes(), any()]
    const before = shape.map(() => int(3))
    return {
      in: [s(shape, d)],
      out: [
        t(
          shape.map((n, i) => n + before[i]! + int(3)),
          d,
        ),
      ],
      attrs: [1, shape.length, ...before],
    }
  },
  flip: () => {
    const [shape, d] = [sizes(), any()]
    const dims = shape.map((_, i) => i).filter(() => chance(0.5))
    return { in: [s(shape, d)], out: [t(shape, d)], attrs: [dims.length, ...dims] }
  },
  embedding: () => {
    const [v, d, ids, dtype] = [some(), size(), sizes().slice(0, 3), float()]
    return { in: [t([v, d], dtype), index(ids, v)], out: [t([...ids, d], dtype)] }
  },
  embedding_backward: () => {
    const [v, d, ids, dtype] = [some(), size(), sizes().slice(0, 3), float()]
    return {
      in: [t([...ids, d], dtype), index(ids, v)],
      out: [t([v, d], dtype)],
      attrs: [pick([-1, 0])],
    }
  },
  gather: () => {
    const [shape, d] = [sizes().map((n) => Math.max(n, 1)), float()]
    const dim = int(shape.length)
    const at = replace(shape, dim, size())
    return { in: [s(shape, d), index(at, shape[dim]!)], out: [t(at, d)], attrs: [dim] }
  },
  scatter_add: () => {
    const [shape, d] = [sizes().map((n) => Math.max(n, 1)), float()]
    const dim = int(shape.length)
    const at = replace(shape, dim, size())
    return { in: [s(shape, d), index(at, shape[dim]!), s(at, d)], out: [t(shape, d)], attrs: [dim] }
  },
  index_select: () => {
    const [shape, d, n] = [sizes().map((x) => Math.max(x, 1)), float(), size()]
    const dim = int(shape.length)
    return {
      in: [s(shape, d), index([n], shape[dim]!)],
      out: [t(replace(shape, dim, n), d)],
      attrs: [dim],
    }
  },
  index_copy: () => {
    const [shape, d, n] = [sizes().map((x) => Math.max(x, 1)), float(), size()]
    const dim = int(shape.length)
    return {
      in: [index([n], shape[dim]!), s(replace(shape, dim, n), d)],
      out: [t(shape, d)],
      attrs: [dim],
    }
  },
  index_add: () => {
    const [shape, d, n] = [sizes().map((x) => Math.max(x, 1)), float(), size()]
    const dim = int(shape.length)
    return {
      in: [s(shape, d), index([n], shape[dim]!), s(replace(shape, dim, n), d)],
      out: [t(shape, d)],
      attrs: [dim],
    }
  },
  sort: () => {
    const [shape, d] = [[...sizes(), size()], pick([f32, f64, i32])]
    return { in: [s(shape, d)], out: [t(shape, d), t(shape, i32)], attrs: [int(2)] }
  },
  topk: () => {
    const [shape, d] = [[...sizes(), some()], pick([f32, f64, i32])]
    const out = replace(shape, shape.length - 1, int(shape.at(-1)! + 1))
    return { in: [s(shape, d)], out: [t(out, d), t(out, i32)], attrs: [int(2)] }
  },
  uniform: made(() => [0, 1]),
  normal: made(() => [0, 1]),
  truncated_normal: made(() => [0, 1, -2, 2]),
  randint: made(
    () => [0, 10],
    () => i32,
  ),
  permutation: () => ({ in: [], out: [t([size()], i32)], attrs: seed() }),
  multinomial: () => {
    const [r, n] = [pick([1, 3]), some()]
    return { in: [t([r, n])], out: [t([r, 1 + int(n)], i32)], attrs: [int(2), ...seed()] }
  },
  dropout: () => {
    const [shape, d] = [sizes(), float()]
    return { in: [s(shape, d)], out: [t(shape, d)], attrs: [0.5, ...seed()] }
  },
  layer_norm: () => {
    const [outer, n, d] = [sizes().slice(0, 3), some(), float()]
    const w = pick([d, stat(d)])
    return {
      in: [t([...outer, n], d), maybe(t([n], w)), maybe(t([n], w))],
      out: [t([...outer, n], d), t(outer, stat(d)), t(outer, stat(d))],
      attrs: [1e-5],
    }
  },
  layer_norm_backward: () => {
    const [outer, n, d] = [sizes().slice(0, 3), some(), float()]
    const x = t([...outer, n], d)
    const affine = chance(0.5)
    const w = affine ? t([n], d) : null
    return {
      in: [x, x, w, t(outer, stat(d)), t(outer, stat(d))],
      out: [x, w, affine ? maybe(t([n], d)) : null],
    }
  },
  rms_norm: () => {
    const [outer, n, d] = [sizes().slice(0, 3), some(), float()]
    return {
      in: [t([...outer, n], d), maybe(t([n], pick([d, stat(d)])))],
      out: [t([...outer, n], d), t(outer, stat(d))],
      attrs: [1e-5],
    }
  },
  rms_norm_backward: () => {
    const [outer, n, d] = [sizes().slice(0, 3), some(), float()]
    const x = t([...outer, n], d)
    const w = maybe(t([n], d))
    return { in: [x, x, w, t(outer, stat(d))], out: [x, w] }
  },
  softmax: rows(1),
  log_softmax: rows(1),
  softmax_backward: rows(2),
  log_softmax_backward: rows(2),
  cross_entropy: () => {
    const [n, v, d] = [size(), some(), float()]
    return {
      in: [t([n, v], d), index([n], v)],
      out: [t([n], stat(d)), t([n], stat(d))],
      attrs: [-100, pick([0, 0.1])],
    }
  },
  cross_entropy_backward: () => {
    const [n, v, d] = [size(), some(), float()]
    return {
      in: [t([n], stat(d)), t([n, v], d), index([n], v), t([n], stat(d))],
      out: [t([n, v], d)],
      attrs: [-100, pick([0, 0.1])],
    }
  },
  rope: () => {
    const [b, l, h, half, d] = [pick([1, 2]), size(), pick([1, 3]), pick([1, 2, 8, 17]), float()]
    const table = t([pick([1, b]), l, half])
    return {
      in: [t([b, l, h, 2 * half], d), table, table],
      out: [t([b, l, h, 2 * half], d)],
      attrs: [int(2)],
    }
  },
  norm_rope: () => {
    const c = normRope()
    return {
      in: [c.x, maybe(c.w), c.table, c.table],
      out: [c.y, c.rstd],
      attrs: [1e-6],
    }
  },
  norm_rope_backward: () => {
    const c = normRope()
    return {
      in: [c.x, c.x, maybe(c.w), c.rstd, c.table, c.table],
      out: [c.y, maybe(c.w)],
    }
  },
  attention: () => {
    const a = attention()
    const [b, l, h] = a.sizes as [number, number, number]
    const inBytes = a.d !== f64 && chance(0.3)
    const of = (x: Spec): Spec => (inBytes ? { ...x, dtype: u8 } : x)
    const scale = inBytes ? a.scale : null
    return {
      in: [a.q, of(a.k), of(a.v), a.mask, ...a.cu, scale, scale],
      out: [t(a.q.shape, a.d), t([b, h, l], stat(a.d))],
      attrs: a.attrs,
    }
  },
  attention_backward: () => {
    const a = attention()
    const [b, l, h] = a.sizes as [number, number, number]
    return {
      in: [a.q, a.q, a.k, a.v, a.q, t([b, h, l], stat(a.d)), a.mask, ...a.cu],
      out: [t(a.q.shape, a.d), t(a.k.shape, a.d), t(a.v.shape, a.d)],
      attrs: a.attrs,
    }
  },
  swiglu: gradient,
  swiglu_backward: () => {
    const [shape, d] = [sizes(), float()]
    return { in: [t(shape, d), t(shape, d), t(shape, d)], out: [t(shape, d), t(shape, d)] }
  },
  conv2d: () => {
    const [c, d] = [conv(), float()]
    return { in: [t(c.x, d), t(c.w, d), maybe(t([c.w[0]!], d))], out: [t(c.y, d)], attrs: c.attrs }
  },
  conv2d_backward_input: () => {
    const [c, d] = [conv(), float()]
    return { in: [t(c.y, d), t(c.w, d)], out: [t(c.x, d)], attrs: c.attrs }
  },
  conv2d_backward_weight: () => {
    const [c, d] = [conv(), float()]
    return { in: [t(c.y, d), t(c.x, d)], out: [t(c.w, d)], attrs: c.attrs }
  },
  ...Object.fromEntries(
    ['interpolate', 'interpolate_backward'].map((n) => [
      n,
      () => {
        const [b, c, d] = [pick([1, 2]), pick([1, 3]), float()]
        const pair = [t([b, c, some(), some()], d), t([b, c, some(), some()], d)] as const
        return { in: [pair[0]], out: [pair[1]], attrs: [int(3), int(2)] }
      },
    ]),
  ),
  adamw: () => {
    const shapes = Array.from({ length: 1 + int(3) }, sizes)
    const g = pick([f32, bf16])
    const state = [0, 1, 2].flatMap(() => shapes.map((x): Spec => ({ ...t(x), must: 'old' })))
    const copies = chance(0.5) ? shapes.map((x): Spec => ({ ...t(x, bf16), must: 'old' })) : []
    return {
      in: [maybe(t([])), maybe(t([], f64)), maybe(t([], f64)), ...shapes.map((x) => t(x, g))],
      out: [...state, ...copies],
      attrs: [1e-3, 0.9, 0.99, 1e-8, 0.1, 1 + int(5)],
    }
  },
  pack_weight: () => {
    const { n, k, d, packed } = kept()
    return { in: [s([n, k], d)], out: [packed] }
  },
  unpack_weight: () => {
    const { n, k, d, packed } = kept()
    return { in: [packed], out: [t([n, k], d)] }
  },
  packed_linear: () => {
    const [{ n, k, d, packed }, m] = [kept(), size()]
    const y = t([m, n], pick([d, f32]))
    return {
      in: [
        s([m, k], d),
        packed,
        maybe(s([n], d)),
        maybe(s([m, n], y.dtype)),
        maybe(s([m, n], y.dtype)),
      ],
      out: [y],
      attrs: [int(4), pick([1, 0.5])],
    }
  },
  quantize_weight: () => {
    const { n, k, d, packed, attrs } = quantized()
    return { in: [s([n, k], d)], out: [packed], attrs }
  },
  dequantize_weight: () => {
    const { n, k, d, packed, attrs } = quantized()
    return { in: [packed], out: [t([n, k], d)], attrs }
  },
  quantized_linear: () => {
    const [{ n, k, d, packed, attrs }, m] = [quantized(), size()]
    const beside = maybe(s([m, n], d))
    if (int(3) === 0)
      return {
        in: [s([m, k], d), packed, packed, null, null, beside],
        out: [t([m, n], d)],
        attrs: [...attrs, 1],
      }
    return {
      in: [s([m, k], d), packed, null, null, maybe(t([n], d)), beside],
      out: [t([m, n], d)],
      attrs: [...attrs, 0],
    }
  },
  global_norm: () => ({
    in: Array.from({ length: 1 + int(4) }, () => t(sizes(), pick([f32, f32, bf16]))),
    out: [t([])],
  }),
}

const owned: number[] = []

/** The view in a storage of exactly its extent. */
function place(spec: Spec): View {
  const { shape, dtype } = spec
  let strides = rowMajor(shape)
  if (spec.strided && chance(0.5)) {
    const order = shape.map((_, i) => i).sort(() => random() - 0.5)
    let step = pick([1, 1, 2])
    strides = [...strides]
    for (const d of order) {
      strides[d] = chance(0.1) ? 0 : step
      step *= Math.max(shape[d]!, 1) + pick([0, 0, 1])
    }
  }
  const count = shape.includes(0)
    ? 0
    : 1 + shape.reduce((sum, n, d) => sum + (n - 1) * strides[d]!, 0)
  const bytes = new Uint8Array(count * sizeOf[dtype]!)
  const numbers = new DataView(bytes.buffer)
  let rising = 0
  for (let i = 0; i < count; i++) {
    const wild = chance(0.02)
    const whole = wild ? pick([-1, 1e9, -(2 ** 31), spec.below ?? 5]) : int(spec.below ?? 5)
    rising =
      spec.ascending && !wild
        ? i === count - 1
          ? (spec.below ?? 1) - 1
          : Math.min(rising + int(3), (spec.below ?? 1) - 1)
        : whole
    const x = wild ? pick([NaN, Infinity, -Infinity, 1e30]) : random() * 4 - 2
    if (dtype === f64) numbers.setFloat64(i * 8, x, true)
    else if (dtype === f32) numbers.setFloat32(i * 4, x, true)
    else if (dtype === i32) numbers.setInt32(i * 4, spec.ascending && i === 0 ? 0 : rising, true)
    else if (dtype === i64) numbers.setBigInt64(i * 8, BigInt(rising), true)
    else if (dtype === bool) bytes[i] = int(2)
    else if (dtype === u8) bytes[i] = int(256)
    else numbers.setUint16(i * 2, pick([0, 0x3c00, 0x3f80, 0xbf00, int(65536)]), true)
  }
  const handle = native.alloc(bytes.length)
  owned.push(handle)
  native.upload(handle, 0, bytes)
  return { handle, shape, strides, dtype }
}

const absent: View = { handle: 0, shape: [], dtype: -1 }
const nasty = [
  -1,
  0,
  1,
  2,
  3,
  7,
  100,
  2 ** 31,
  -(2 ** 31),
  2 ** 53,
  NaN,
  Infinity,
  -Infinity,
  0.5,
  1e300,
]

/** One thing a little wrong. */
function damage(call: Call): void {
  const operands = [...call.in, ...call.out].filter((o) => o !== null)
  const kind = int(7)
  if (kind <= 2 && operands.length > 0) {
    const o = pick(operands)
    if (o.shape.length > 0 && kind < 2) o.shape[int(o.shape.length)] = size()
    else if (chance(0.5)) o.shape.push(size())
    else o.shape.shift()
  } else if (kind === 3 && operands.length > 0) pick(operands).dtype = any()
  else if (kind === 4 && call.attrs && call.attrs.length > 0)
    call.attrs[int(call.attrs.length)] = pick(nasty)
  else if (kind === 5 && call.in.length > 0) call.in[int(call.in.length)] = null
  else if (kind === 6 && operands.length > 0) pick(operands).strided = true
}

/** Submits; says whether it was taken. */
function submit(op: string, call: Call): boolean {
  const inputs = call.in.map((o) => (o ? place(o) : absent))
  const outputs = call.out.map((o) => {
    if (!o) return absent
    return o.must === 'old' || o.strided || chance(0.2)
      ? place(o)
      : { handle: 0, shape: o.shape, dtype: o.dtype }
  })
  const { length, places } = write(op, inputs, outputs, call.attrs ?? [])
  const taken = native.submit(length) === 0
  if (taken) {
    places.forEach((p, i) => {
      if (outputs[i]!.handle === 0 && b[p] !== 0) owned.push(b[p]!)
    })
  } else if (native.lastError().late) native.resetError()
  release(...owned.splice(0))
  return taken
}

const text = readFileSync(
  new URL('../../packages/tensor/src/native/commands.gen.ts', import.meta.url),
  'utf8',
)
const oneToOne = new Set(
  [
    ...text.matchAll(/^ {2}(\w+): \{ code: \d+, inputs: \['x'\], outputs: \['y'\], attrs: \[\]/gm),
  ].map((m) => m[1]!),
)

for (const isa of info.isas) {
  test(`each op takes what is right and stays within its operands when something is wrong (${isa})`, () => {
    native.configure({ isa: isa as 'portable' })
    native.setMemoryLimit(2 ** 27)
    const before = native.stats().handles
    const never: string[] = []
    for (const op of native.opNames()) {
      const make = calls[op] ?? (oneToOne.has(op) ? unary : undefined)
      if (!make) throw new Error(`no call for ${op}: add one to this test`)
      let taken = 0
      for (let k = 0; k < 60; k++) if (submit(op, make())) taken++
      if (taken < 20) never.push(`${op} ${taken} of 60: ${native.lastError().message}`)
      for (let k = 0; k < 120; k++) {
        const call = structuredClone(make())
        for (let n = 1 + int(2); n > 0; n--) damage(call)
        submit(op, call)
      }
      native.sync()
      native.resetError()
    }
    assert.equal(never, [])
    assert.is(native.stats().handles, before)
    native.setMemoryLimit(0)
    native.configure({ isa: info.isa })
  })
}

test.run()
