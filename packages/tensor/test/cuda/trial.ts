// Runs families of kernels (families.ts) on the GPU that SHAKTI_LIBCUDA names and prints, as JSON, what came out: the results' bits as a
// digest, and how far they lie from the CPU's. A process of its own, since the simulator's settings are a process's.
//   node trial.ts softmax norm
import { createHash } from 'node:crypto'
import { setDefaultDevice, tidy } from '@shakti/tensor'
import { difference, numbersOf, type Numbers } from './compare.js'
import { Deal, type Case } from './deal.js'
import { families } from './families.js'

export interface Outcome {
  readonly digest: string
  /** What is wrong: a result too far from the CPU's, or an error. Empty: nothing. */
  readonly wrong: string
}
export type Outcomes = Readonly<Record<string, Readonly<Record<string, Outcome>>>>

function results(c: Case, device: 'cpu' | 'cuda'): Numbers[] {
  setDefaultDevice(device)
  return tidy(() => c.run(new Deal(device)).map(numbersOf))
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
