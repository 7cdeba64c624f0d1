// When a step is not finite: run its batch again, slowly, and find where the first bad number comes from.
import {
  detectAnomaly,
  globalNorm,
  setRngState,
  ShaktiError,
  tidy,
  type RngState,
  type Tensor,
} from '@shakti/tensor'
import { accumulate, clearGradients } from './step.js'
import type { Loss, TrainableModel } from './types.js'

/** Training met NaN or infinity, and stopped before the update. */
export class NonFiniteError extends ShaktiError {
  override name = 'NonFiniteError'
  readonly stage: string
  readonly step: number
  /** The module whose forward pass made the first bad number, or the parameter whose gradient was the first. */
  readonly path: string | undefined

  constructor(stage: string, step: number, path: string | undefined, message: string) {
    super(`stage ${stage}, step ${step}`, message)
    this.stage = stage
    this.step = step
    this.path = path
  }
}

interface Callable {
  forward: (...args: unknown[]) => unknown
}

/** Follows which module is running, by standing in front of every `forward` in the model, and taking it back after. */
function watchModules(model: object): { path(): string | undefined; stop(): void } {
  const seen = new Set<object>()
  const undo: (() => void)[] = []
  const running: string[] = []
  let deepest: string | undefined

  const visit = (value: object, path: string): void => {
    if (seen.has(value) || 'storage' in value || ArrayBuffer.isView(value)) return
    seen.add(value)
    if (typeof (value as Partial<Callable>).forward === 'function') {
      const own = Object.getOwnPropertyDescriptor(value, 'forward')
      const { forward } = value as Callable
      const watched = function (this: unknown, ...args: unknown[]): unknown {
        running.push(path)
        try {
          return forward.apply(this, args)
        } catch (error) {
          deepest ??= path
          throw error
        } finally {
          running.pop()
        }
      }
      Object.defineProperty(value, 'forward', {
        value: watched,
        configurable: true,
        writable: true,
        enumerable: false,
      })
      undo.push(() => {
        if (own) Object.defineProperty(value, 'forward', own)
        else delete (value as Partial<Callable>).forward
      })
    }
    for (const [key, child] of Object.entries(value)) {
      if (typeof child === 'object' && child !== null)
        visit(child as object, path ? `${path}.${key}` : key)
    }
  }
  visit(model, '')
  return {
    path: () => deepest,
    stop: () => {
      for (const restore of undo) restore()
    },
  }
}

async function notFinite(named: readonly (readonly [string, Tensor])[]): Promise<string[]> {
  const norms = named.map(([, t]) => tidy(() => globalNorm([t])))
  const values = await Promise.all(norms.map((n) => n.item()))
  for (const n of norms) n.dispose()
  return named.flatMap(([name], i) => (Number.isFinite(values[i]) ? [] : [name]))
}

export interface FailedStep<M extends TrainableModel, B> {
  stage: string
  step: number
  loss: Loss<M, B>
  batches: readonly B[]
  trained: readonly (readonly [string, Tensor])[]
  /** Random numbers as they were before the step. */
  rng: RngState
  /** What the step measured. */
  lossValue: number
  gradNorm: number
}

/** Repeats the failed step without the update, and says what went wrong where. */
export async function diagnose<M extends TrainableModel, B>(
  model: M,
  failed: FailedStep<M, B>,
): Promise<NonFiniteError> {
  const { stage, step, loss, batches, trained, rng, lossValue, gradNorm } = failed
  const parameters = trained.map(([, p]) => p)
  const seen = `loss ${lossValue}, gradient length ${gradNorm}.`
  const help =
    'Lower the learning rate, warm up longer, or look at this batch. The last checkpoint is from before.'
  const stop = (path: string | undefined, what: string): NonFiniteError =>
    new NonFiniteError(stage, step, path, `${seen} ${what} ${help}`)

  const badWeights = await notFinite([...model.namedParameters()])
  if (badWeights.length > 0) {
    return stop(
      badWeights[0],
      `The parameter ${badWeights[0]} itself is not finite (and ${badWeights.length - 1} more).`,
    )
  }

  clearGradients(parameters)
  setRngState(rng)
  const watch = watchModules(model)
  let op: string | undefined
  try {
    detectAnomaly(() => tidy(() => accumulate(loss, model, batches).values.dispose()))
  } catch (error) {
    if (!(error instanceof ShaktiError)) throw error
    op = error.op
  } finally {
    watch.stop()
    clearGradients(parameters)
  }
  const where = watch.path()
  if (where !== undefined)
    return stop(where, `The first bad number comes out of '${op}' in module ${where}.`)

  setRngState(rng)
  try {
    tidy(() => accumulate(loss, model, batches).values.dispose())
    // Backward runs from the last layer to the first, so the last in order of declaration went bad first.
    const withGrad = trained.flatMap(([name, p]) => (p.grad ? [[name, p.grad] as const] : []))
    const bad = await notFinite(withGrad)
    const first = bad.at(-1)
    if (first !== undefined) {
      const source = op === undefined ? '' : ` The first bad number comes out of '${op}'.`
      return stop(
        first,
        `The first gradient that is not finite, counted from the loss, is that of ${first} (${bad.length} of ${withGrad.length} are not).${source}`,
      )
    }
  } finally {
    clearGradients(parameters)
  }
  return stop(undefined, 'The same batch gave finite numbers when run again.')
}
