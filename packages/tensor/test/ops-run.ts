// Runs the cases of fixtures/make.py: one op, one dtype, one layout of the operands, against PyTorch's numbers.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadSafetensors, noGrad, tidy, zeros, type DType, type Tensor } from '@shakti/tensor'
import { assert, assertClose } from './assert.js'
import { table, type Attrs } from './ops-table.js'

export interface Case {
  readonly op: string
  readonly attrs: Attrs
  /**
   * true: in every floating dtype; 'f32': there alone; 'edges': there, values of all magnitudes of which only the
   * relative error counts; false: the inputs' dtypes as they are.
   */
  readonly floats: boolean | 'f32' | 'edges'
  readonly tol?: number
  readonly in: readonly ({
    readonly t: string
    readonly fixed?: boolean
    readonly grad?: boolean
  } | null)[]
  readonly out: readonly string[]
  /** Gradients of the outputs, and what they give for the inputs that have `grad`. */
  readonly g?: readonly (string | null)[]
  readonly grads?: readonly string[]
}

const path = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))
export const { cases } = JSON.parse(readFileSync(path('ops.json'), 'utf8')) as { cases: Case[] }
export const { tensors } = loadSafetensors(path('ops.safetensors'))
const epsilon: Readonly<Partial<Record<DType, number>>> = {
  f64: 2 ** -52,
  f32: 2 ** -23,
  f16: 2 ** -10,
  bf16: 2 ** -7,
}

/** In how many roundings the result may differ: one and its neighbours where 16 bits are rounded once, at the end. */
function tolerance(c: Case, dtype: DType, gradient: boolean): number {
  const low = dtype === 'bf16' || dtype === 'f16'
  return (
    (epsilon[dtype] ?? 0) *
    (low ? (gradient ? 4 : 1.5) : dtype === 'f64' ? 256 : 32) *
    (low ? Math.max(1, Math.min(c.tol ?? 1, 2)) : (c.tol ?? 1))
  )
}

function expectNumbers(
  got: Tensor,
  wantName: string,
  c: Case,
  dtype: DType,
  gradient: boolean,
  what: string,
): void {
  const stored = tensors[wantName]!
  assert.equal(got.shape, stored.shape, `${what}: shape`)
  const exact =
    got.dtype === 'i32' || got.dtype === 'bool' || got.dtype === 'i64' || got.dtype === 'u8'
  let want: ArrayLike<number> = stored.dataSync()
  // The reference is in f64; what overflows or vanishes in f32 does so there too.
  if (got.dtype === 'f32') want = Float32Array.from(want)
  const eps = exact ? 0 : tolerance(c, dtype, gradient)
  // Terms near 1 may cancel: numbers below 1/16 are not asked for more digits than their terms had.
  const largest = Math.max(1 / 16, ...Array.from(want).filter(Number.isFinite).map(Math.abs))
  const atol = c.floats === 'edges' ? 1e-37 : eps * largest
  assertClose(got.dataSync(), want, { rtol: eps, atol }, what)
}

export type Layout = 'in order' | 'as views'

/** The same numbers behind other strides: the last dimension first in memory, with gaps at the edges of the last. */
function asView(t: Tensor): Tensor {
  if (t.ndim === 0) return t
  if (t.ndim === 1) return zeros([t.numel, 2], { dtype: t.dtype }).select(1, 0).copy_(t)
  const n = t.ndim
  const order = [n - 1, ...Array.from({ length: n - 1 }, (_, i) => i)]
  const back = [...Array.from({ length: n - 1 }, (_, i) => i + 1), 0]
  const turned = t.permute(order)
  const size = turned.shape[n - 1]!
  const wide = zeros([...turned.shape.slice(0, -1), size + 3], { dtype: t.dtype })
  return wide.narrow(-1, 1, size).copy_(turned).permute(back)
}

export function run(c: Case, dtype: DType | undefined, layout: Layout): void {
  const what = `${c.op} ${JSON.stringify(c.attrs)} ${dtype ?? 'own dtypes'} ${layout}`
  const leaves: Tensor[] = []
  const inputs = c.in.map((i) => {
    if (!i) return undefined
    const source = tensors[i.t]!
    let t = noGrad(() => {
      if (i.fixed) return source.to('f32')
      return source.dtype === 'f64' && dtype ? source.to(dtype) : source
    })
    if (layout === 'as views') t = asView(t)
    if (i.grad) leaves.push((t = t.detach().requiresGrad_()))
    return t
  })
  const fn = table[c.op]!
  const result = fn(inputs as never, c.attrs)
  const outs = result instanceof Array ? result : [result as Tensor]
  assert.is(outs.length, c.out.length, `${what}: number of results`)
  outs.forEach((o, i) =>
    expectNumbers(o, c.out[i]!, c, dtype ?? 'f32', false, `${what}, result ${i}`),
  )
  if (!c.g || !c.grads) return
  c.g.forEach((g, i) => {
    if (g !== null) outs[i]!.backward(tensors[g]!.to(outs[i]!.dtype), { retainGraph: true })
  })
  leaves.forEach((leaf, i) => {
    const grad = leaf.grad
    if (grad) {
      assert.is(grad.dtype, leaf.dtype, `${what}: dtype of gradient ${i}`)
      expectNumbers(grad, c.grads![i]!, c, dtype ?? 'f32', true, `${what}, gradient ${i}`)
    } else {
      // No gradient is as good as one of zeros.
      assertClose(
        new Float64Array(leaf.numel),
        tensors[c.grads![i]!]!.dataSync(),
        {},
        `${what}, gradient ${i}`,
      )
    }
  })
}

/** Every failure of an op in one message, so that one bug is seen whole. */
export function collect(runs: readonly (() => void)[]): void {
  const failures: string[] = []
  for (const r of runs) {
    try {
      tidy(r)
    } catch (error) {
      failures.push(`${(error as Error).name}: ${(error as Error).message}`)
    }
  }
  if (failures.length > 0) {
    assert.unreachable(
      `${failures.length} of ${runs.length} runs:\n${failures.slice(0, 12).join('\n')}`,
    )
  }
}

export const dtypesOf = (c: Case): (DType | undefined)[] =>
  c.floats === false ? [undefined] : c.floats !== true ? ['f32'] : ['f32', 'f64', 'bf16', 'f16']
// One command over lists of contiguous f32 tensors: not for views.
export const contiguousOnly = new Set(['adamw'])
