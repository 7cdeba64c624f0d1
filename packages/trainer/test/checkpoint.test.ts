import { tensor, type Tensor } from '@shakti/tensor'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AdamW, FolderCheckpointer, type Checkpoint, type RunState } from '../src/index.js'
import { copyInto } from '../src/adamw.js'
import { rejects, temporaryFolder } from './nano.js'
import { runState as state } from './runState.js'

const checkpoint = (step: number, change: Partial<RunState> = {}): Checkpoint => ({
  state: state(step, change),
  model: { w: tensor(Float32Array.of(step, 1, 2)) },
  ...(change.final ? {} : { optimizer: { 'w.exp_avg': tensor(Float32Array.of(0, 0, step)) } }),
})

interface Kept {
  folder: string
  problems: string[]
  checkpointer: FolderCheckpointer
}

async function saved(steps: number[], keep = 2): Promise<Kept> {
  const folder = temporaryFolder()
  const problems: string[] = []
  const checkpointer = new FolderCheckpointer(folder, {
    keep,
    onProblem: (m) => void problems.push(m),
  })
  for (const step of steps) await checkpointer.save(checkpoint(step))
  return { folder, problems, checkpointer }
}

const stepFolder = (step: number): string => `text-step-${String(step).padStart(8, '0')}`
const folders = (path: string): string[] =>
  readdirSync(path)
    .filter((n) => n !== 'latest')
    .sort()

/** The message that `load` rejects with. */
const refusal = async (checkpointer: FolderCheckpointer): Promise<string> =>
  (await rejects(checkpointer.load('text'), /no checkpoint/)).message

/** Changes the manifest, and makes its hash fit, as someone would who means harm. */
function forge(folder: string, change: (manifest: Record<string, unknown>) => void): void {
  const path = join(folder, stepFolder(5), 'state.json')
  const m = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  change(m)
  const { files, state } = m
  const sha256 = createHash('sha256').update(JSON.stringify({ files, state })).digest('hex')
  writeFileSync(path, JSON.stringify({ ...m, sha256 }))
}

test('what is saved is what is loaded', async () => {
  const { checkpointer, folder } = await saved([])
  assert.is(await checkpointer.load('text'), undefined)
  const change = {
    history: {
      every: 2,
      points: [{ step: 0, loss: 1.5, lr: 1e-3, gradNorm: 2 }],
      recent: [1.5],
      byKind: { text: [1.5] },
    },
    textLoss: { before: 3 },
    frozen: { parameters: 4, hash: 'ab' },
  }
  await checkpointer.save(checkpoint(5, change))
  const found = (await checkpointer.load('text'))!
  assert.equal(found.state, state(5, change))
  assert.equal(Array.from(found.model['w']!.dataSync()), [5, 1, 2])
  assert.equal(Array.from(found.optimizer!['w.exp_avg']!.dataSync()), [0, 0, 5])
  assert.is(await checkpointer.latest(), join(folder, stepFolder(5)))
})

test('the newest steps are kept, a final one replaces them, and other stages are left alone', async () => {
  const { checkpointer, folder } = await saved([1, 2, 3])
  await checkpointer.save(checkpoint(9, { stage: 'text-2' }))
  assert.equal(folders(folder), ['text-2-step-00000009', stepFolder(2), stepFolder(3)])
  await checkpointer.save(checkpoint(4, { final: true }))
  assert.equal(folders(folder), ['text-2-step-00000009', 'text-final'])
  const found = (await checkpointer.load('text'))!
  assert.is(found.state.final, true)
  assert.is(found.optimizer, undefined)
})

test('a step saved twice is loaded as it was saved last', async () => {
  const { checkpointer } = await saved([5])
  await checkpointer.save(checkpoint(5, { tokens: 77 }))
  assert.is((await checkpointer.load('text'))!.state.tokens, 77)
})

for (const [what, damage] of [
  ['a weights file cut short', (f: string): void => truncateSync(join(f, 'model.safetensors'), 40)],
  [
    'a changed byte in the optimiser',
    (f: string): void => {
      const path = join(f, 'optimizer.safetensors')
      const bytes = readFileSync(path)
      bytes[bytes.length - 1]! ^= 1
      writeFileSync(path, bytes)
    },
  ],
  ['a missing weights file', (f: string): void => rmSync(join(f, 'model.safetensors'))],
  ['a missing manifest', (f: string): void => rmSync(join(f, 'state.json'))],
  ['a manifest cut short', (f: string): void => truncateSync(join(f, 'state.json'), 60)],
  ['an empty manifest', (f: string): void => truncateSync(join(f, 'state.json'), 0)],
] as const) {
  test(`${what} is passed over for the checkpoint before, naming the file`, async () => {
    const { folder, checkpointer, problems } = await saved([5, 6])
    damage(join(folder, stepFolder(6)))
    assert.is((await checkpointer.load('text'))!.state.step, 5)
    assert.is(problems.length, 1)
    const file = /weights/.test(what)
      ? /model\.safetensors/
      : /optimiser/.test(what)
        ? /optimizer\.safetensors was changed/
        : /state\.json/
    assert.match(problems[0]!, file)
    assert.match(problems[0]!, stepFolder(6))
  })
}

test('when every checkpoint is damaged, nothing starts anew without a word', async () => {
  const { folder, checkpointer } = await saved([5, 6])
  for (const step of [5, 6]) truncateSync(join(folder, stepFolder(step), 'model.safetensors'), 9)
  const message = await refusal(checkpointer)
  assert.match(message, /no checkpoint of stage 'text' is whole/)
  assert.match(message, `${stepFolder(5)}: model.safetensors has 9 bytes, not`)
  assert.match(message, `${stepFolder(6)}: model.safetensors has 9 bytes, not`)
})

