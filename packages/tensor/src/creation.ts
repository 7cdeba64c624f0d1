// Making tensors: from data, filled, random.
import { checkDType, dtypeSize, isFloating, type DataArray, type DType } from './dtype.js'
import { checkDevice } from './device.js'
import { DTypeError, ShaktiError, ShapeError } from './errors.js'
import { issue, issueOne, type CommandName } from './native/encode.js'
import { native, takeNativeError } from './native/binding.js'
import { takeRandom } from './random.js'
import { checkShape, formatShape, numel } from './shape.js'
import { allocate, Storage, type DeviceName } from './storage.js'
import { Tensor } from './tensor.js'

export interface TensorOptions {
  /** Default f32 (from data: what the data says). */
  dtype?: DType
  /** 'cpu' (default) or 'meta' (sizes without memory). */
  device?: DeviceName
  /** Default false. */
  requiresGrad?: boolean
}

/** Nested lists of numbers, bigints (i64) or booleans. */
export type TensorData = number | bigint | boolean | DataArray | readonly TensorData[]

function made(t: Tensor, options: TensorOptions): Tensor {
  if (options.requiresGrad) t.requiresGrad = true
  return t
}

/** An output of a command without inputs, on the device that the options name. */
function generate(
  command: CommandName,
  shape: readonly number[],
  options: TensorOptions,
  attrs: readonly number[],
): Tensor {
  checkShape(command, shape)
  const { dtype = 'f32', device = 'cpu' } = options
  checkDType(command, dtype)
  checkDevice(command, device)
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
function upload(data: DataArray, dtype: DType, shape: readonly number[]): Tensor {
  const storage = allocate('tensor', data.byteLength, 'cpu')
  const t = new Tensor(storage, dtype, shape)
  if (data.byteLength > 0 && native().upload(storage.handle, 0, data) < 0)
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
  const { dtype, device = 'cpu' } = options
  if (dtype !== undefined) checkDType('tensor', dtype)
  checkDevice('tensor', device)
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
    const first = items[0]
    const whole = dtype === 'i64' || (dtype === undefined && typeof first === 'bigint')
    const f64 = dtype === 'f64' || dtype === 'i32'
    from = whole
      ? 'i64'
      : f64
        ? 'f64'
        : dtype === undefined && typeof first === 'boolean'
          ? 'bool'
          : 'f32'
    flat = whole
      ? BigInt64Array.from(items, (v) => BigInt(v))
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
  const t = upload(flat, from, [...shape])
  if (dtype === undefined || dtype === from) return made(t, options)
  const converted = t.to(dtype)
  t.dispose()
  return made(converted, options)
}

/** Content undefined; for buffers that are written before they are read. */
export function empty(shape: readonly number[], options: TensorOptions = {}): Tensor {
  checkShape('empty', shape)
  const { dtype = 'f32', device = 'cpu' } = options
  checkDType('empty', dtype)
  checkDevice('empty', device)
  return made(
    new Tensor(allocate('empty', numel(shape) * dtypeSize(dtype), device), dtype, [...shape]),
    options,
  )
}

export function full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
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
  return generate('arange', [n], { dtype: integers ? 'i32' : 'f32', ...options }, [from, step])
}

/** 1 on the diagonal, 0 elsewhere. */
export function eye(n: number, options: TensorOptions = {}): Tensor {
  const i = arange(0, n, 1, { device: options.device ?? 'cpu' })
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
  return generate('normal', shape, options, [...takeRandom(numel(shape)), mean, std])
}

/** Normal with mean 0 and standard deviation 1. */
export function randn(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return normal(shape, 0, 1, options)
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
export function randperm(n: number): Tensor {
  return generate('permutation', [n], { dtype: 'i32' }, takeRandom(n))
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
