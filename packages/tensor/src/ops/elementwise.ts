// Ops that work element by element. Two operands broadcast and promote as in PyTorch; a JavaScript number takes the
// tensor's dtype (a fraction beside an integer tensor makes it f32), and so does a tensor without dimensions.
import { AutogradError, DTypeError } from '../errors.js'
import { isFloating, promoteOperands, toFloating, type DType } from '../dtype.js'
import type { CommandName } from '../native/encode.js'
import { broadcastShapes } from '../shape.js'
import { Tensor } from '../tensor.js'
import { wantInRange, wantNumber, wantTensors } from './checks.js'
import { op } from './table.js'

/** The second operand of most ops. */
export type TensorLike = Tensor | number

export interface ElementwiseOps {
  /** this + other */
  add(other: TensorLike): Tensor
  /** this - other */
  sub(other: TensorLike): Tensor
  /** this * other */
  mul(other: TensorLike): Tensor
  /** this / other; integers give f32 */
  div(other: TensorLike): Tensor
  /** this ** exponent */
  pow(exponent: TensorLike): Tensor
  /** The larger of two; NaN wins. Where both are equal each gets half the gradient. */
  maximum(other: TensorLike): Tensor
  /** The smaller of two; NaN wins. Where both are equal each gets half the gradient. */
  minimum(other: TensorLike): Tensor
  neg(): Tensor
  abs(): Tensor
  /** -1, 0 or 1 */
  sign(): Tensor
  square(): Tensor
  /** 1 / x */
  reciprocal(): Tensor
  sqrt(): Tensor
  /** 1 / sqrt(x) */
  rsqrt(): Tensor
  exp(): Tensor
  /** exp(x) - 1, exact near 0 */
  expm1(): Tensor
  log(): Tensor
  /** log(1 + x), exact near 0 */
  log1p(): Tensor
  sin(): Tensor
  cos(): Tensor
  tanh(): Tensor
  /** Error function. */
  erf(): Tensor
  /** 1 / (1 + exp(-x)) */
  sigmoid(): Tensor
  /** max(x, 0) */
  relu(): Tensor
  /** x * Phi(x), exactly (erf, the default) or by the tanh formula (arXiv 1606.08415, section 2) */
  gelu(options?: { approximate?: 'none' | 'tanh' }): Tensor
  /** x * sigmoid(x) */
  silu(): Tensor
  /** log(1 + exp(x)), without overflow */
  softplus(): Tensor
  /** log(sigmoid(x)), without underflow */
  logSigmoid(): Tensor
  /** x where it is positive, slope * x elsewhere; default slope 0.01 */
  leakyRelu(slope?: number): Tensor
  floor(): Tensor
  ceil(): Tensor
  /** To the nearest integer, halves to the even one. */
  round(): Tensor
  /** Kept within [min, max]; a bound may be left out. */
  clamp(min?: number, max?: number): Tensor
  /** this == other, as bool */
  eq(other: TensorLike): Tensor
  ne(other: TensorLike): Tensor
  lt(other: TensorLike): Tensor
  le(other: TensorLike): Tensor
  gt(other: TensorLike): Tensor
  ge(other: TensorLike): Tensor
  logicalNot(): Tensor
  logicalAnd(other: TensorLike): Tensor
  logicalOr(other: TensorLike): Tensor
  logicalXor(other: TensorLike): Tensor
  isfinite(): Tensor
  isnan(): Tensor
  isinf(): Tensor
  /** `value` where mask (bool, broadcast) is true, this elsewhere. */
  maskedFill(mask: Tensor, value: number): Tensor
}

const like = ({
  x,
}: {
  readonly x: Tensor
}): { out: { shape: readonly number[]; dtype: DType } } => ({
  out: { shape: x.shape, dtype: x.dtype },
})
const asBool = ({
  x,
}: {
  readonly x: Tensor
}): { out: { shape: readonly number[]; dtype: DType } } => ({
  out: { shape: x.shape, dtype: 'bool' },
})

type NoAttrs = Record<never, never>
const none: NoAttrs = {}

