// Runs families of kernels (families.ts) on the GPU that SHAKTI_LIBCUDA names and prints, as JSON, what came out: the results' bits as a
// digest, and how far they lie from the CPU's. A process of its own, since the simulator's settings are a process's.
//   node trial.ts softmax norm
import { createHash } from 'node:crypto'
import { setDefaultDevice, tidy, type DType, type Tensor } from '@shakti/tensor'
import { Deal, families, type Case } from './families.js'

export interface Outcome {
  readonly digest: string
  /** What is wrong: a result too far from the CPU's, or an error. Empty: nothing. */
  readonly wrong: string
}
export type Outcomes = Readonly<Record<string, Readonly<Record<string, Outcome>>>>

const rounding: Partial<Record<DType, number>> = {
  f64: 2 ** -45,
  f32: 2 ** -20,
  f16: 2 ** -10,
  bf16: 2 ** -7,
}

interface Numbers {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: ArrayLike<number | bigint> & { readonly buffer: ArrayBufferLike }
}

function results(c: Case, device: 'cpu' | 'cuda'): Numbers[] {
  setDefaultDevice(device)
  return tidy(() =>
    c.run(new Deal(device)).map((t: Tensor) => ({
      dtype: t.dtype,
      shape: t.shape,
      data: t.dataSync(),
    })),
  ) as never
}

/** The first result that is too far off, in words. Numbers near 0 are not asked for more digits than their terms had. */
function difference(got: Numbers[], want: Numbers[], slack: number): string {
  if (got.length !== want.length) return `${got.length} results, the CPU has ${want.length}`
  for (const [i, g] of got.entries()) {
    const w = want[i]!
    if (g.dtype !== w.dtype || String(g.shape) !== String(w.shape))
      return `result ${i} is ${g.dtype}[${g.shape.join()}], the CPU's ${w.dtype}[${w.shape.join()}]`
    const eps = (rounding[g.dtype] ?? 0) * slack
    let largest = 1 / 16
    for (let k = 0; k < w.data.length; k++) {
      const v = Math.abs(Number(w.data[k]))
      if (v > largest && v < Infinity) largest = v
    }
    for (let k = 0; k < w.data.length; k++) {
      const [a, b] = [Number(g.data[k]), Number(w.data[k])]
      if (Object.is(a, b) || a === b) continue
      if (Math.abs(a - b) <= eps * largest) continue
      return `result ${i}, ${g.dtype}[${g.shape.join()}], element ${k}: ${a}, the CPU has ${b}`
    }
  }
  return ''
}

const cpu = new Map<Case, Numbers[]>()

function outcome(c: Case): Outcome {
  if (!cpu.has(c)) cpu.set(c, results(c, 'cpu'))
  try {
    const got = results(c, 'cuda')
    const hash = createHash('sha256')
    for (const g of got) hash.update(Buffer.from(g.data.buffer))
    return { digest: hash.digest('hex'), wrong: difference(got, cpu.get(c)!, c.slack ?? 1) }
  } catch (error) {
    return { digest: '', wrong: (error as Error).message }
  }
}

setDefaultDevice('cuda') // without one there is nothing to try: an error
const wanted = process.argv.slice(2).filter((a) => !a.startsWith('-'))
const timed = process.argv.includes('--times')
const outcomes: Record<string, Record<string, Outcome>> = {}
for (const name of wanted.length > 0 ? wanted : Object.keys(families)) {
  const begun = performance.now()
  outcomes[name] = Object.fromEntries(families[name]!.map((c) => [c.name, outcome(c)]))
  if (timed) console.error(`${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
}
console.log(JSON.stringify(outcomes))
