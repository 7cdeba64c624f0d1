// The tape: what was computed from what, and what a gradient rule will want to read. A node holds the storages that its
// rule saved and nothing else; edges lead to the nodes (or leaves) of its inputs.
import { AutogradError } from '../errors.js'
import type { DType } from '../dtype.js'
import type { Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'

let enabled = true
let clock = 0

export function isGradEnabled(): boolean {
  return enabled
}

/** Runs `fn` with the tape on or off. */
export function withGrad<T>(on: boolean, fn: () => T): T {
  const before = enabled
  enabled = on
  try {
    return fn()
  } finally {
    enabled = before
  }
}

/** Runs `fn` without recording: results have no gradient. For evaluation, and for changing parameters in place. */
export function noGrad<T>(fn: () => T): T {
  return withGrad(false, fn)
}

/** A tensor that a rule will read, and the state in which it must find it. */
export interface Saved {
  readonly tensor: Tensor
  readonly version: number
}

/** Where a gradient flows: to the node that made an input, or into `.grad` of a leaf. */
export type Edge = Node | Tensor | undefined

export interface InputMeta {
  readonly shape: Shape
  readonly dtype: DType
}

/** Gradients of the inputs, in their order; undefined where none is needed. */
export type Rule = (grad: Tensor, node: Node) => readonly (Tensor | undefined)[]

/** The range of a dimension that a view takes of its input: gradients of several such views may share one tensor. */
export interface Part {
  readonly dim: number
  readonly from: number
  readonly to: number
  /** The same part of a tensor like the input. */
  of(whole: Tensor): Tensor
}

export class Node {
  /** Later nodes have larger numbers, so descending order is a topological one. */
  readonly order = clock++
  readonly op: string
  readonly edges: readonly Edge[]
  readonly metas: readonly (InputMeta | undefined)[]
  readonly rule: Rule
  #saved: Saved[] | undefined
  /** The walk of backward that found it last. */
  walk = 0
  /** Set for a view of a part of its only input. */
  part: Part | undefined
  /** Called with the gradient of this node's output (`registerHook`, `retainGrad`). */
  hooks: ((grad: Tensor) => Tensor | void)[] | undefined
  /** Where the op was called; kept in anomaly mode only. */
  readonly stack: string | undefined

  constructor(
    op: string,
    edges: readonly Edge[],
    metas: readonly (InputMeta | undefined)[],
    rule: Rule,
    saved: Saved[],
    stack?: string,
  ) {
    this.op = op
    this.edges = edges
    this.metas = metas
    this.rule = rule
    this.#saved = saved
    this.stack = stack
  }

  needs(i: number): boolean {
    return this.edges[i] !== undefined
  }

  /** The i-th saved tensor, unless it was freed or changed since. */
  saved(i: number): Tensor {
    const s = this.#saved
    if (s === undefined) {
      throw new AutogradError(
        this.op,
        'backward ran a second time through a graph whose saved tensors are freed. Pass { retainGraph: true } the first time.',
      )
    }
    const { tensor, version } = s[i]!
    if (tensor.storage.version !== version) {
      throw new AutogradError(
        this.op,
        `a tensor ${tensor.describe()} saved for the gradient was changed in place since (version ${tensor.storage.version}, saved at ${version}). Clone it before changing it.`,
      )
    }
    return tensor
  }

  free(): void {
    if (this.#saved) for (const { tensor } of this.#saved) tensor.dispose()
    this.#saved = undefined
  }
}

export function edgeOf(t: Tensor | undefined): Edge {
  if (t === undefined || !t.requiresGrad) return undefined
  return t.gradFn ?? t.leaf
}

/** Whether an op on these inputs has to be recorded. */
export function tracks(inputs: readonly (Tensor | undefined)[]): boolean {
  if (!enabled) return false
  for (const t of inputs) if (t?.requiresGrad) return true
  return false
}