/** f(x) whose gradient reads x. */
function ofInput(command: CommandName, grad: (g: Tensor, x: Tensor) => Tensor) {
  const f = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: (o: { readonly x: Tensor }, _: NoAttrs) => like(o),
    saves: ['x'],
    grad: (g, { x }) => ({ x: grad(g, x) }),
  })
  return (x: Tensor): Tensor => f({ x: x.to(toFloating(x.dtype)) }, none).out
}

/** f(x) whose gradient reads f(x). */
function ofOutput(command: CommandName, grad: (g: Tensor, out: Tensor) => Tensor) {
  const f = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: (o: { readonly x: Tensor }, _: NoAttrs) => like(o),
    saves: ['out'],
    grad: (g, { out }) => ({ x: grad(g, out) }),
  })
  return (x: Tensor): Tensor => f({ x: x.to(toFloating(x.dtype)) }, none).out
}

/** f(x) on any number type; its gradient needs x or nothing. */
function exact(command: CommandName, grad: (g: Tensor, x: Tensor) => Tensor) {
  const f = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: (o: { readonly x: Tensor }, _: NoAttrs) => like(o),
    saves: ['x'],
    grad: (g, { x }) => ({ x: grad(g, x) }),
  })
  return (x: Tensor): Tensor => f({ x }, none).out
}

/** A step function: its gradient is zero wherever it exists. */
const flat = (command: CommandName) => exact(command, (g) => g.mul(0))

/** Rounding: integers are as they are. */
function whole(command: CommandName) {
  const round = flat(command)
  return (x: Tensor): Tensor => (isFloating(x.dtype) ? round(x) : x)
}

/** A gradient kernel: g times f'(second). */
function backwardOf(command: CommandName) {
  const f = op({
    command,
    inputs: ['g', 'x'],
    outputs: ['out'],
    broadcast: true,
    check: ({ x }, _: NoAttrs) => like({ x }),
    saves: [],
    grad: 'none',
  })
  return (g: Tensor, x: Tensor): Tensor => f({ g, x }, none).out
}

const reluBackward = backwardOf('relu_backward')
const geluBackward = backwardOf('gelu_backward')
const geluTanhBackward = backwardOf('gelu_tanh_backward')
const siluBackward = backwardOf('silu_backward')

interface BinaryAttrs {
  readonly scalar: number
  /** The number stands on the left. */
  readonly reverse: boolean
  /** Result dtype where it is not the operands'. */
  readonly dtype?: DType
}

interface BinaryGrad {
  readonly a?: (g: Tensor, a: Tensor, b: TensorLike) => Tensor
  readonly b?: (g: Tensor, a: TensorLike, b: Tensor) => Tensor
}

function binaryShape(command: string, a: Tensor, b: Tensor | undefined): readonly number[] {
  return b ? broadcastShapes(command, a.shape, b.shape) : a.shape
}

const encodeBinary = ({ scalar, reverse }: BinaryAttrs): number[] => [scalar, reverse ? 1 : 0]

/** Brings both operands to one dtype. */
function unify(
  command: string,
  x: Tensor,
  y: TensorLike,
  floating: boolean,
): [Tensor, TensorLike, DType] {
  if (typeof y === 'number') {
    const dtype = isFloating(x.dtype)
      ? x.dtype
      : floating || !Number.isInteger(y)
        ? 'f32'
        : x.dtype === 'bool'
          ? 'i32'
          : x.dtype
    return [x.to(dtype), y, dtype]
  }
  if (!(y instanceof Tensor)) {
    throw new DTypeError(
      command,
      `takes a tensor or a number, got ${y === null ? 'null' : typeof y}.`,
    )
  }
  let dtype = promoteOperands(x, y)
  if (floating) dtype = toFloating(dtype)
  return [x.to(dtype), y.to(dtype), dtype]
}

