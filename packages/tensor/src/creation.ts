// Making tensors: from data, filled, random.
import { checkDType, dtypeSize, isFloating, type DataArray, type DType } from './dtype.js'
import { DTypeError, ShaktiError, ShapeError } from './errors.js'
import { issue, issueOne, type CommandName } from './native/encode.js'
import { native, takeNativeError } from './native/binding.js'
import { getDefaultDevice, placeOf, resolveDevice, type DeviceName } from './native/places.js'
import { checkFill, wantInRange, wantTensorList, wantTensors } from './ops/checks.js'
import { takeRandom } from './random.js'
import { checkShape, formatShape, numel } from './shape.js'
import { allocate, Storage } from './storage.js'
import { Tensor } from './tensor.js'

export interface TensorOptions {
  /** Default f32 (from data: what the data says). */
  dtype?: DType
  /** 'cpu', 'cuda', 'cuda:1', ... or 'meta' (sizes without memory). Default: the default device. */
  device?: DeviceName | undefined
  /** Default false. */
  requiresGrad?: boolean
}

/** Nested lists of numbers, bigints (i64) or booleans. */
export type TensorData = number | bigint | boolean | DataArray | readonly TensorData[]

function made(t: Tensor, options: TensorOptions): Tensor {
  if (options.requiresGrad) t.requiresGrad = true
  return t
}

/** Where the options want a tensor. */
function deviceFor(op: string, { device }: TensorOptions): DeviceName {
  return device === undefined ? getDefaultDevice() : resolveDevice(op, device)
}

/** An output of a command without inputs, on the device that the options name. */
function generate(
  command: CommandName,
  shape: readonly number[],
  options: TensorOptions,
  attrs: readonly number[],
): Tensor {
  checkShape(command, shape)
  const { dtype = 'f32' } = options
  const device = deviceFor(command, options)
  checkDType(command, dtype)
  const [t] = issue(command, [], [{ shape: [...shape], dtype }], attrs, undefined, device)
  return made(t!, options)
}

/** Sizes of nested lists; refuses ragged ones. */
function sizesOf(data: readonly TensorData[]): number[] {
  const shape: number[] = []
  let level: TensorData = data
  while (Array.isArray(level)) {
    shape.push(level.length)
    if (shape.length > 8) throw new ShapeError('tensor', 'lists are nested deeper than 8 levels.')
    level = (level as readonly TensorData[])[0] as TensorData
  }
  return shape
}

function flatten(
  data: TensorData,
  shape: readonly number[],
  depth: number,
  out: (number | bigint | boolean)[],
): void {
  if (depth === shape.length) {
    if (typeof data !== 'number' && typeof data !== 'bigint' && typeof data !== 'boolean') {
      throw new ShapeError(
        'tensor',
        `expected a number at depth ${depth}, got ${data === null ? 'null' : typeof data}.`,
      )
    }
    out.push(data)
    return
  }
  if (!Array.isArray(data) || data.length !== shape[depth]) {
    throw new ShapeError(
      'tensor',
      `lists must be of equal length: at depth ${depth} expected ${shape[depth]}, got ${Array.isArray(data) ? data.length : typeof data}.`,
    )
  }
  for (const item of data as readonly TensorData[]) flatten(item, shape, depth + 1, out)
}

const arrayDType = (data: DataArray): DType => {
  if (data instanceof Float32Array) return 'f32'
  if (data instanceof Float64Array) return 'f64'
  if (data instanceof Int32Array) return 'i32'
  if (data instanceof BigInt64Array) return 'i64'
  return 'u8'
}

function isDataArray(data: unknown): data is DataArray {
  return (
    data instanceof Float32Array ||
    data instanceof Float64Array ||
    data instanceof Int32Array ||
    data instanceof Uint8Array ||
    data instanceof Uint8ClampedArray ||
    data instanceof BigInt64Array
  )
}

