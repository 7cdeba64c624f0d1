// A step whose shapes never change, recorded once and issued again by one native call. Everything that JavaScript does in
// a step (shape rules, the tape, scopes) happens at the recording; a replay repeats the commands on the same memory.
import { anomaly } from './autograd/anomaly.js'
import { CaptureError, DisposedError } from './errors.js'
import { native, takeNativeError } from './native/binding.js'
import { getRngState, randomNow, restoreRng, skipRandom } from './random.js'
import { refuseInCapture, setRecording, type Recording } from './recording.js'
import { inScope, keepIn } from './scope.js'
import { getDefaultDevice, placeOf, resolveDevice, type DeviceName } from './native/places.js'
import { flushReleases, releaseHandle, type Storage } from './storage.js'

/** A recorded step; made by `capture`. */
export class Capture<T> {
  /** What the function returned. Its tensors hold the results of the latest replay; before the first they cannot be read. */
  readonly output: T
  /** Memory that the capture keeps to itself, beyond that of the captures whose pool it shares. */
  readonly bytes: number
  #handle: number
  // Tensors that the tape may have saved: a replay changes them under it.
  readonly #written: readonly Storage[]
  readonly #draws: number
  /** Internal: of its device. */
  readonly place: number

  /** Internal: its handle; 0 when disposed. */
  get handle(): number {
    return this.#handle
  }

  /** Internal: `capture` makes these. */
  constructor(
    output: T,
    handle: number,
    written: readonly Storage[],
    draws: number,
    place: number,
  ) {
    this.output = output
    this.bytes = native().captureBytes(handle, place)
    this.#handle = handle
    this.place = place
    this.#written = written
    this.#draws = draws
    // One that nobody disposes goes with the garbage collector.
    native().guard(this, handle, this.bytes, place)
  }

  /**
   * Issues all commands of the step again, and returns at once. They read their inputs where they lie now: write new ones
   * with `copy_` and `fill_` before. Random numbers go on from where they stand, as if the function had been called.
   * @returns `output`
   * @throws DisposedError after `dispose`; CaptureError inside a capture
   */
  replay(): T {
    if (this.#handle === 0) throw new DisposedError('replay', 'the capture was disposed.')
    refuseInCapture('replay')
    const [low, high, offset] = randomNow()
    if (native().replay(this.#handle, low, high, offset, this.place) < 0)
      throw takeNativeError('replay')
    skipRandom(this.#draws)
    for (const storage of this.#written) storage.version++
    return this.output
  }

  /**
   * Gives the memory of the step back, once the replays on their way have run and no capture shares it. Tensors of `output`
   * keep their values until they are disposed themselves.
   */
  dispose(): void {
    if (this.#handle === 0) return
    releaseHandle(this.#handle, this.bytes, this.place)
    flushReleases()
    this.#handle = 0
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * Calls `fn` once and records the commands that it issues, without running them; each `replay()` then runs them all, with
 * the numbers that a call of `fn` would give. Meant for a whole step: forward, backward, optimiser. The rules are those of
 * a CUDA graph:
 *
 * - Tensors from outside are read and written where they lie. What changes from step to step is a tensor (inputs, a
 *   learning rate); numbers and host data (`tensor([1, 2])`) are constants of the recording.
 * - Memory is the capture's own; tensors made inside are freed as by `tidy`, except those returned and `.grad`, which stay
 *   where they are and are written by every replay. A `.grad` that `fn` neither clears nor finds is overwritten by each
 *   replay; one that was there before is added to.
 * - What reads (`data`, `item`), waits or cannot be repeated (`manualSeed`) is refused, naming the call.
 *
 * When `fn` throws, nothing has run, and gradients and random numbers are as before.
 * @param options.device whose commands are recorded; default: the default device
 * @param options.pool a capture to share memory with, for steps that never need theirs at once, such as one step for several
 * shapes: temporaries of one lie where those of the other do, and so may its results. What a replay leaves is good until
 * another of the captures is replayed. Default: none
 * @throws CaptureError inside another capture, in anomaly mode, when `fn` returns a promise or uses another device, or when
 * that of the pool is another; DisposedError for a pool that was disposed
 * @example
 * const step = capture(() => {
 *   const loss = crossEntropy(x.linear(w), target)
 *   loss.backward()
 *   adamw_([w], [w.grad!], [m], [v], { lr, step: count.add_(1) })
 *   w.grad = undefined
 *   return loss
 * })
 * for (const batch of batches) {
 *   x.copy_(batch)
 *   step.replay()
 * }
 */
export function capture<T>(
  fn: () => T,
  options: { device?: DeviceName; pool?: Capture<unknown> } = {},
): Capture<T> {
  refuseInCapture('capture')
  const { pool } = options
  if (pool?.handle === 0) throw new DisposedError('capture', 'the capture in `pool` was disposed.')
  if (anomaly.on) {
    throw new CaptureError('capture', 'cannot be made in anomaly mode, which reads every result.')
  }
  const device = resolveDevice('capture', options.device ?? getDefaultDevice())
  const place = placeOf(device)
  const rng = getRngState()
  if (pool && pool.place !== place)
    throw new CaptureError(
      'capture',
      `on ${device} cannot share the memory of one on another device.`,
    )
  if (native().beginCapture(...randomNow(), place, pool?.handle ?? 0) < 0)
    throw takeNativeError('capture')
  const seen: Recording = { device, written: new Set(), graded: new Set() }
  setRecording(seen)
  let handle = 0
  try {
    const output = inScope(() => record(fn))
    flushReleases()
    const draws = getRngState().offset - rng.offset
    handle = native().endCapture(true, place)
    if (handle < 0) throw takeNativeError('capture')
    const alive = [...seen.written].filter((s) => s.handle !== 0)
    return new Capture(output, handle, alive, draws, place)
  } catch (error) {
    if (handle === 0) native().endCapture(false, place)
    for (const t of seen.graded) if (t.grad && seen.written.has(t.grad.storage)) t.grad = undefined
    throw error
  } finally {
    setRecording(undefined)
    restoreRng(rng)
  }
}

function record<T>(fn: () => T): T {
  const result = fn()
  if (result instanceof Promise) {
    result.catch(() => undefined)
    throw new CaptureError(
      'capture',
      'the function returned a promise. What it does after an await would not be recorded.',
    )
  }
  keepIn(result)
  return result
}
