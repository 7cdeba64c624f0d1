import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { plusMinus, sample, spreadOf } from '../src/lib/stats.js'
import { peers, RunningPeer } from '../src/peers/peers.js'
import { Program, type Command } from '../src/peers/program.js'
import { rowsOrProduct } from '../src/peers/programs/serve.js'
import { decodeBytes, prefillFlops } from '../src/peers/shakti.js'
import { markdown } from '../src/peers/table.js'
import { works } from '../src/peers/works.js'

const node = (script: string): Command => ({
  file: process.execPath,
  args: ['-e', script],
  env: {},
})

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('should have failed')
}

test('median and quartiles lie between neighbours, whatever the order', () => {
  assert.equal(spreadOf([4, 1, 3, 2]), { median: 2.5, q1: 1.75, q3: 3.25, samples: 4 })
  assert.equal(spreadOf([7]), { median: 7, q1: 7, q3: 7, samples: 1 })
  assert.is(plusMinus(spreadOf([9, 10, 11])), 5)
  assert.throws(() => spreadOf([]), RangeError)
})

test('two runs are timed even when there is no time, after one that is not', async () => {
  let runs = 0
  const times = await sample(() => void runs++, 0)
  assert.is(times.length, 2)
  assert.is(runs, 3)
})

test('a run may tell which milliseconds count', async () => {
  let runs = 0
  assert.equal(await sample(() => Promise.resolve(100 * ++runs), 0), [200, 300])
})

test('a program answers lines, and what is not JSON is passed over', async () => {
  const program = new Program(
    node(`console.log('hello'); console.log('{"peer": "x"}')
      process.stdin.on('data', (line) => console.log(JSON.stringify({ got: String(line).trim() })))`),
  )
  assert.equal(await program.answer(), { peer: 'x' })
  assert.equal(await program.ask('1 work'), { got: '1 work' })
  program.stop()
})

test('a program that ends gives its reason: the line with an error, else how it ended', async () => {
  const broken = `console.error('warming up'); console.error('Error: no such module'); console.error('bye'); process.exit(3)`
  assert.is(await failure(new Program(node(broken)).answer()), 'Error: no such module')
  assert.is(await failure(new Program(node('process.exit(3)')).answer()), 'ended with 3')
  const killed = 'process.kill(process.pid, "SIGKILL")'
  assert.is(await failure(new Program(node(killed)).answer()), 'ended with SIGKILL')
  const missing = new Program({ file: '/no/such/program', args: [], env: {} })
  assert.match(await failure(missing.answer()), 'ENOENT')
})

test('a peer is absent for its own reason, and breaks down over one work only', async () => {
  const needs = { missing: () => undefined, install: () => {} }
  const peer = { id: 'x', title: 'X', needs, can: () => true }
  const absent = await RunningPeer.start({
    ...peer,
    command: () => node('console.error("cannot"); process.exit(1)'),
  })
  assert.is(absent.name, 'X')
  assert.is(absent.absent, 'cannot')
  const fragile = await RunningPeer.start({
    ...peer,
    command: () =>
      node(`console.log('{"peer": "X 1"}'); process.stdin.on('data', (line) => {
        if (String(line).includes('product')) process.exit(1)
        console.log('{"ms": [1, 2], "way": "compiled"}') })`),
  })
  const [product, other] = [works[0]!, works.find((w) => w.name.startsWith('softmax'))!]
  assert.is(fragile.name, 'X 1')
  assert.is(await fragile.measure(product, 1), 'ended with 1')
  assert.equal(await fragile.measure(other, 1), { ms: [1, 2], way: 'compiled' })
  fragile.stop()
})

test('works have names of their own, and Node peers understand those given to them', () => {
  assert.is(new Set(works.map((w) => w.name)).size, works.length)
  for (const id of ['onnxruntime', 'tfjs']) {
    const peer = peers.find((p) => p.id === id)!
    const mine = works.filter((w) => peer.can(w))
    assert.ok(mine.length > 0)
    for (const { name } of mine) assert.not.throws(() => rowsOrProduct(name))
  }
  assert.throws(() => rowsOrProduct('attention f32 T1024'), 'no such work')
})

test('what the full-size decoder computes and reads is counted', () => {
  // 24 layers of 18.4 M weights and the table of 32,768 x 2,048; norms among them, 0.02 %.
  const weights = 24 * (2048 * 2 * (2048 + 512) + 3 * 2048 * 1280) + 32_768 * 2048 + 49 * 2048
  assert.is(prefillFlops(1), 2 * weights + 24 * 2 * 2048)
  // Two tokens behind one: keys and values of 4 heads of 128, of one position and then of two.
  assert.is(decodeBytes(1, 2), 2 * 2 * (weights + 24 * 2 * 4 * 128 * 2))
})

test('the columns of a table line up', () => {
  const table = markdown(
    ['work', 'ms'],
    [
      ['a', '1'],
      ['longer', '12345'],
    ],
    [],
  )
  assert.is(new Set(table.split('\n').map((line) => line.length)).size, 1)
})

test.run()