test('a manifest that says something impossible is refused, with the field', async () => {
  const cases: [string, unknown, RegExp][] = [
    ['step', -1, /'state\.step' must be an integer from 0/],
    ['step', '5', /'state\.step'/],
    ['stage', 7, /'state\.stage' must be a string/],
    ['rng', { seed: 1 }, /'state\.rng' must be a seed and an offset/],
    ['rng', { seed: 1, offset: -4 }, /'state\.rng'/],
    ['history', { every: 0, points: [], recent: [] }, /'state\.history'/],
    ['history', { every: 1, points: [{ step: 0 }], recent: [] }, /'state\.history'/],
    ['settings', [], /'state\.settings' must be an object/],
    ['warnings', ['x'], /'state\.warnings'/],
    ['final', null, /'state\.final' must be true or false/],
    ['tokens', 1e300, /'state\.tokens'/],
  ]
  const { folder, checkpointer } = await saved([5])
  const original = readFileSync(join(folder, stepFolder(5), 'state.json'))
  for (const [field, value, message] of cases) {
    writeFileSync(join(folder, stepFolder(5), 'state.json'), original)
    forge(folder, (m) => ((m['state'] as Record<string, unknown>)[field] = value))
    assert.match(await refusal(checkpointer), message)
  }
})

test('a manifest that is not ours, from the future, of another stage or with foreign files is refused', async () => {
  const cases: [(m: Record<string, unknown>) => void, RegExp][] = [
    [(m): unknown => (m['format'] = 'zip'), /'format' is not 'shakti-trainer'/],
    [(m): unknown => (m['version'] = 2), /'version' is 2, this program reads 1/],
    [(m): unknown => (m['files'] = 3), /'files' and 'state' must be objects/],
    [(m): unknown => (m['files'] = {}), /holds no model/],
    [
      (m): unknown =>
        ((m['files'] as Record<string, unknown>)['../../etc/passwd'] = { bytes: 1, sha256: '' }),
      /names a file '\.\.\/\.\.\/etc\/passwd'/,
    ],
    [(m): unknown => ((m['state'] as RunState).stage = 'other'), /belongs to stage 'other'/],
  ]
  const { folder, checkpointer } = await saved([5])
  const path = join(folder, stepFolder(5), 'state.json')
  const original = readFileSync(path)
  for (const [change, message] of cases) {
    writeFileSync(path, original)
    forge(folder, change)
    assert.match(await refusal(checkpointer), message)
  }
  // Any change that leaves the hash alone is seen by it.
  writeFileSync(path, original.toString().replace('"tokens":0', '"tokens":1'))
  assert.match(await refusal(checkpointer), /'sha256' differs/)
})

test('a save after a damaged one was passed over stays, however few are kept', async () => {
  for (const keep of [1, 2]) {
    const { folder, checkpointer } = await saved([2, 6], 2)
    truncateSync(join(folder, stepFolder(6), 'model.safetensors'), 9)
    const problems: string[] = []
    const again = new FolderCheckpointer(folder, { keep, onProblem: (m) => void problems.push(m) })
    assert.is((await again.load('text'))!.state.step, 2)
    await again.save(checkpoint(4))
    assert.is((await again.load('text'))!.state.step, 4)
    // The one of a past that was given up has gone, not the older whole one.
    assert.equal(folders(folder), keep === 1 ? [stepFolder(4)] : [stepFolder(2), stepFolder(4)])
    assert.is(await checkpointer.latest(), join(folder, stepFolder(4)))
  }
})

test('what dead processes left is swept away, what a living one writes is not', async () => {
  const { folder, checkpointer } = await saved([1])
  const dead = '.tmp-4194305-00000000'
  const living = `.tmp-${process.ppid}-00000000`
  const deleted = '.tmp-deleted-00000000'
  for (const name of [dead, living, deleted]) {
    mkdirSync(join(folder, name))
    copyFileSync(join(folder, 'latest'), join(folder, name, 'x'))
  }
  await checkpointer.save(checkpoint(2))
  assert.equal(
    [dead, living, deleted].map((n) => existsSync(join(folder, n))),
    [false, true, false],
  )
})

test('names that would leave the folder are refused', async () => {
  const { checkpointer } = await saved([])
  for (const stage of ['../x', 'a/b', '', '.hidden', 'x'.repeat(200)]) {
    await rejects(checkpointer.save(checkpoint(1, { stage })), /stage name/)
  }
})

test('tensors that do not fit change nothing, and are listed', () => {
  const target = { a: tensor(Float32Array.of(1)), b: tensor(Float32Array.of(2)) }
  const source: Record<string, Tensor> = {
    a: tensor(Float32Array.of(9)),
    b: tensor(Float32Array.of(9, 9)),
    c: tensor(Float32Array.of(9)),
  }
  assert.throws(
    () => copyInto('model', target, source),
    /Unexpected: c\..*Different: b is f32\[2\], here f32\[1\]/,
  )
  assert.throws(() => copyInto('model', target, { a: source['a']! }), /Missing: b/)
  assert.is(target.a.dataSync()[0], 1)
  const adam = new AdamW([{ lr: 1, weightDecay: 0, entries: [{ name: 'a', parameter: target.a }] }])
  assert.throws(() => adam.load({}, 3), /Missing: a\.exp_avg, a\.exp_avg_sq/)
  assert.is(adam.steps, 0)
})

test.run()
