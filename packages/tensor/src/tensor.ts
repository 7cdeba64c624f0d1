// A tensor: a view (sizes, strides, offset) of a storage, and its place on the tape. What can be done with one is
// defined in ops/, one file a family; this class holds what is not an op: reading, gradients, lifetime, writing in place.
import type { Node } from './autograd/tape.js'
import { backward, type BackwardOptions } from './autograd/backward.js'
import { isGradEnabled, noGrad } from './autograd/tape.js'
import { dtypeSize, isFloating, type DType, type NumberArray } from './dtype.js'
import { AutogradError, DeviceError, DisposedError, DTypeError, ShapeError } from './errors.js'
import { native, takeNativeError } from './native/binding.js'
import { issueOne } from './native/encode.js'
import type { CastOps } from './ops/cast.js'
import { checkFill } from './ops/checks.js'
import type { ElementwiseOps } from './ops/elementwise.js'
import type { IndexOps } from './ops/index-ops.js'
import type { MatmulOps } from './ops/matmul.js'
import type { ReduceOps } from './ops/reduce.js'
import type { ShapeOps } from './ops/shape-ops.js'
import type { SoftmaxOps } from './ops/softmax.js'
import type { SortOps } from './ops/sort.js'
import { recording, refuseInCapture } from './recording.js'
import {
  broadcastShapes,
  contiguousStrides,
  formatShape,
  normalizeDim,
  isContiguous,
  numel,
  sameShape,
  type Shape,
} from './shape.js'
import { own, unowned } from './scope.js'
import { placeOf, type DeviceName } from './native/places.js'
import type { Storage } from './storage.js'

export interface Tensor
  extends CastOps, ElementwiseOps, IndexOps, MatmulOps, ReduceOps, ShapeOps, SoftmaxOps, SortOps {}

/** Nested lists of numbers, one level a dimension. */
export type NestedArray = number | NestedArray[]