/** Copies an array in, as it lies. */
function upload(
  data: DataArray,
  dtype: DType,
  shape: readonly number[],
  device: DeviceName,
): Tensor {
  const storage = allocate('tensor', data.byteLength, device)
  const t = new Tensor(storage, dtype, shape)
  if (data.byteLength > 0 && native().upload(storage.handle, 0, data, placeOf(device)) < 0)
    throw takeNativeError('tensor')
  return t
}

/**
 * A tensor with the given elements, copied.
 * @param data a number, nested lists, or a typed array (with `shape`, else 1-D). Int32Array gives i32, Float64Array f64,
 * Uint8Array u8, BigInt64Array i64, booleans bool, all else f32
 * @example tensor([[1, 2], [3, 4]]).matmul(tensor([[1], [1]]))
 */
export function tensor(
  data: TensorData,
  options: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  const { dtype } = options
  const device = deviceFor('tensor', options)
  if (dtype !== undefined) checkDType('tensor', dtype)
  let flat: DataArray
  let shape: readonly number[]
  let from: DType
  if (isDataArray(data)) {
    flat = data
    shape = options.shape ?? [data.length]
    from = arrayDType(data)
  } else {
    const items: (number | bigint | boolean)[] = []
    const sizes = Array.isArray(data) ? sizesOf(data as readonly TensorData[]) : []
    flatten(data, sizes, 0, items)
    shape = options.shape ?? sizes
    const all = (type: string): boolean => items.length > 0 && items.every((v) => typeof v === type)
    const whole = dtype === 'i64' || (dtype === undefined && all('bigint'))
    // Doubles on the way to an integer dtype, which hold every one of its numbers.
    const f64 = dtype === 'f64' || dtype === 'i32' || dtype === 'u8'
    if (dtype !== undefined)
      for (const v of items) if (typeof v === 'number') wantInRange('tensor', v, dtype)
    from = whole ? 'i64' : f64 ? 'f64' : dtype === undefined && all('boolean') ? 'bool' : 'f32'
    flat = whole
      ? BigInt64Array.from(items, (v) => BigInt(typeof v === 'number' ? Math.trunc(v) : v))
      : from === 'bool'
        ? Uint8Array.from(items, (v) => (v ? 1 : 0))
        : from === 'f64'
          ? Float64Array.from(items, Number)
          : Float32Array.from(items, Number)
  }
  checkShape('tensor', shape)
  if (numel(shape) !== flat.length) {
    throw new ShapeError(
      'tensor',
      `${flat.length} elements do not fill ${formatShape(shape)} (${numel(shape)}).`,
      [shape],
    )
  }
  if (device === 'meta') {
    const type = dtype ?? from
    return made(
      new Tensor(new Storage(0, flat.length * dtypeSize(type), 'meta'), type, [...shape]),
      options,
    )
  }
  const t = upload(flat, from, [...shape], device)
  if (dtype === undefined || dtype === from) return made(t, options)
  const converted = t.to(dtype)
  t.dispose()
  return made(converted, options)
}

/** Content undefined; for buffers that are written before they are read. */
export function empty(shape: readonly number[], options: TensorOptions = {}): Tensor {
  checkShape('empty', shape)
  const { dtype = 'f32' } = options
  const device = deviceFor('empty', options)
  checkDType('empty', dtype)
  return made(
    new Tensor(allocate('empty', numel(shape) * dtypeSize(dtype), device), dtype, [...shape]),
    options,
  )
}

export function full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
  checkFill('full', value, options.dtype ?? 'f32')
  return generate('fill', shape, options, [value])
}

export function zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return full(shape, 0, options)
}

export function ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return full(shape, 1, options)
}

/** Zeros of t's shape, dtype and device. */
export function zerosLike(t: Tensor, options: TensorOptions = {}): Tensor {
  return zeros(t.shape, { dtype: t.dtype, device: t.device, ...options })
}

export function onesLike(t: Tensor, options: TensorOptions = {}): Tensor {
  return ones(t.shape, { dtype: t.dtype, device: t.device, ...options })
}

