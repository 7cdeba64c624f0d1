// A process that saves checkpoints is killed at every file operation of a save, and in the middle of its work.
import { tensor } from '@shakti/tensor'
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FolderCheckpointer } from '../src/index.js'
import { temporaryFolder } from './nano.js'

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Starts saver.ts and kills it at the first line that `at` accepts. Gives that line, or undefined if none came. */
function killed(
  folder: string,
  moment: string,
  at: (line: string) => boolean,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const script = new URL('saver.ts', import.meta.url).pathname
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--conditions=@shakti/source', script, folder, moment],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, SHAKTI_NUM_THREADS: '1' } },
    )
    children.add(child)
    let text = ''
    let line: string | undefined
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      line ??= text.split('\n').slice(0, -1).find(at)
      if (line !== undefined) child.kill('SIGKILL')
    })
    child.on('close', (code, signal) => {
      children.delete(child)
      if (line !== undefined ? signal === 'SIGKILL' : code === 0) resolve(line)
      else reject(new Error(`saver.ts ended with ${code ?? signal}: ${text}`))
    })
  })
}

/** The folder must load, as one of `steps`, and take another save without a trace of the crash. */
async function check(
  folder: string,
  steps: (step: number) => boolean,
  when: string,
): Promise<number> {
  const problems: string[] = []
  const checkpointer = new FolderCheckpointer(folder, { onProblem: (m) => void problems.push(m) })
  const found = await checkpointer.load('text')
  assert.ok(found, `${when}: nothing to load`)
  const { step } = found.state
  assert.ok(steps(step), `${when}: loaded step ${step}`)
  assert.equal(problems, [], when)
  for (const t of [found.model['w']!, found.optimizer!['w.exp_avg']!])
    assert.ok(
      t.dataSync().every((v) => v === step),
      `${when}: the weights are not of step ${step}`,
    )

  const next = step + 1
  await checkpointer.save({
    ...found,
    state: { ...found.state, step: next },
    model: { w: tensor(Float32Array.of(next)) },
  })
  assert.is((await checkpointer.load('text'))!.state.step, next, when)
  const left = readdirSync(folder).filter((n) => n !== 'latest')
  assert.is(left.length, 2, `${when}: ${left.join(', ')}`)
  assert.ok(
    left.every((n) => /^text-step-\d{8}$/.test(n)),
    `${when}: ${left.join(', ')}`,
  )
  assert.match((await checkpointer.latest())!, `text-step-${String(next).padStart(8, '0')}`)
  return step
}

test('kill -9 at any file operation of a save leaves a checkpoint that loads, and nothing in the way', async () => {
  const seen: string[] = []
  const loaded: number[] = []
  let moment = 0
  let over = false
  const worker = async (): Promise<void> => {
    while (!over) {
      const folder = temporaryFolder()
      const mine = moment++
      const line = await killed(folder, String(mine), (l) => l.startsWith('before '))
      if (line === undefined) over = true
      else {
        loaded.push(await check(folder, (s) => s === 2 || s === 3, line))
        seen.push(line)
      }
    }
  }
  await Promise.all([worker(), worker()])
  // All kinds of moments were among them: before and after the one that makes a checkpoint of a folder.
  for (const kind of [
    /mkdir/,
    /open .*model/,
    /open .*optimizer/,
    /writeFile .*state\.json/,
    /rename .*tmp/,
    /rm /,
  ])
    assert.ok(
      seen.some((l) => kind.test(l)),
      `${String(kind)} in ${seen.join('; ')}`,
    )
  assert.ok(loaded.includes(2) && loaded.includes(3), loaded.join())
})

test('kill -9 while it is at work leaves a checkpoint that loads', async () => {
  for (const at of [3, 6]) {
    const folder = temporaryFolder()
    await killed(folder, 'never', (l) => l === `saving ${at}`)
    await check(folder, (s) => s >= at - 1, `saving ${at}`)
  }
})

test.run()