/** Arithmetic of two operands. `reads` says whether the rule looks at the operands' values. */
function arithmetic(
  command: CommandName,
  floating: boolean,
  reads: boolean,
  rule: Required<BinaryGrad>,
) {
  const shape = (
    { a, b }: { readonly a: Tensor; readonly b?: Tensor | undefined },
    _: BinaryAttrs,
  ) => ({
    out: { shape: binaryShape(command, a, b), dtype: a.dtype },
  })
  const common = {
    command,
    inputs: ['a', 'b?'],
    outputs: ['out'],
    broadcast: true,
    check: shape,
    encode: encodeBinary,
  } as const
  const f = reads
    ? op({
        ...common,
        saves: ['a', 'b'],
        grad: (g, { a, b }, { attrs: { scalar, reverse }, need }) => {
          if (b)
            return {
              a: need.a ? rule.a(g, a, b) : undefined,
              b: need.b ? rule.b(g, a, b) : undefined,
            }
          return { a: reverse ? rule.b(g, scalar, a) : rule.a(g, a, scalar) }
        },
      })
    : op({
        ...common,
        saves: [],
        grad: (g, _, { attrs: { scalar, reverse }, need, metas }) => {
          // The rules of add and sub do not look at the operands; g stands in for both.
          if (metas.b)
            return {
              a: need.a ? rule.a(g, g, g) : undefined,
              b: need.b ? rule.b(g, g, g) : undefined,
            }
          return { a: reverse ? rule.b(g, scalar, g) : rule.a(g, g, scalar) }
        },
      })
  return (x: Tensor, y: TensorLike, reverse = false): Tensor => {
    const [a, b] = unify(command, x, y, floating)
    if (typeof b !== 'number') return f({ a, b }, { scalar: 0, reverse: false }).out
    // A negative number beside u8 counts backwards, as in PyTorch: x - 1 = x + -1.
    if (!isFloating(a.dtype)) wantInRange(command, a.dtype === 'u8' ? Math.abs(b) : b, a.dtype)
    return f({ a }, { scalar: b, reverse }).out
  }
}

function compare(command: CommandName) {
  const f = op({
    command,
    inputs: ['a', 'b?'],
    outputs: ['out'],
    broadcast: true,
    check: ({ a, b }, _: BinaryAttrs) => ({
      out: { shape: binaryShape(command, a, b), dtype: 'bool' as const },
    }),
    encode: encodeBinary,
    saves: [],
    grad: 'none',
  })
  return (x: Tensor, y: TensorLike): Tensor => {
    const [a, b] = unify(command, x, y, false)
    return typeof b === 'number'
      ? f({ a }, { scalar: b, reverse: false }).out
      : f({ a, b }, { scalar: 0, reverse: false }).out
  }
}

const mask = (condition: Tensor, dtype: DType): Tensor => condition.to(dtype)
/** 1 where `wins`, 1/2 where equal, 0 elsewhere. */
const share = (g: Tensor, wins: Tensor, equal: Tensor): Tensor =>
  g.mul(mask(wins, g.dtype).add(mask(equal, g.dtype).mul(0.5)))

const pow = arithmetic('pow', false, true, {
  a: (g, a, b) => {
    const slope = typeof b === 'number' ? a.pow(b - 1).mul(b) : b.mul(a.pow(b.sub(1)))
    // x ** 0 is constant, also at 0 where the formula gives 0 * inf.
    return g.mul(typeof b === 'number' ? (b === 0 ? a.mul(0) : slope) : where(b.eq(0), 0, slope))
  },
  b: (g, a, b) => {
    const log = typeof a === 'number' ? Math.log(a) : a.log()
    const power = typeof a === 'number' ? binary.pow(b, a, true) : a.pow(b)
    const slope = power.mul(log)
    // 0 ** b is flat for b > 0, where the formula gives 0 * -inf.
    const zero = typeof a === 'number' ? undefined : a.eq(0)
    if (typeof a === 'number') return g.mul(a === 0 ? b.mul(0) : slope)
    return g.mul(where(zero!, 0, slope))
  },
})

const binary = {
  add: arithmetic('add', false, false, { a: (g) => g, b: (g) => g }),
  sub: arithmetic('sub', false, false, { a: (g) => g, b: (g) => g.neg() }),
  mul: arithmetic('mul', false, true, { a: (g, _a, b) => g.mul(b), b: (g, a) => g.mul(a) }),
  div: arithmetic('div', true, true, {
    a: (g, _a, b) => g.div(b),
    b: (g, a, b) => g.neg().mul(a).div(b.square()),
  }),
  pow,
  maximum: arithmetic('maximum', false, true, {
    a: (g, a, b) => share(g, a.gt(b), a.eq(b)),
    b: (g, a, b) => share(g, b.gt(a), b.eq(a)),
  }),
  minimum: arithmetic('minimum', false, true, {
    a: (g, a, b) => share(g, a.lt(b), a.eq(b)),
    b: (g, a, b) => share(g, b.lt(a), b.eq(a)),
  }),
}