export function fullLike(t: Tensor, value: number, options: TensorOptions = {}): Tensor {
  return full(t.shape, value, { dtype: t.dtype, device: t.device, ...options })
}

export function emptyLike(t: Tensor, options: TensorOptions = {}): Tensor {
  return empty(t.shape, { dtype: t.dtype, device: t.device, ...options })
}

/**
 * start, start + step, ... before `end`. With one argument: 0 .. end.
 * @returns i32 when all three are integers, else f32, unless options.dtype says otherwise
 */
export function arange(start: number, end?: number, step = 1, options: TensorOptions = {}): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end]
  const n = Math.max(0, Math.ceil((to - from) / step))
  if (!Number.isFinite(n) || step === 0) {
    throw new ShaktiError('arange', `cannot count from ${from} to ${to} in steps of ${step}.`)
  }
  const integers = [from, to, step].every(Number.isInteger)
  const dtype = options.dtype ?? (integers ? 'i32' : 'f32')
  if (n > 0) for (const v of [from, from + (n - 1) * step]) wantInRange('arange', v, dtype)
  return generate('arange', [n], { ...options, dtype }, [from, step])
}

/** `steps` numbers in equal distances from `start` to `end`, both included; f32 by default. */
export function linspace(
  start: number,
  end: number,
  steps: number,
  options: TensorOptions = {},
): Tensor {
  if (!Number.isFinite(end - start) || !Number.isSafeInteger(steps) || steps < 0) {
    throw new ShaktiError(
      'linspace',
      `needs two finite numbers and an integer from 0, got ${start}, ${end} and ${steps}.`,
    )
  }
  // In f64, so that the last one is `end` after rounding.
  const { dtype = 'f32', device } = options
  const step = steps > 1 ? (end - start) / (steps - 1) : 0
  const places = generate('arange', [steps], { dtype: 'f64', device }, [0, 1])
  return made(places.mul(step).add(start).to(dtype), options)
}

/**
 * 1 at the place that each index names, 0 elsewhere: index.shape + [classes], i32. An index outside gives a row of 0.
 * @param classes one more than the largest index
 */
export function oneHot(index: Tensor, classes: number): Tensor {
  wantTensors('oneHot', { index })
  if (index.dtype !== 'i32' && index.dtype !== 'i64')
    throw new DTypeError('oneHot', `indices must be i32 or i64, got ${index.describe()}.`)
  if (!Number.isSafeInteger(classes) || classes < 1)
    throw new ShapeError('oneHot', `classes must be an integer from 1, got ${classes}.`)
  const all = arange(0, classes, 1, { device: index.device })
  return index.unsqueeze(-1).eq(all).to('i32')
}

/** Each 1-D tensor stretched along all the others: coordinates of a grid, the first tensor along dim 0 ('ij'). */
export function meshgrid(...tensors: readonly Tensor[]): Tensor[] {
  wantTensorList('meshgrid', tensors)
  tensors.forEach((t) => {
    if (t.ndim !== 1)
      throw new ShapeError('meshgrid', `tensors have one dimension, got ${t.describe()}.`, [
        t.shape,
      ])
  })
  const shape = tensors.map((t) => t.shape[0]!)
  return tensors.map((t, i) => t.reshape(shape.map((s, d) => (d === i ? s : 1))).expand(shape))
}

/** 1 on the diagonal, 0 elsewhere. */
export function eye(n: number, options: TensorOptions = {}): Tensor {
  if (!Number.isInteger(n) || n < 0)
    throw new ShapeError('eye', `needs an integer from 0, got ${n}.`)
  const i = arange(0, n, 1, { device: options.device })
  return made(
    i
      .unsqueeze(0)
      .eq(i.unsqueeze(1))
      .to(options.dtype ?? 'f32'),
    options,
  )
}

/** Uniform in [low, high). */
export function uniform(
  shape: readonly number[],
  low = 0,
  high = 1,
  options: TensorOptions = {},
): Tensor {
  if (!(low <= high && Number.isFinite(high - low)))
    throw new ShaktiError('uniform', `needs finite low <= high, got ${low} and ${high}.`)
  return generate('uniform', shape, options, [...takeRandom(numel(shape)), low, high])
}

