// What each op of fixtures/make.py is called here: one line an op. A function gets the case's tensors and attributes.
import {
  adamw_,
  cat,
  conv2d,
  crossEntropy,
  embedding,
  globalNorm,
  interpolate,
  layerNorm,
  linspace,
  meshgrid,
  oneHot,
  normRope,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  stack,
  swiglu,
  where,
  type DType,
  type Tensor,
} from '@shakti/tensor'

/** Attributes as they stand in ops.json, under the names of our options. */
export interface Attrs {
  readonly beta1: number
  readonly beta2: number
  readonly a: number
  readonly alignCorners: boolean
  readonly b: number
  readonly descending: boolean
  readonly diagonal: number
  readonly dilation: number
  readonly dim: number
  readonly dims: number[]
  readonly dtype: DType
  readonly end: number
  readonly eps: number
  readonly exponent: number
  readonly groups: number
  readonly ignoreIndex: number
  readonly index: number
  readonly isCausal: boolean
  readonly k: number
  readonly keepDim: boolean
  readonly labelSmoothing: number
  readonly largest: boolean
  readonly length: number
  readonly lr: number
  readonly max: number
  readonly min: number
  readonly mode: 'nearest' | 'bilinear' | 'bicubic'
  readonly padding: number
  readonly pads: [number, number][]
  readonly reduction: 'mean' | 'sum' | 'none'
  readonly scale: number
  readonly shape: number[]
  readonly shift: number | number[]
  readonly size: [number, number]
  readonly start: number
  readonly step: number
  readonly stride: number
  readonly times: number[]
  readonly unbiased: boolean
  readonly value: number
  readonly weightDecay: number
  readonly window: number
}