const clampRow = op({
  command: 'clamp',
  inputs: ['x'],
  outputs: ['out'],
  check: (o, _: { min: number; max: number }) => like(o),
  encode: ({ min, max }) => [min, max],
  saves: ['x'],
  grad: (g, { x }, { attrs: { min, max } }) => ({
    x: g.mul(mask(x.ge(min).logicalAnd(x.le(max)), g.dtype)),
  }),
})

const predicate = (command: CommandName) => {
  const f = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: (o: { readonly x: Tensor }, _: NoAttrs) => asBool(o),
    saves: [],
    grad: 'none',
  })
  return (x: Tensor): Tensor => f({ x }, none).out
}

const whereRow = op({
  command: 'where',
  inputs: ['cond', 'a?', 'b?'],
  outputs: ['out'],
  broadcast: true,
  check: ({ cond, a, b }, { dtype }: { scalarA: number; scalarB: number; dtype: DType }) => {
    let shape = cond.shape
    if (a) shape = broadcastShapes('where', shape, a.shape)
    if (b) shape = broadcastShapes('where', shape, b.shape)
    return { out: { shape, dtype } }
  },
  encode: ({ scalarA, scalarB }) => [scalarA, scalarB],
  saves: ['cond'],
  grad: (g, { cond }, { need }) => ({
    a: need.a ? where(cond, g, 0) : undefined,
    b: need.b ? where(cond, 0, g) : undefined,
  }),
})

/**
 * `a` where `cond` is true, `b` elsewhere, element by element; all three broadcast.
 * @param cond bool
 */
export function where(cond: Tensor, a: TensorLike, b: TensorLike): Tensor {
  return choose('where', cond, a, b)
}

function choose(name: string, cond: Tensor, a: TensorLike, b: TensorLike): Tensor {
  wantTensors(name, { condition: cond })
  if (cond.dtype !== 'bool') {
    throw new DTypeError(
      name,
      `the condition must be bool, got ${cond.describe()}. Compare it with something.`,
    )
  }
  const dtype = choiceDType(name, a, b)
  return whereRow(
    {
      cond,
      a: a instanceof Tensor ? a.to(dtype) : undefined,
      b: b instanceof Tensor ? b.to(dtype) : undefined,
    },
    { scalarA: a instanceof Tensor ? 0 : a, scalarB: b instanceof Tensor ? 0 : b, dtype },
  ).out
}

/** Numbers take the tensor's dtype; a fraction beside integers makes it f32. */
function choiceDType(name: string, a: TensorLike, b: TensorLike): DType {
  if (a instanceof Tensor && b instanceof Tensor) return promoteOperands(a, b)
  const [one, number] = a instanceof Tensor ? [a, b] : [b, a]
  wantNumber(name, 'a value that is no tensor', number)
  if (!(one instanceof Tensor)) {
    wantNumber(name, 'a value that is no tensor', one)
    return 'f32'
  }
  if (isFloating(one.dtype) || (one.dtype === 'bool' && (number === 0 || number === 1)))
    return one.dtype
  if (!Number.isInteger(number)) return 'f32'
  const dtype = one.dtype === 'bool' ? 'i32' : one.dtype
  wantInRange(name, number, dtype)
  return dtype
}

const relu = ofOutput('relu', reluBackward)
const gelu = ofInput('gelu', geluBackward)
const geluTanh = ofInput('gelu_tanh', geluTanhBackward)
const comparisons = {
  eq: compare('eq'),
  ne: compare('ne'),
  lt: compare('lt'),
  le: compare('le'),
  gt: compare('gt'),
  ge: compare('ge'),
  logicalAnd: compare('logical_and'),
  logicalOr: compare('logical_or'),
}