/** Uniform in [0, 1). */
export function rand(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return uniform(shape, 0, 1, options)
}

export function normal(
  shape: readonly number[],
  mean = 0,
  std = 1,
  options: TensorOptions = {},
): Tensor {
  if (!(std >= 0) || !Number.isFinite(mean))
    throw new ShaktiError('normal', `needs a finite mean and std >= 0, got ${mean} and ${std}.`)
  return generate('normal', shape, options, [...takeRandom(numel(shape)), mean, std])
}

/** Normal with mean 0 and standard deviation 1. */
export function randn(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return normal(shape, 0, 1, options)
}

/** As `rand`, in t's shape, dtype and device. */
export function randLike(t: Tensor, options: TensorOptions = {}): Tensor {
  return rand(t.shape, { dtype: t.dtype, device: t.device, ...options })
}

/** As `randn`, in t's shape, dtype and device. */
export function randnLike(t: Tensor, options: TensorOptions = {}): Tensor {
  return randn(t.shape, { dtype: t.dtype, device: t.device, ...options })
}

/**
 * Normal numbers, drawn again when they fall outside [low, high] (in units of the result).
 * @param range default mean 0, std 1, low -2, high 2
 */
export function truncatedNormal(
  shape: readonly number[],
  range: { mean?: number; std?: number; low?: number; high?: number } = {},
  options: TensorOptions = {},
): Tensor {
  const { mean = 0, std = 1, low = mean - 2 * std, high = mean + 2 * std } = range
  // So far out the distribution function has no digits left.
  if (!(low < mean + 6 * std && high > mean - 6 * std)) {
    throw new ShaktiError(
      'truncatedNormal',
      `[${low}, ${high}] must reach within 6 standard deviations (${std}) of the mean ${mean}.`,
    )
  }
  return generate('truncated_normal', shape, options, [
    ...takeRandom(numel(shape)),
    mean,
    std,
    low,
    high,
  ])
}

/** Integers in [low, high), i32. */
export function randint(
  low: number,
  high: number,
  shape: readonly number[],
  options: TensorOptions = {},
): Tensor {
  if (!Number.isInteger(low) || !Number.isInteger(high) || high <= low) {
    throw new ShaktiError('randint', `needs integers low < high, got ${low} and ${high}.`)
  }
  return generate('randint', shape, { dtype: 'i32', ...options }, [
    ...takeRandom(numel(shape)),
    low,
    high,
  ])
}

/** 0 .. n - 1 in random order, i32. */
export function randperm(n: number, options: Pick<TensorOptions, 'device'> = {}): Tensor {
  return generate('permutation', [n], { ...options, dtype: 'i32' }, takeRandom(n))
}

/**
 * Draws indices in proportion to the weights `p` ([..., classes], floating, not negative).
 * @param count draws a row
 * @returns i32 [..., count]
 */
export function multinomial(
  p: Tensor,
  count: number,
  options: { replacement?: boolean } = {},
): Tensor {
  wantTensors('multinomial', { p })
  const { replacement = false } = options
  const classes = p.shape[p.ndim - 1] ?? 0
  if (!isFloating(p.dtype))
    throw new DTypeError('multinomial', `weights must be floating, got ${p.describe()}.`)
  if (!Number.isInteger(count) || count < 1 || p.ndim < 1 || (!replacement && count > classes)) {
    throw new ShapeError(
      'multinomial',
      `cannot draw ${count} of ${classes} classes${replacement ? '' : ' without replacement'} from ${p.describe()}.`,
      [p.shape],
    )
  }
  const shape = [...p.shape.slice(0, -1), count]
  const words = replacement ? numel(shape) : p.numel
  return issueOne('multinomial', [p.contiguous()], { shape, dtype: 'i32' }, [
    replacement ? 1 : 0,
    ...takeRandom(words),
  ])
}
