// Saves checkpoints until it is killed (kill.test.ts). Arguments: folder, then the number of the file operation of the
// third save at which to stand still, after saying so; or 'never': it says `saving <step>` and goes on.
import { tensor } from '@shakti/tensor'
import fs, { writeSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { FolderCheckpointer } from '../src/index.js'
import { runState } from './runState.js'

const [folder = '', moment = ''] = process.argv.slice(2)
const say = (line: string): void => void writeSync(1, `${line}\n`)
let operations = Number.NaN

for (const name of ['mkdir', 'open', 'writeFile', 'rename', 'rm'] as const) {
  const original = fs.promises[name] as (...args: unknown[]) => Promise<unknown>
  const watched = async (...args: unknown[]): Promise<unknown> => {
    if (operations++ === Number(moment)) {
      say(`before ${name} ${String(args[0]).slice(folder.length)}`)
      setInterval(() => undefined, 1 << 30)
      await new Promise(() => undefined)
    }
    return original(...args)
  }
  Object.assign(fs.promises, { [name]: watched })
}
syncBuiltinESMExports()

const checkpointer = new FolderCheckpointer(folder)
for (let step = 1; moment === 'never' || step <= 3; step++) {
  if (step === 3) operations = 0
  if (moment === 'never') say(`saving ${step}`)
  const values = new Float32Array(moment === 'never' ? 200_000 : 100).fill(step)
  const w = tensor(values)
  await checkpointer.save({
    state: runState(step, { rng: { seed: 1, offset: step } }),
    model: { w },
    optimizer: { 'w.exp_avg': w },
  })
  w.dispose()
}
say('done')