// The methods of the op families are installed on the prototype by ops/index.ts; the interface above gives them types.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Tensor {
  readonly storage: Storage
  readonly dtype: DType
  readonly shape: Shape
  /** Elements from one index to the next, for each dimension. */
  readonly strides: Shape
  /** First element, counted in elements of the storage. */
  readonly offset: number
  #requiresGrad = false
  #gradFn: Node | undefined
  #grad: Tensor | undefined
  #disposed = false
  // The leaf that this alias stands for: gradients belong there.
  #leaf: Tensor | undefined
  /** Set by `keep`: no scope frees this tensor. */
  kept = false

  /** Internal: programs make tensors with `tensor`, `zeros` and the other functions of creation.ts. */
  constructor(
    storage: Storage,
    dtype: DType,
    shape: Shape,
    strides: Shape = contiguousStrides(shape),
    offset = 0,
  ) {
    this.storage = storage
    this.dtype = dtype
    this.shape = shape
    this.strides = strides
    this.offset = offset
    storage.refs++
    own(this)
  }

  get ndim(): number {
    return this.shape.length
  }

  /** How many elements there are. */
  get numel(): number {
    return numel(this.shape)
  }

  get device(): DeviceName {
    return this.storage.device
  }

  get disposed(): boolean {
    return this.#disposed
  }

  isContiguous(): boolean {
    return isContiguous(this.shape, this.strides)
  }

  /** `f32[2, 3]`, for messages. */
  describe(): string {
    return `${this.dtype}${formatShape(this.shape)}`
  }

  toString(): string {
    const notes = [
      this.device === 'cpu' ? '' : this.device,
      this.requiresGrad ? 'requiresGrad' : '',
    ]
    return `Tensor(${[this.describe(), ...notes].filter(Boolean).join(', ')})`
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }

  // ---- Reading. These alone wait for the stream.

  /**
   * The elements in row-major order. The promise waits; the event loop goes on. bf16 and f16 come as f32, i64 as
   * doubles (refused beyond 2^53), bool as 0 and 1.
   * @throws what a command before it found while it ran (an index out of range, say)
   */
  data(): Promise<NumberArray> {
    refuseInCapture('data')
    const source = this.#readable()
    const bytes = new ArrayBuffer(source.numel * dtypeSize(source.dtype))
    const { dtype } = source
    return new Promise((resolve, reject) => {
      const done = (code: number): void => {
        if (code < 0) return reject(takeNativeError('data'))
        try {
          resolve(view(bytes, dtype))
        } catch (error) {
          reject(error as Error)
        }
      }
      const at = source.offset * dtypeSize(dtype)
      const code = native().readAsync(
        source.storage.handle,
        at,
        bytes,
        done,
        placeOf(source.device),
      )
      if (source !== this) source.dispose()
      if (code < 0) reject(takeNativeError('data'))
    })
  }

  /** As `data`, but the thread waits. */
  dataSync(): NumberArray {
    refuseInCapture('dataSync')
    const source = this.#readable()
    const bytes = new ArrayBuffer(source.numel * dtypeSize(source.dtype))
    const at = source.offset * dtypeSize(source.dtype)
    const code = native().readSync(source.storage.handle, at, bytes, placeOf(source.device))
    if (source !== this) source.dispose()
    if (code < 0) throw takeNativeError('dataSync')
    return view(bytes, source.dtype)
  }

  /** The one element of a tensor that has just one. */
  item(): Promise<number> {
    refuseInCapture('item')
    return this.#item()
  }

  async #item(): Promise<number> {
    this.#checkItem()
    return (await this.data())[0]!
  }

  /** As `item`, but the thread waits. */
  itemSync(): number {
    refuseInCapture('itemSync')
    this.#checkItem()
    return this.dataSync()[0]!
  }

  /** Nested lists, one level a dimension; a number when there are none. */
  toArray(): Promise<NestedArray> {
    refuseInCapture('toArray')
    return this.#toArray()
  }

  async #toArray(): Promise<NestedArray> {
    return nest(await this.data(), this.shape)
  }

  toArraySync(): NestedArray {
    refuseInCapture('toArraySync')
    return nest(this.dataSync(), this.shape)
  }

  #checkItem(): void {
    if (this.numel !== 1) {
      throw new ShapeError(
        'item',
        `needs exactly one element, ${this.describe()} has ${this.numel}.`,
        [this.shape],
      )
    }
  }

  /** This tensor in a form that can be copied out as it lies: contiguous, of a type that JavaScript has. */
  #readable(): Tensor {
    this.assertLive('data')
    if (this.device === 'meta') {
      throw new DeviceError(
        'data',
        `${this.describe()} is on meta: it has a shape and no elements.`,
      )
    }
    const dtype = this.dtype === 'bf16' || this.dtype === 'f16' ? 'f32' : this.dtype
    if (dtype === this.dtype && this.isContiguous()) return this
    return issueOne('copy', [this], { shape: this.shape, dtype })
  }

  // ---- Gradients.

  /** Whether operations on this tensor are recorded. Set on a leaf; results of recorded operations have it. */
  get requiresGrad(): boolean {
    return this.#requiresGrad
  }

  set requiresGrad(on: boolean) {
    if (on && !isFloating(this.dtype)) {
      throw new DTypeError(
        'requiresGrad',
        `only floating tensors have gradients, this is ${this.describe()}.`,
      )
    }
    if (!on && this.#gradFn) {
      throw new AutogradError('requiresGrad', 'can be turned off on a leaf only. Use detach().')
    }
    this.#requiresGrad = on
  }

  /** Sets `requiresGrad` and returns this tensor. */
  requiresGrad_(on = true): this {
    this.requiresGrad = on
    return this
  }

  /** Made by the user, not by a recorded operation. */
  get isLeaf(): boolean {
    return this.#gradFn === undefined
  }

  /** The operation on the tape that made this tensor. */
  get gradFn(): Node | undefined {
    return this.#gradFn
  }

  /** Internal: hangs this tensor on the tape. */
  setGradFn(node: Node): void {
    this.#gradFn = node
    this.#requiresGrad = true
  }

  /** Internal: the tensor whose `.grad` takes this leaf's gradient. */
  get leaf(): Tensor {
    return this.#leaf ?? this
  }

  /** What `backward` left here; undefined before. Survives the scope in which it was computed. */
  get grad(): Tensor | undefined {
    return this.#grad
  }

  set grad(g: Tensor | undefined) {
    if (g && !sameShape(g.shape, this.shape)) {
      throw new ShapeError(
        'grad',
        `a gradient has its tensor's shape ${formatShape(this.shape)}, got ${g.describe()}.`,
        [this.shape, g.shape],
      )
    }
    if (g === this.#grad) return
    recording?.graded.add(this)
    this.#grad?.dispose()
    if (g) g.kept = true
    this.#grad = g
  }

  /**
   * Adds the gradient of this tensor with respect to every leaf that requires one to that leaf's `.grad`.
   * @param gradient of the final result with respect to this tensor; may be left out for a single element (1)
   */
  backward(gradient?: Tensor, options?: BackwardOptions): void {
    backward(this, gradient, options)
  }

  /** Calls `hook` with the gradient of this tensor during `backward`; what it returns takes its place. */
  registerHook(hook: (grad: Tensor) => Tensor | void): void {
    const node = this.#gradFn
    if (!node)
      throw new AutogradError(
        'registerHook',
        'needs a result of a recorded operation; a leaf has .grad.',
      )
    ;(node.hooks ??= []).push(hook)
  }

  /** Keeps the gradient of this non-leaf tensor in `.grad`. */
  retainGrad(): void {
    if (!this.#gradFn) return
    this.registerHook((g) => {
      this.grad = g.alias()
    })
  }

  /** The same elements, not recorded. Shares the memory. */
  detach(): Tensor {
    this.assertLive('detach')
    return new Tensor(this.storage, this.dtype, this.shape, this.strides, this.offset)
  }

  /** Internal: the same view at the same place on the tape, owned apart and by no scope. */
  alias(): Tensor {
    this.assertLive('alias')
    const t = unowned(
      () => new Tensor(this.storage, this.dtype, this.shape, this.strides, this.offset),
    )
    t.#requiresGrad = this.#requiresGrad
    t.#gradFn = this.#gradFn
    t.#leaf = this.#leaf ?? this
    return t
  }

  // ---- Lifetime.

  /** Gives the memory back at once, unless a view or the tape still needs it. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.storage.release()
    this.#gradFn = undefined
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  assertLive(op: string): void {
    if (this.#disposed) {
      throw new DisposedError(
        op,
        `${this.describe()} was disposed, by dispose() or by the end of the tidy() that made it.`,
      )
    }
  }

  // ---- Writing in place. Not recorded, hence not for tensors that the tape follows.

  /** Copies `source` here, converting and stretching as needed. */
  copy_(source: Tensor): this {
    this.#checkInPlace('copy_')
    if (!sameShape(broadcastShapes('copy_', this.shape, source.shape), this.shape)) {
      throw new ShapeError('copy_', `${source.describe()} does not fit into ${this.describe()}.`, [
        source.shape,
        this.shape,
      ])
    }
    issueOne('copy', [source], this, [], this.shape)
    return this
  }

  /**
   * Copies the slices of `source` to those of `dim` that `index` (1-D, i32 or i64) names; the others stay. Of equal places the
   * last counts.
   * @param source of this dtype and shape, but `index`'s length along `dim`
   */
  indexCopy_(dim: number, index: Tensor, source: Tensor): this {
    this.#checkInPlace('indexCopy_')
    const d = normalizeDim('indexCopy_', dim, this.ndim)
    const want = this.shape.map((n, i) => (i === d ? index.numel : n))
    if (index.dtype !== 'i32' && index.dtype !== 'i64')
      throw new DTypeError('indexCopy_', `places must be i32 (or i64), got ${index.describe()}.`)
    if (index.ndim !== 1 || source.dtype !== this.dtype || !sameShape(source.shape, want))
      throw new ShapeError(
        'indexCopy_',
        `needs a 1-D index and a source ${this.dtype}${formatShape(want)} for ${this.describe()} along dim ${d}, got ${index.describe()} and ${source.describe()}.`,
        [source.shape, this.shape],
      )
    issueOne('index_copy', [index, source], this, [d])
    return this
  }

  fill_(value: number): this {
    this.#checkInPlace('fill_')
    checkFill('fill_', value, this.dtype)
    issueOne('fill', [], this, [value])
    return this
  }

  zero_(): this {
    return this.fill_(0)
  }

  /** this += other */
  add_(other: Tensor | number): this {
    return this.#become('add_', () => this.add(other))
  }

  /** this -= other */
  sub_(other: Tensor | number): this {
    return this.#become('sub_', () => this.sub(other))
  }

  /** this *= other */
  mul_(other: Tensor | number): this {
    return this.#become('mul_', () => this.mul(other))
  }

  /** this /= other */
  div_(other: Tensor | number): this {
    return this.#become('div_', () => this.div(other))
  }

  #become(op: string, compute: () => Tensor): this {
    this.#checkInPlace(op)
    return noGrad(() => {
      const result = compute()
      if (isFloating(result.dtype) && !isFloating(this.dtype)) {
        throw new DTypeError(
          op,
          `the result is ${result.dtype}, which ${this.describe()} cannot hold. Convert first: x.to('${result.dtype}').`,
        )
      }
      this.copy_(result)
      result.dispose()
      return this
    })
  }

  #checkInPlace(op: string): void {
    this.assertLive(op)
    if (this.#requiresGrad && (this.#gradFn || isGradEnabled())) {
      throw new AutogradError(
        op,
        `${this.toString()} is followed by the tape. Change it inside noGrad(), or a detached copy.`,
      )
    }
  }
}

function view(bytes: ArrayBuffer, dtype: DType): NumberArray {
  switch (dtype) {
    case 'f32':
      return new Float32Array(bytes)
    case 'f64':
      return new Float64Array(bytes)
    case 'i32':
      return new Int32Array(bytes)
    case 'i64': {
      const out = new Float64Array(bytes.byteLength / 8)
      new BigInt64Array(bytes).forEach((v, i) => {
        const n = Number(v)
        if (!Number.isSafeInteger(n))
          throw new DTypeError('data', `i64 element ${i} is ${v}, beyond 2^53.`)
        out[i] = n
      })
      return out
    }
    default:
      return new Uint8Array(bytes)
  }
}

function nest(data: NumberArray, shape: Shape): NestedArray {
  let at = 0
  const level = (d: number): NestedArray => {
    if (d === shape.length) return data[at++]!
    return Array.from({ length: shape[d]! }, () => level(d + 1))
  }
  return level(0)
}
