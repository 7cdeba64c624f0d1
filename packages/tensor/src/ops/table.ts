// What an op is. A row names its operands, its shape and dtype rule, what it keeps for its gradient, and the gradient,
// which can read nothing but what the row saved: the compiler sees to that.
import { Node, edgeOf, tracks, type InputMeta, type Saved } from '../autograd/tape.js'
import { anomaly } from '../autograd/anomaly.js'
import { AutogradError } from '../errors.js'
import { issue, type CommandName, type Meta } from '../native/encode.js'
import type { Tensor } from '../tensor.js'
import type { Shape } from '../shape.js'

type Optional<K extends string> = K extends `${infer N}?` ? N : never
type Required<K extends string> = K extends `${string}?` ? never : K
type Plain<K extends string> = Required<K> | Optional<K>

/** Operands by name; `'bias?'` in a row may be absent. */
export type Operands<I extends readonly string[]> = {
  readonly [K in Required<I[number]>]: Tensor
} & {
  readonly [K in Optional<I[number]>]?: Tensor | undefined
}
type Outputs<O extends readonly string[]> = { readonly [K in O[number]]: Tensor }
type SavedOperands<I extends readonly string[], O extends readonly string[], S> = {
  readonly [K in keyof (Operands<I> & Outputs<O>) as K extends S ? K : never]: (Operands<I> &
    Outputs<O>)[K]
}

export interface GradInfo<I extends readonly string[], A> {
  readonly attrs: A
  /** Which inputs want a gradient. */
  readonly need: { readonly [K in Plain<I[number]>]: boolean }
  /** Shape and dtype of every input, at no cost in memory. */
  readonly metas: { readonly [K in Required<I[number]>]: InputMeta } & {
    readonly [K in Optional<I[number]>]?: InputMeta
  }
}

export type Attrs = Readonly<Record<string, number | boolean | readonly number[]>>

export interface Row<
  I extends readonly string[],
  O extends readonly string[],
  A,
  S extends string,
> {
  /** The native command. Its operands are the row's, in order. */
  readonly command: CommandName
  readonly inputs: I
  /** Names of the results; only the first has a gradient. */
  readonly outputs: O
  /** Stretches all inputs to the first output's shape (elementwise ops). */
  readonly broadcast?: boolean
  /** Shape and dtype rule; runs on `meta` too. Throws the error that the caller sees. */
  readonly check: (x: Operands<I>, attrs: A) => { readonly [K in O[number]]: Meta }
  /** The attributes in the order of the command's OP line. */
  readonly encode?: (attrs: A) => readonly number[]
  /** Inputs and outputs that `grad` reads. */
  readonly saves: readonly S[]
  /** Gradients of the inputs from that of the first output; broadcasting is undone by the engine. */
  readonly grad:
    | 'none'
    | ((
        g: Tensor,
        saved: SavedOperands<I, O, S>,
        info: GradInfo<I, A>,
      ) => { readonly [K in Plain<I[number]>]?: Tensor | undefined })
}

export type Op<I extends readonly string[], O extends readonly string[], A> = {
  (x: Operands<I>, attrs: A): Outputs<O>
  readonly row: { readonly command: CommandName; readonly grad: unknown }
}

/** Every row, by command, for the tests that are made from the table. */
export const rows = new Map<string, { readonly command: CommandName; readonly grad: unknown }>()

/** Makes an op of a row: check, issue, record. */
export function op<
  const I extends readonly string[],
  A,
  const S extends Plain<I[number]> | O[number] = never,
  const O extends readonly string[] = readonly ['out'],
>(row: Row<I, O, A, S>): Op<I, O, A> {
  const names = row.inputs.map((n) => n.replace('?', ''))
  // Position of each saved name: inputs count from 0, outputs after them.
  const savedAt = row.saves.map((n) => {
    const i = names.indexOf(n)
    return i >= 0 ? i : names.length + row.outputs.indexOf(n)
  })

  const rule = (g: Tensor, node: Node, attrs: A): (Tensor | undefined)[] => {
    if (row.grad === 'none') throw new AutogradError(row.command, 'has no gradient.')
    const saved: Record<string, Tensor> = {}
    const need: Record<string, boolean> = {}
    const metas: Record<string, InputMeta | undefined> = {}
    let k = 0
    row.saves.forEach((n, i) => {
      // Optional operands that were absent have no slot.
      if (savedAt[i]! >= names.length || node.metas[savedAt[i]!]) saved[n] = node.saved(k++)
    })
    names.forEach((n, i) => {
      need[n] = node.needs(i)
      metas[n] = node.metas[i]
    })
    const grads = row.grad(
      g,
      saved as unknown as SavedOperands<I, O, S>,
      { attrs, need, metas } as unknown as GradInfo<I, A>,
    ) as Record<string, Tensor | undefined>
    return names.map((n) => grads[n])
  }

  const run = (x: Operands<I>, attrs: A): Outputs<O> => {
    const given = x as Record<string, Tensor | undefined>
    const inputs = new Array<Tensor | undefined>(names.length)
    for (let i = 0; i < names.length; i++) inputs[i] = given[names[i]!]
    const metas = row.check(x, attrs) as Record<string, Meta>
    const wanted = new Array<Meta>(row.outputs.length)
    for (let i = 0; i < wanted.length; i++) wanted[i] = metas[row.outputs[i]!]!
    const shape: Shape | undefined = row.broadcast ? wanted[0]!.shape : undefined
    const results = issue(row.command, inputs, wanted, row.encode?.(attrs), shape) as Tensor[]
    if (tracks(inputs)) {
      if (row.grad === 'none') {
        if (isDifferentiable(wanted[0]!)) untracked.add(results[0]!)
      } else {
        const saved: Saved[] = []
        for (const i of savedAt) {
          const t = i < names.length ? inputs[i] : results[i - names.length]
          if (t) saved.push({ tensor: t.alias(), version: t.storage.version })
        }
        record(row.command, results[0]!, inputs, (g, node) => rule(g, node, attrs), saved)
      }
    }
    if (anomaly.on) anomaly.check(row.command, results)
    const out: Record<string, Tensor> = {}
    for (let i = 0; i < results.length; i++) out[row.outputs[i]!] = results[i]!
    return out as Outputs<O>
  }
  const made = Object.assign(run, { row: { command: row.command, grad: row.grad } })
  rows.set(row.command, made.row)
  return made
}

// Floating results of ops without a rule (backward kernels): backward through them must fail, not stop silently.
const untracked = {
  add(t: Tensor): void {
    record(
      t.describe(),
      t,
      [t],
      () => {
        throw new AutogradError(
          'backward',
          'reached an op that has no gradient of its own (a second derivative).',
        )
      },
      [],
    )
  },
}

function isDifferentiable(meta: Meta): boolean {
  return (
    meta.dtype !== 'bool' && meta.dtype !== 'i32' && meta.dtype !== 'i64' && meta.dtype !== 'u8'
  )
}

/** Puts a node on the tape and hangs `result` on it. */
export function record(
  name: string,
  result: Tensor,
  inputs: readonly (Tensor | undefined)[],
  rule: (g: Tensor, node: Node) => readonly (Tensor | undefined)[],
  saved: Saved[],
): void {
  result.setGradFn(
    new Node(
      name,
      inputs.map(edgeOf),
      inputs.map((t) => t && { shape: t.shape, dtype: t.dtype }),
      rule,
      saved,
      anomaly.on ? new Error(name).stack : undefined,
    ),
  )
}
