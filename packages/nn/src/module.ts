// A module is a class with typed fields. Parameters and modules in its own fields (and in lists of modules) are found by
// walking them in the order of declaration; nothing is registered.
import {
  getDefaultDevice,
  isFloating,
  noGrad,
  ShaktiError,
  Tensor,
  type DeviceName,
  type DType,
} from '@shakti/tensor'
import { matchesPattern, snakeCase } from './names.js'
import { Parameter } from './parameter.js'

/** Parameters by their Hugging Face names. */
export type StateDict = Record<string, Tensor>

export class StateDictError extends ShaktiError {
  override name = 'StateDictError'
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
  readonly mismatched: readonly string[]

  constructor(
    missing: readonly string[],
    unexpected: readonly string[],
    mismatched: readonly string[],
  ) {
    const part = (title: string, names: readonly string[]): string =>
      names.length === 0
        ? ''
        : `\n  ${title} (${names.length}): ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', ...' : ''}`
    super(
      'loadStateDict',
      `the names or shapes do not fit; nothing was loaded.${part('missing', missing)}${part('unexpected', unexpected)}${part('wrong shape', mismatched)}`,
    )
    this.missing = missing
    this.unexpected = unexpected
    this.mismatched = mismatched
  }
}

const joined = (prefix: string, part: string): string =>
  part === '' ? prefix : prefix ? `${prefix}.${part}` : part

const stateName = (module: Module, key: string): string =>
  (module.constructor as typeof Module).names[key] ?? snakeCase(key)

export abstract class Module {
  /** State-dict names of fields whose English differs from Hugging Face's. */
  static names: Readonly<Record<string, string>> = {}
  /** False in evaluation: dropout does nothing. */
  training = true;

