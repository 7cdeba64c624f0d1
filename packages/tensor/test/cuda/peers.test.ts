// Copies from one GPU to another, on two simulated ones: the bytes, their place in the order of both streams, and that they don't come
// through the host. Each test is a process of its own (this file again), since a driver is loaded once. `lazy` runs what was queued last
// first wherever no event forbids it, so a wait that is missing shows.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  arange,
  cudaDevices,
  embedding,
  full,
  memory,
  ones,
  resetDevice,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from '@shakti/tensor'
import { assert, test } from '../assert.js'

const [here, there] = ['cuda:0', 'cuda:1'] as const
const values = (t: Tensor): number[] => [...t.dataSync()]
const n = 1000

const programs: Readonly<Record<string, () => unknown>> = {
  /** The source changes, and its memory is used again, right behind the copy. */
  source: () => {
    const x = zeros([n], { device: here })
    const copies = Array.from({ length: 8 }, (_, i) => {
      x.fill_(i)
      const copied = tidy(() => x.add(0.5).to(there))
      tidy(() => x.mul(0).sub(1))
      return [x.to(there), copied] as const
    })
    x.fill_(-1)
    return copies.map(([a, b], i) =>
      [a.sub(i), b.sub(i + 0.5)].map((t) => t.abs().sum().itemSync()),
    )
  },
  /** The target's memory is that of a tensor which is still read there. */
  target: () => {
    const x = arange(0, n).to(here)
    const before = memory({ device: there }).liveBytes
    return Array.from({ length: 8 }, (_, i) => {
      const sum = tidy(() => full([n], i, { device: there }).sum())
      const y = x.add(i).to(there)
      const live = memory({ device: there }).liveBytes - before
      const got = [
        sum.itemSync() - i * n,
        y
          .sub(arange(i, n + i).to(there))
          .abs()
          .sum()
          .itemSync(),
      ]
      sum.dispose()
      y.dispose()
      return [...got, live > 0]
    })
  },
  /** There and back, with work between, and nothing read before the end. */
  chain: () => {
    let x = ones([n], { device: here })
    let want = ones([n])
    for (let i = 0; i < 6; i++) {
      x = x.mul(2).to(there).add(1).to(here).sub(0.5)
      want = want.mul(2).add(1).sub(0.5)
    }
    return [x.device, x.sum().itemSync() - want.sum().itemSync()]
  },
  /** Wrong content on the one is wrong on the other, not numbers that look right. */
  content: () => {
    const bad = embedding(
      tensor([0, 7], { dtype: 'i32', device: here }),
      zeros([3, 2], { device: here }),
    )
    const moved = bad.to(there).add(1)
    const said = [moved, bad].map((t) => {
      try {
        return String(values(t))
      } catch (error) {
        return (error as Error).message
      }
    })
    resetDevice(here)
    resetDevice(there)
    return [
      said[0]!.includes('came from had failed'),
      said[1]!.includes('7'),
      ...values(ones([2], { device: here }).to(there)),
    ]
  },
  /** What is issued to one GPU after another was opened is still its own. */
  turns: () => {
    const first = ones([2], { device: here })
    memory({ device: there }) // opens it
    const fresh = ones([3 << 20], { device: here })
    return values(first.add(fresh.sum()))
  },
  /** The process ends while streams wait for each other. */
  unread: () => {
    values(ones([2], { device: here }).to(there)) // opens both
    let x = zeros([1000, 1000])
    for (let i = 0; i < 50; i++) x = x.matmul(x) // the CPU is at this when the process ends
    for (let i = 0; i < 10; i++) x = x.to(here).to(there).to('cpu')
    return 'issued'
  },
}

const wanted: Readonly<Record<string, unknown>> = {
  source: Array.from({ length: 8 }, () => [0, 0]),
  target: Array.from({ length: 8 }, () => [0, 0, true]),
  chain: ['cuda:0', 0],
  content: [true, true, 1, 1],
  turns: [3145729, 3145729],
  unread: 'issued',
}

async function outcome(program: string, settings: Record<string, string> = {}): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url)],
    {
      timeout: 60_000,
      env: {
        ...process.env,
        SHAKTI_DEVICE: 'cpu',
        SHAKTI_PEERS: program,
        SHAKTI_SIM_DEVICES: '2',
        ...settings,
      },
    },
  )
  return JSON.parse(stdout)
}

const program = process.env.SHAKTI_PEERS
if (program !== undefined) {
  console.log(JSON.stringify(programs[program]!()))
} else if (!cudaDevices()[0]?.name.includes('no GPU')) {
  test.skip('the simulator is not what SHAKTI_LIBCUDA names', () => undefined)
  test.run()
} else {
  const orders = [
    { SHAKTI_SIM_STREAMS: 'lazy' },
    { SHAKTI_SIM_STREAMS: 'random', SHAKTI_SIM_SEED: '3' },
  ]
  for (const [name, what] of [
    ['source', 'what happens to the source after the copy does not reach the target'],
    ['target', 'the target is written after all that was read of its memory before'],
    ['chain', 'there and back, in the order of both'],
  ] as const)
    for (const order of orders)
      test(`${what}: streams ${order.SHAKTI_SIM_STREAMS}`, async () => {
        assert.equal(await outcome(name, order), wanted[name])
      })

  test('wrong content of the source is found at a read of the target', async () => {
    assert.equal(await outcome('content'), wanted.content)
  })

  test('memory is had from the GPU it is for, whichever was opened last', async () => {
    assert.equal(await outcome('turns'), wanted.turns)
  })

  test('a process ends while copies wait for each other', async () => {
    assert.equal(await outcome('unread'), wanted.unread)
  })

  test('the bytes do not come through the host', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shakti-peers-'))
    const SHAKTI_SIM_REPORT = join(folder, 'report.jsonl')
    await outcome('chain', { SHAKTI_SIM_REPORT, SHAKTI_SIM_COUNTERS: '1' })
    const report = readFileSync(SHAKTI_SIM_REPORT, 'utf8').trim().split('\n')
    rmSync(folder, { recursive: true })
    const copies = report.map((l) => JSON.parse(l) as Record<string, unknown>)
    assert.equal(
      copies.filter((c) => c.type === 'copies'),
      [
        { type: 'copies', route: 'between devices', count: 12, bytes: 12 * 4 * n },
        { type: 'copies', route: 'device to host', count: 1, bytes: 4 },
      ],
    )
  })
  test.run()
}