/** Cases have at most seven tensors; one that a case leaves out is undefined at run time. */
type Inputs = readonly [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
export type Run = (inputs: Inputs, attrs: Attrs) => Tensor | readonly Tensor[]

const pair = ({ values, indices }: { values: Tensor; indices: Tensor }): Tensor[] => [
  values,
  indices,
]

export const table: Record<string, Run> = {
  neg: ([x]) => x.neg(),
  abs: ([x]) => x.abs(),
  sign: ([x]) => x.sign(),
  square: ([x]) => x.square(),
  reciprocal: ([x]) => x.reciprocal(),
  sqrt: ([x]) => x.sqrt(),
  rsqrt: ([x]) => x.rsqrt(),
  exp: ([x]) => x.exp(),
  expm1: ([x]) => x.expm1(),
  log: ([x]) => x.log(),
  log1p: ([x]) => x.log1p(),
  sin: ([x]) => x.sin(),
  cos: ([x]) => x.cos(),
  tanh: ([x]) => x.tanh(),
  erf: ([x]) => x.erf(),
  sigmoid: ([x]) => x.sigmoid(),
  relu: ([x]) => x.relu(),
  gelu: ([x]) => x.gelu(),
  geluTanh: ([x]) => x.gelu({ approximate: 'tanh' }),
  silu: ([x]) => x.silu(),
  softplus: ([x]) => x.softplus(),
  floor: ([x]) => x.floor(),
  ceil: ([x]) => x.ceil(),
  round: ([x]) => x.round(),
  logicalNot: ([x]) => x.logicalNot(),
  isfinite: ([x]) => x.isfinite(),
  isnan: ([x]) => x.isnan(),
  clamp: ([x], { min, max }) => x.clamp(min, max),

  add: ([a, b]) => a.add(b),
  sub: ([a, b]) => a.sub(b),
  mul: ([a, b]) => a.mul(b),
  div: ([a, b]) => a.div(b),
  pow: ([a, b]) => a.pow(b),
  maximum: ([a, b]) => a.maximum(b),
  minimum: ([a, b]) => a.minimum(b),
  eq: ([a, b]) => a.eq(b),
  ne: ([a, b]) => a.ne(b),
  lt: ([a, b]) => a.lt(b),
  le: ([a, b]) => a.le(b),
  gt: ([a, b]) => a.gt(b),
  ge: ([a, b]) => a.ge(b),
  logicalAnd: ([a, b]) => a.logicalAnd(b),
  logicalOr: ([a, b]) => a.logicalOr(b),
  powScalar: ([x], { exponent }) => x.pow(exponent),
  addScalar: ([x], { value }) => x.add(value),
  mulScalar: ([x], { value }) => x.mul(value),
  divScalar: ([x], { value }) => x.div(value),
  where: ([cond, a, b]) => where(cond, a, b),
  maskedFill: ([x, mask], { value }) => x.maskedFill(mask, value),

  sum: ([x], { dims, keepDim }) => x.sum(dims, { keepDim }),
  sumInt: ([x]) => x.sum([1]),
  mean: ([x], { dims, keepDim }) => x.mean(dims, { keepDim }),
  amax: ([x], { dims, keepDim }) => x.amax(dims, { keepDim }),
  amin: ([x], { dims, keepDim }) => x.amin(dims, { keepDim }),
  prod: ([x], { dims, keepDim }) => x.prod(dims, { keepDim }),
  logsumexp: ([x], { dims, keepDim }) => x.logsumexp(dims, { keepDim }),
  norm: ([x], { dims, keepDim }) => x.norm(dims, { keepDim }),
  var: ([x], { dims, keepDim, unbiased }) => x.var(dims, { keepDim, unbiased }),
  std: ([x], { dims, keepDim }) => x.std(dims, { keepDim }),
  maxDim: ([x], { dim }) => pair(x.max(dim)),
  minDim: ([x], { dim }) => pair(x.min(dim)),
  argmax: ([x], { dim }) => x.argmax(dim),
  argmin: ([x], { dim }) => x.argmin(dim),
  any: ([x], { dim }) => x.any(dim),
  all: ([x], { dim }) => x.all(dim),
  cumsum: ([x], { dim }) => x.cumsum(dim),

  matmul: ([a, b]) => a.matmul(b),
  matmulT: ([a, b]) => a.mT().matmul(b.mT()),
  linear: ([x, w, bias]) => x.linear(w, bias),
  linearResidual: ([x, w, bias, residual]) => x.linear(w, bias, { residual }),
  linearScaled: ([x, w, bias, residual]) => x.linear(w, bias, { scale: 0.5, residual }),
  linearGelu: ([x, w, bias, residual]) => x.linear(w, bias, { activation: 'gelu', residual }),
  linearSilu: ([x, w, bias, residual]) => x.linear(w, bias, { activation: 'silu', residual }),
  linearSwiglu: ([x, w, bias, gate, residual]) => x.linear(w, bias, { swiglu: gate, residual }),

  softmax: ([x], { dim }) => x.softmax(dim),
  logSoftmax: ([x], { dim }) => x.logSoftmax(dim),
  layerNorm: ([x, w, b], { eps }) => layerNorm(x, w, b, eps),
  rmsNorm: ([x, w], { eps }) => rmsNorm(x, w, eps),
  crossEntropy: ([x, target], attrs) => crossEntropy(x, target, attrs),

  embedding: ([ids, w]) => embedding(ids, w),
  gather: ([x, index], { dim }) => x.gather(dim, index),
  scatterAdd: ([x, index, src], { dim }) => x.scatterAdd(dim, index, src),
  indexSelect: ([x, index], { dim }) => x.indexSelect(dim, index),
  indexAdd: ([x, index, src], { dim }) => x.indexAdd(dim, index, src),
  take: ([x, index]) => x.take(index),
  sort: ([x], { dim, descending }) => pair(x.sort(dim, { descending })),
  topk: ([x], { k, dim, largest }) => pair(x.topk(k, dim, { largest })),

  reshape: ([x], { shape }) => x.reshape(shape),
  reshapeT: ([x], { shape }) => x.mT().reshape(shape),
  flatten: ([x]) => x.flatten(1),
  transpose: ([x], { a, b }) => x.transpose(a, b),
  permute: ([x], { dims }) => x.permute(dims),
  movedim: ([x]) => x.movedim(0, -1),
  unsqueezeSqueeze: ([x]) => x.unsqueeze(1).squeeze(-1),
  expand: ([x], { shape }) => x.expand(shape),
  narrow: ([x], { dim, start, length }) => x.narrow(dim, start, length),
  select: ([x], { dim, index }) => x.select(dim, index),
  slice: ([x]) => x.slice([1, 3], null, [-2]),
  sliceStep: ([x]) => x.slice([0, 4, 2], [1]),
  split: ([x]) => x.split(2, 1),
  splitSizes: ([x]) => x.split([1, 3], 0),
  chunk: ([x]) => x.chunk(3, 0),
  cat: ([a, b, c], { dim }) => cat([a, b, c], dim),
  stack: ([a, b, c], { dim }) => stack([a, b, c], dim),
  pad: ([x], { pads, value }) => x.pad(pads, value),
  flip: ([x], { dims }) => x.flip(dims),
  roll: ([x], { shift, dim }) => x.roll(shift, dim),
  repeat: ([x], { times }) => x.repeat(times),
  tril: ([x], { diagonal }) => x.tril(diagonal),
  triu: ([x], { diagonal }) => x.triu(diagonal),

  conv2d: ([x, w, b], attrs) => conv2d(x, w, b, attrs),
  interpolate: ([x], attrs) => interpolate(x, attrs),
  rope: ([x, cos, sin]) => rope(x, cos, sin),
  normRope: ([x, cos, sin, w], { eps }) => normRope(x, w, cos, sin, eps),
  attention: ([q, k, v, mask], attrs) =>
    scaledDotProductAttention(q, k, v, mask ? { ...attrs, mask } : attrs),
  attentionVarlen: ([q, k, v, cu], attrs) =>
    scaledDotProductAttention(q, k, v, { ...attrs, cuSeqlensQ: cu, layout: 'blhd' }),
  swiglu: ([gate, up]) => swiglu(gate, up),

  adamw: ([p, g, m, v], attrs) => {
    const [w, expAvg, expAvgSq] = [p.clone(), m.clone(), v.clone()]
    const { lr, beta1, beta2, eps, weightDecay, step } = attrs
    adamw_([w], [g], [expAvg], [expAvgSq], { lr, beta1, beta2, eps, weightDecay, step })
    return [w, expAvg, expAvgSq]
  },
  globalNorm: ([a, b]) => globalNorm([a, b]),

  double: ([x]) => x.double(),
  half: ([x]) => x.half(),
  bfloat16: ([x]) => x.bfloat16(),
  int: ([x]) => x.int(),
  long: ([x]) => x.long(),
  bool: ([x]) => x.bool(),
  isinf: ([x]) => x.isinf(),
  logicalXor: ([a, b]) => a.logicalXor(b),
  logSigmoid: ([x]) => x.logSigmoid(),
  leakyRelu: ([x]) => x.leakyRelu(0.25),
  t: ([x]) => x.t(),
  expandAs: ([x, other]) => x.expandAs(other),
  unflatten: ([x], { dim, shape }) => x.unflatten(dim, shape),
  unbind: ([x], { dim }) => x.unbind(dim),
  repeatInterleave: ([x], { dim }) => x.repeatInterleave(3, dim),
  argsort: ([x], { dim }) => x.argsort(dim),
  oneHot: ([index]) => oneHot(index, 5),
  meshgrid: ([a, b]) => meshgrid(a, b),
  linspace: () => linspace(-1, 2, 7),
  cast: ([x], { dtype }) => x.to(dtype),
}