export const elementwise: {
  [K in keyof ElementwiseOps]: (x: Tensor, ...args: Parameters<ElementwiseOps[K]>) => Tensor
} = {
  add: (x, y) => binary.add(x, y),
  sub: (x, y) => {
    if (x.dtype === 'bool' || (y instanceof Tensor && y.dtype === 'bool')) {
      throw new DTypeError('sub', 'bool has no difference. Use logicalXor, logicalNot or .int().')
    }
    return binary.sub(x, y)
  },
  mul: (x, y) => binary.mul(x, y),
  div: (x, y) => binary.div(x, y),
  pow: (x, y) => {
    if (y === 2) return x.square()
    if (y === 0.5) return x.sqrt()
    return binary.pow(isFloating(x.dtype) || typeof y !== 'number' || y >= 0 ? x : x.to('f32'), y)
  },
  maximum: (x, y) => binary.maximum(x, y),
  minimum: (x, y) => binary.minimum(x, y),
  ...comparisons,
  neg: exact('neg', (g) => g.neg()),
  abs: exact('abs', (g, x) => g.mul(x.sign())),
  sign: flat('sign'),
  square: exact('square', (g, x) => g.mul(x).mul(2)),
  reciprocal: ofOutput('reciprocal', (g, y) => g.neg().mul(y.square())),
  sqrt: ofOutput('sqrt', (g, y) => g.div(y).mul(0.5)),
  rsqrt: ofOutput('rsqrt', (g, y) => g.mul(y.mul(y.square())).mul(-0.5)),
  exp: ofOutput('exp', (g, y) => g.mul(y)),
  expm1: ofOutput('expm1', (g, y) => g.mul(y.add(1))),
  log: ofInput('log', (g, x) => g.div(x)),
  log1p: ofInput('log1p', (g, x) => g.div(x.add(1))),
  sin: ofInput('sin', (g, x) => g.mul(x.cos())),
  cos: ofInput('cos', (g, x) => g.mul(x.sin()).neg()),
  tanh: ofOutput('tanh', (g, y) => g.mul(y.square().neg().add(1))),
  erf: ofInput('erf', (g, x) => g.mul(x.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))),
  sigmoid: ofOutput('sigmoid', (g, y) => g.mul(y).mul(y.neg().add(1))),
  relu: (x) => (isFloating(x.dtype) ? relu(x) : x.maximum(0)),
  gelu: (x, { approximate = 'none' } = {}) => (approximate === 'tanh' ? geluTanh(x) : gelu(x)),
  silu: ofInput('silu', siluBackward),
  // max(x, 0) + log(1 + exp(-|x|))
  softplus: (x) => x.maximum(0).add(x.abs().neg().exp().log1p()),
  logSigmoid: (x) => x.neg().softplus().neg(),
  leakyRelu: (x, slope = 0.01) => where(x.gt(0), x, x.mul(slope)),
  floor: whole('floor'),
  ceil: whole('ceil'),
  round: whole('round'),
  clamp: (x, min = -Infinity, max = Infinity) => {
    wantNumber('clamp', 'min', min)
    wantNumber('clamp', 'max', max)
    // A bound that is a fraction cannot be met among integers.
    const fraction = [min, max].some((v) => Number.isFinite(v) && !Number.isInteger(v))
    if (!isFloating(x.dtype) && fraction) return elementwise.clamp(x.to('f32'), min, max)
    if (!(min <= max)) throw new AutogradError('clamp', `needs min <= max, got ${min} and ${max}.`)
    return clampRow({ x }, { min, max }).out
  },
  logicalNot: predicate('logical_not'),
  isfinite: predicate('isfinite'),
  isnan: (x) => x.ne(x),
  isinf: (x) => x.abs().eq(Infinity),
  logicalXor: (x, y) => x.ne(0).ne(typeof y === 'number' ? Number(y !== 0) : y.ne(0)),
  maskedFill: (x, m, value) => choose('maskedFill', m, value, x),
}

/** number (+ - * /) tensor, for the places where the number stands on the left. */
export const scalarOn = {
  sub: (a: number, x: Tensor): Tensor => binary.sub(x, a, true),
  div: (a: number, x: Tensor): Tensor => binary.div(x, a, true),
  pow: (a: number, x: Tensor): Tensor => binary.pow(x, a, true),
}
