// Parameters chosen by patterns of their names.
import { ShaktiError, type Tensor } from '@shakti/tensor'
import type { ParameterGroup } from './adamw.js'
import type { Stage, TrainableModel } from './types.js'

/** Whether `name` fits `pattern`, where `*` stands for any characters, dots too. `projector.*` also fits `projector`. */
export function matches(name: string, pattern: string): boolean {
  if (pattern.endsWith('.*') && name === pattern.slice(0, -2)) return true
  // Greedy from both ends, without a regular expression: patterns may come from a config file.
  const parts = pattern.split('*')
  const first = parts[0]!
  if (parts.length === 1) return name === first
  const last = parts.at(-1)!
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length)
    return false
  let at = first.length
  const end = name.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

export interface Selection {
  trained: (readonly [string, Tensor])[]
  frozen: (readonly [string, Tensor])[]
}

/**
 * Splits the parameters as the stage says. A pattern that fits no parameter is an error: it would freeze, or train,
 * nothing without a word. So is one of `lr`.
 */
export function select(
  model: TrainableModel,
  stage: {
    name: string
    train?: readonly string[]
    freeze?: readonly string[]
    lr?: Stage<TrainableModel, unknown>['lr']
  },
): Selection {
  const all = [...model.namedParameters()]
  const { train = ['*'], freeze = [], lr = 0 } = stage
  for (const pattern of [...train, ...freeze, ...(typeof lr === 'number' ? [] : Object.keys(lr))]) {
    if (!all.some(([name]) => matches(name, pattern))) {
      const some = all.slice(0, 5).map(([name]) => name)
      throw new ShaktiError(
        `stage ${stage.name}`,
        `pattern '${pattern}' fits none of the ${all.length} parameters (${some.join(', ')}, ...).`,
      )
    }
  }
  const result: Selection = { trained: [], frozen: [] }
  for (const entry of all) {
    const chosen =
      train.some((p) => matches(entry[0], p)) && !freeze.some((p) => matches(entry[0], p))
    result[chosen ? 'trained' : 'frozen'].push(entry)
  }
  if (result.trained.length === 0)
    throw new ShaktiError(
      `stage ${stage.name}`,
      'trains no parameter: freeze covers all that train names.',
    )
  return result
}

const undecayed = /norm|bias|position|pos_?(embed|bias|table|grid)/i

/** Weight decay is for matrices. Norms, biases and position tables are left out, as PAPER.md 6.8 says. */
export function decays(name: string, p: Tensor): boolean {
  return p.ndim >= 2 && !undecayed.test(name.split('.').slice(-2).join('.'))
}

/** Groups of equal learning rate and weight decay. */
export function parameterGroups<M extends TrainableModel, B>(
  stage: Pick<Stage<M, B>, 'name' | 'lr' | 'weightDecay'>,
  trained: readonly (readonly [string, Tensor])[],
  copyOf: (name: string) => Tensor | undefined = () => undefined,
): ParameterGroup[] {
  const { lr, weightDecay = 0 } = stage
  if (!(weightDecay >= 0 && weightDecay < Infinity))
    throw new ShaktiError(
      `stage ${stage.name}`,
      `weightDecay is ${weightDecay}. It must be a number from 0.`,
    )
  const rates = typeof lr === 'number' ? { '*': lr } : lr
  for (const [pattern, rate] of Object.entries(rates)) {
    if (!Number.isFinite(rate) || rate < 0) {
      throw new ShaktiError(
        `stage ${stage.name}`,
        `lr of '${pattern}' is ${rate}. It must be a number from 0.`,
      )
    }
  }
  const groups = new Map<string, ParameterGroup>()
  for (const [name, parameter] of trained) {
    const rate = Object.entries(rates).find(([pattern]) => matches(name, pattern))
    if (!rate) {
      throw new ShaktiError(
        `stage ${stage.name}`,
        `trains ${name}, but lr has no pattern for it (${Object.keys(rates).join(', ')}). Add one, or freeze it.`,
      )
    }
    const decay = decays(name, parameter) ? weightDecay : 0
    const copy = copyOf(name)
    const key = `${rate[1]} ${decay} ${copy !== undefined}`
    let group = groups.get(key)
    if (!group) groups.set(key, (group = { lr: rate[1], weightDecay: decay, entries: [] }))
    group.entries.push({ name, parameter, ...(copy ? { copy } : {}) })
  }
  return [...groups.values()]
}
