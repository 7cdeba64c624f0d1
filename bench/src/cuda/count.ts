// A process of its own: runs the cases on the simulator and writes what their launches did. The simulator takes its settings when it is
// opened, for one chip; judge.ts starts this once a chip.
//   tsx count.ts <compute capability, as 80> <file to write> [words of cases...]
import { rmSync, writeFileSync } from 'node:fs'
import { manualSeed, setDefaultDevice, synchronize, tidy, tidyAsync } from '@shakti/tensor'
import { readReport, simulatorEnvironment, simulatorPath } from '@shakti/cuda-sim'
import { cases } from './cases.js'
import { chosen } from './choose.js'
import { countsOf, type Counted } from './figures.js'

const [arch, out, ...words] = process.argv.slice(2)
if (!arch || !out) throw new Error('count.ts: needs a compute capability and a file')

// Beside the result: the simulator writes a last line when the process ends.
const report = `${out}.report`
Object.assign(
  process.env,
  { SHAKTI_LIBCUDA: simulatorPath() },
  simulatorEnvironment({ arch: Number(arch), report, counters: 'launches', races: false }),
)
setDefaultDevice('cuda')
manualSeed(0)

const results: Counted[] = []
for (const { name, judged } of chosen(cases, words)) {
  await tidyAsync(async () => {
    const run = judged.setup()
    await synchronize()
    rmSync(report, { force: true })
    tidy(() => void run())
    await synchronize()
  })
  const launches = readReport(report).filter((line) => line.type === 'launch')
  results.push({ name, kernels: countsOf(launches) })
}
writeFileSync(out, JSON.stringify(results))
