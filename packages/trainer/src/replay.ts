// Steps recorded once for each shape of batch and replayed. A batch is copied into the inputs of its shape's recording, and
// one native call issues the step, with the bits that calling it would give.
import {
  capture,
  CaptureError,
  deviceInfo,
  keep,
  noGrad,
  OutOfMemoryError,
  ShaktiError,
  tensor,
  Tensor,
  tidy,
  zeros,
  type Capture,
  type DeviceName,
} from '@shakti/tensor'
import { totalmem } from 'node:os'
import { deviceOf } from './device.js'
import {
  countItems,
  countTokens,
  stepOn,
  trainStep,
  worthwhile,
  type StepInputs,
  type StepOutput,
} from './step.js'
import type { PlacedTerms, TrainableModel } from './types.js'

/** The shapes of batches that are kept in mind, each with its recording once it has come twice. */
const most = 16
/** What all recordings together may hold, of the memory that the device has for the process. */
const share = 1 / 4

interface Placed {
  readonly scale: Tensor
  readonly parts: readonly unknown[]
}

interface Recorded {
  readonly inputs: readonly Tensor[]
  readonly step: Capture<Omit<StepOutput, 'tokens'>>
}

type Settings<M extends TrainableModel, B> = Omit<StepInputs<M, B>, 'batches' | 'lrFactor'>

/** `value` with other tensors; `shape` gets a text that tells it from values of another shape. */
function rebuild(value: unknown, shape: string[], make: (t: Tensor) => Tensor): unknown {
  if (value instanceof Tensor) {
    shape.push(value.describe())
    return make(value)
  }
  if (Array.isArray(value)) {
    shape.push('[')
    const list = value.map((v) => rebuild(v, shape, make))
    shape.push(']')
    return list
  }
  if (typeof value === 'object' && value !== null) {
    if (Object.getPrototypeOf(value) !== Object.prototype)
      throw new CaptureError(
        'capture',
        `the loss's place() gives a ${value.constructor.name}. Only tensors, numbers, strings and booleans, in lists and plain objects, can be part of a captured step.`,
      )
    shape.push('{')
    const entries = Object.entries(value).map(([k, v]) => {
      shape.push(k)
      return [k, rebuild(v, shape, make)]
    })
    shape.push('}')
    return Object.fromEntries(entries)
  }
  if (typeof value === 'function')
    throw new CaptureError('capture', "the loss's place() gives a function, which may do anything.")
  shape.push(JSON.stringify(String(value)), typeof value)
  return value
}