  /** Own fields that are parameters or modules: [field, value]. */
  *#fields(): Generator<readonly [string, Parameter | Module]> {
    for (const [key, value] of Object.entries(this)) {
      if (value instanceof Parameter || value instanceof Module) yield [key, value]
    }
  }

  /** The modules directly below, by field. */
  *children(): Generator<readonly [string, Module]> {
    for (const [key, value] of this.#fields()) if (value instanceof Module) yield [key, value]
  }

  /** This module and all below it, by path (`vision.blocks.3.attn`). */
  *namedModules(prefix = ''): Generator<readonly [string, Module]> {
    yield [prefix, this]
    for (const [key, child] of this.children())
      yield* child.namedModules(prefix ? `${prefix}.${key}` : key)
  }

  /** The same by Hugging Face's names: the prefixes of what a state dict calls their parameters. */
  *stateModules(prefix = ''): Generator<readonly [string, Module]> {
    yield [prefix, this]
    for (const [key, child] of this.children())
      yield* child.stateModules(joined(prefix, stateName(this, key)))
  }

  *#walk(
    prefix: string,
    name: (module: Module, key: string) => string,
  ): Generator<readonly [string, Parameter]> {
    for (const [key, value] of this.#fields()) {
      const path = joined(prefix, name(this, key))
      if (value instanceof Parameter) yield [path, value]
      else yield* value.#walk(path, name)
    }
  }

  /** Each parameter once, under its path in the code (`vision.blocks.3.attn.qProj.weight`); tied ones under the first. */
  *namedParameters(): Generator<readonly [string, Parameter]> {
    const seen = new Set<Parameter>()
    for (const [path, p] of this.#walk('', (_, key) => key)) {
      if (seen.has(p)) continue
      seen.add(p)
      yield [path, p]
    }
  }

  /** Where the parameters are, and so what the module is given must be; the default device while none has values. */
  get device(): DeviceName {
    for (const [, p] of this.namedParameters()) if (p.device !== 'meta') return p.device
    return getDefaultDevice()
  }

  parameters(): Parameter[] {
    return Array.from(this.namedParameters(), ([, p]) => p)
  }

  /** How many numbers are trained, tied ones once. */
  numParameters(): number {
    return this.parameters().reduce((n, p) => n + p.numel, 0)
  }

  /** Why a state dict can neither be made of this module nor loaded into it; most modules have no such reason. */
  get noState(): string | undefined {
    return undefined
  }

  #stateEntries(name: string): (readonly [string, Parameter])[] {
    for (const [path, { noState, constructor: made }] of this.namedModules())
      if (noState !== undefined) throw new ShaktiError(name, `${path || made.name}: ${noState}`)
    return [...this.#walk('', stateName)]
  }

  /**
   * Parameters by their Hugging Face names, sharing memory with the module; tied ones under the first name.
   * @throws ShaktiError naming a layer that holds its weight packed
   */
  stateDict(): StateDict {
    const seen = new Set<Parameter>()
    const out: StateDict = {}
    for (const [name, p] of this.#stateEntries('stateDict')) {
      if (seen.has(p)) continue
      seen.add(p)
      out[name] = p
    }
    return out
  }

  /**
   * Copies values in, converting dtypes. Every name and shape is checked first: on any misfit nothing changes.
   * @param options.strict false lets names be missing or unexpected (default true)
   * @param options.assign true puts the given tensors themselves in the place of the parameters, sharing memory, with their
   * dtype and device (default false)
   * @throws StateDictError listing missing, unexpected and mis-shaped names
   */
  loadStateDict(state: StateDict, options: { strict?: boolean; assign?: boolean } = {}): void {
    const { strict = true, assign = false } = options
    for (const [name, value] of Object.entries(state ?? { state })) {
      if (!(value instanceof Tensor))
        throw new ShaktiError('loadStateDict', `${name} must be a tensor, got ${typeof value}.`)
    }
    const own = this.#stateEntries('loadStateDict')
    const names = new Set(own.map(([name]) => name))
    const given = new Set<Parameter>()
    for (const [name, p] of own) if (state[name]) given.add(p)
    const missing = own.filter(([name, p]) => !state[name] && !given.has(p)).map(([name]) => name)
    const unexpected = Object.keys(state).filter((name) => !names.has(name))
    const mismatched = own
      .filter(([name, p]) => state[name] && state[name].shape.join() !== p.shape.join())
      .map(([name, p]) => `${name}: is ${p.describe()}, given ${state[name]!.describe()}`)
    if (mismatched.length > 0 || (strict && missing.length + unexpected.length > 0)) {
      throw new StateDictError(strict ? missing : [], strict ? unexpected : [], mismatched)
    }
    const taken = (p: Parameter, value: Tensor): Tensor =>
      assign ? value.detach() : value.dtype === p.dtype ? value.clone() : value.to(p.dtype)
    const fresh = new Map<Parameter, Parameter>()
    noGrad(() => {
      for (const [name, p] of own) {
        const value = state[name]
        if (!value) continue
        if (p.device !== 'meta' && !assign) p.copy_(value)
        else if (!fresh.has(p)) fresh.set(p, p.with(taken(p, value)))
      }
    })
    this.#replace(fresh)
  }

  /** Puts other parameters in the place of some, wherever they stand. */
  #replace(fresh: ReadonlyMap<Parameter, Parameter>): void {
    if (fresh.size === 0) return
    for (const [, module] of this.namedModules()) {
      for (const [key, value] of module.#fields()) {
        const other = value instanceof Parameter && fresh.get(value)
        if (other) (module as unknown as Record<string, Parameter>)[key] = other
      }
    }
  }

  /**
   * Changes where and how the module holds and computes its numbers; takes effect at once, so call it before an optimiser is made.
   * @param target a device, or: `device` of every parameter, which replaces the Parameter objects; `dtype` of every floating parameter, which
   * replaces them too; `compute`, the dtype of the matrix products: each matrix gets a working copy of that dtype beside its f32
   * master, and gradients reach the master. 'f32' drops the copies. Norms, embeddings and the residual stream stay f32.
   */
  to(target: DeviceName | { device?: DeviceName; dtype?: DType; compute?: DType }): this {
    const options = typeof target === 'string' ? { device: target } : target
    const unknown =
      typeof options === 'object' && options !== null
        ? Object.keys(options).filter((key) => !['device', 'dtype', 'compute'].includes(key))
        : [String(options)]
    if (unknown.length > 0) {
      throw new ShaktiError(
        'Module.to',
        `takes a device or { device, dtype, compute }, got '${unknown.join(', ')}'.`,
      )
    }
    const { device, dtype, compute } = options
    if (dtype !== undefined && !isFloating(dtype))
      throw new ShaktiError('Module.to', `parameters need a floating dtype, got ${dtype}.`)
    if (device !== undefined) this.#convert((p) => p.to({ device }))
    if (dtype !== undefined) this.#convert((p) => (isFloating(p.dtype) ? p.to(dtype) : p))
    if (compute !== undefined) {
      if (!isFloating(compute))
        throw new ShaktiError('Module.to', `products need a floating dtype, got ${compute}.`)
      for (const [, m] of this.namedModules()) m.setCompute(compute)
    }
    return this
  }

  /** Puts what `convert` makes of each parameter in its place. */
  #convert(convert: (p: Parameter) => Tensor): void {
    const fresh = new Map<Parameter, Parameter>()
    noGrad(() => {
      for (const p of this.parameters()) {
        const made = convert(p)
        if (made === p) continue
        const other = p.with(made)
        if (p.workingCopy) other.setWorkingCopy(p.workingCopy.dtype)
        fresh.set(p, other)
      }
    })
    this.#replace(fresh)
    for (const p of fresh.keys()) {
      p.setWorkingCopy(undefined)
      p.dispose()
    }
  }

  /** What `to({ compute })` means for this module alone; matrix layers override it. */
  setCompute(_dtype: DType): void {}

  /** The low-precision copy of a parameter that forward reads, if there is one. An optimiser must write it too. */
  workingCopy(path: string): Tensor | undefined {
    for (const [name, p] of this.namedParameters()) if (name === path) return p.workingCopy
    return undefined
  }

  #setTraining(on: boolean): this {
    for (const [, m] of this.namedModules()) m.training = on
    return this
  }

  train(on = true): this {
    return this.#setTraining(on)
  }

  eval(): this {
    return this.#setTraining(false)
  }

  #require(on: boolean, patterns: readonly string[]): this {
    for (const pattern of patterns) {
      let found = false
      for (const [path, p] of this.namedParameters()) {
        if (!matchesPattern(path, pattern)) continue
        p.requiresGrad = on
        found = true
      }
      if (!found)
        throw new ShaktiError(on ? 'unfreeze' : 'freeze', `no parameter fits '${pattern}'.`)
    }
    return this
  }

  /** Stops training parameters whose path fits a pattern (`decoder.*`); all without one. */
  freeze(...patterns: string[]): this {
    return this.#require(false, patterns.length > 0 ? patterns : ['*'])
  }

  unfreeze(...patterns: string[]): this {
    return this.#require(true, patterns.length > 0 ? patterns : ['*'])
  }
}

/** Modules by number: `layers.0`, `layers.1`, ... */
export class ModuleList<M extends Module> extends Module implements Iterable<M> {
  constructor(modules: readonly M[]) {
    super()
    modules.forEach((m, i) => {
      ;(this as unknown as Record<string, M>)[i] = m
    })
  }

  get length(): number {
    return [...this.children()].length
  }

  at(i: number): M {
    const m = (this as unknown as Record<string, M | undefined>)[i < 0 ? this.length + i : i]
    if (!m) throw new ShaktiError('ModuleList', `no module ${i} among ${this.length}.`)
    return m
  }

  *[Symbol.iterator](): Iterator<M> {
    for (const [, m] of this.children()) yield m as M
  }
}

/** A module from tensor to tensor. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor
}

/** Layers one after the other. */
export class Sequential extends ModuleList<Layer> {
  constructor(...layers: Layer[]) {
    super(layers)
  }

  forward(x: Tensor): Tensor {
    for (const layer of this) x = layer.forward(x)
    return x
  }
}