/** What a device has for the process. */
function memoryOf(device: DeviceName): number {
  const info = deviceInfo(device)
  if ('bytes' in info) return info.bytes
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

/** The steps of one stage. */
export class Replays<M extends TrainableModel, B> {
  /** Steps replayed. */
  steps = 0
  /** Why steps are not captured. */
  refused: string | undefined
  readonly #settings: Settings<M, B>
  readonly #device: DeviceName
  readonly #must: boolean
  readonly #note: (why: string) => void
  readonly #lrFactor: Tensor
  // Bytes of the pool, which goes when all recordings have gone.
  #held = 0
  // The shape that came last stands last.
  readonly #recent = new Map<string, Recorded | undefined>()

  /** @param must whether a step that cannot be captured is an error; else `note` is told, once, and it runs as it is called */
  constructor(settings: Settings<M, B>, must: boolean, note: (why: string) => void) {
    this.#settings = settings
    this.#device = deviceOf(settings.model)
    this.#lrFactor = keep(zeros([], { dtype: 'f64', device: this.#device }))
    this.#must = must
    this.#note = note
    const { loss, optimizer } = settings
    if (!loss.placed)
      this.#refuse(
        `loss '${loss.name}' does not say what it reads of a batch (\`place\`, see placedLoss)`,
      )
    else if (!optimizer.capturable)
      this.#refuse('the optimiser does not say that its step can be repeated (`capturable`)')
  }

  step(batches: readonly B[], lrFactor: number): StepOutput {
    const { placed } = this.#settings.loss
    if (this.refused !== undefined || !placed)
      return trainStep({ ...this.#settings, batches, lrFactor })
    return { ...this.#step(placed, batches, lrFactor), tokens: this.#tokens(batches) }
  }

  dispose(): void {
    this.#forget()
    this.#lrFactor.dispose()
  }

  #tokens(batches: readonly B[]): number {
    return countTokens(this.#settings.loss, batches)
  }

  #step(
    { place, terms }: PlacedTerms<M, B, unknown>,
    batches: readonly B[],
    lrFactor: number,
  ): Omit<StepOutput, 'tokens'> {
    const { model, loss } = this.#settings
    const run = (placed: Placed, factor: number | Tensor): Omit<StepOutput, 'tokens'> =>
      stepOn(
        { ...this.#settings, lrFactor: factor },
        { scale: placed.scale, parts: placed.parts.map((p) => () => terms(model, p)) },
      )
    return tidy(() => {
      const placed: Placed = {
        scale: tensor(1 / countItems(loss, batches), { dtype: 'f64', device: this.#device }),
        parts: worthwhile(loss, batches).map((b) => place(model, b)),
      }
      const recorded = this.#recorded(placed, (inputs) => run(inputs, this.#lrFactor))
      if (!recorded) return run(placed, lrFactor)
      this.#lrFactor.fill_(lrFactor)
      const { values, metrics } = recorded.step.replay()
      this.steps++
      return { values: values.detach(), metrics }
    })
  }

  /** The recording for batches of this shape, with this one in its inputs; undefined where it is not recorded. */
  #recorded(
    placed: Placed,
    step: (inputs: Placed) => Omit<StepOutput, 'tokens'>,
  ): Recorded | undefined {
    try {
      const shape: string[] = []
      const fresh: Tensor[] = []
      rebuild(placed, shape, (t) => {
        fresh.push(t)
        return t
      })
      const key = shape.join(' ')
      const met = this.#recent.has(key)
      const known = this.#recent.get(key)
      this.#recent.delete(key)
      this.#recent.set(key, known)
      if (this.#recent.size > most) this.#forget(1)
      if (!met) return undefined
      if (known) {
        noGrad(() => known.inputs.forEach((t, i) => t.copy_(fresh[i]!)))
        return known
      }
      const made = this.#record(placed, step)
      this.#recent.set(key, made)
      this.#held += made.step.bytes
      return this.#fits() ? made : undefined
    } catch (error) {
      if (!(error instanceof CaptureError || error instanceof OutOfMemoryError)) throw error
      this.#refuse(error.message)
      return undefined
    }
  }

  #record(placed: Placed, step: (inputs: Placed) => Omit<StepOutput, 'tokens'>): Recorded {
    const inputs: Tensor[] = []
    try {
      // Copies: what `place` gives might be held by someone.
      const own = rebuild(placed, [], (t) => {
        const copy = keep(noGrad(() => t.clone()))
        inputs.push(copy)
        return copy
      }) as Placed
      // Each step is over, and its numbers on their way, when the next one is issued: all can work in the same memory.
      const pool = this.#made[0]?.step
      const options = { device: this.#device, ...(pool ? { pool } : {}) }
      return { inputs, step: capture(() => step(own), options) }
    } catch (error) {
      for (const t of inputs) t.dispose()
      throw error
    }
  }

  /** Whether the recordings are within their share of memory; if not, all begins anew. */
  #fits(): boolean {
    const held = this.#held
    const alone = this.#made.length === 1
    if (held <= share * memoryOf(this.#device) || (alone && this.#must)) return true
    this.#forget()
    if (alone)
      this.#refuse(`one holds ${(held / 2 ** 30).toFixed(1)} GiB, over a quarter of the memory`)
    return false
  }

  get #made(): Recorded[] {
    return [...this.#recent.values()].filter((r) => r !== undefined)
  }

  /** Lets go of the recordings of the shapes that came longest ago. */
  #forget(n = this.#recent.size): void {
    for (const [key, recorded] of [...this.#recent].slice(0, n)) {
      this.#recent.delete(key)
      recorded?.step.output.values.dispose()
      recorded?.step.dispose()
      for (const t of recorded?.inputs ?? []) t.dispose()
    }
    if (this.#made.length === 0) this.#held = 0
  }

  #refuse(why: string): void {
    if (this.#must)
      throw new ShaktiError(
        'run',
        `steps cannot be captured: ${why}. Say capture: 'auto', and they run as they are called.`,
      )
    this.refused = why
    this.#note(why)
  }
}
