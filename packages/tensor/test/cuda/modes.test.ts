// test-timeout: 900
// Every family of kernels against the CPU, and under every way in which the simulator can run a program: order of warps and blocks, what
// fresh memory holds, when copies arrive and streams run must change no bit; how tensor cores round and where approximate functions
// lie, none beyond the roundings that families.ts allows. Each pair of settings occurs; each family gets a third of the rows, by turns.
// SHAKTI_CUDA_MODES=all: every family gets every row. SHAKTI_CUDA_SEED: another seed for what is random.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cudaDevices } from '@shakti/tensor'
import { assert, test } from '../assert.js'
import { families } from './families.js'
import type { Outcomes } from './trial.js'

type Row = Readonly<Record<string, string>>

const schedules = ['in-order', 'reversed', 'random-warps', 'random-blocks']
const fills = ['garbage', 'nan', 'zero']
const streams = ['lazy', 'eager', 'random']
const copies = ['late', 'early']
const products = ['exact', 'truncate', 'chunked']
const approximations = ['nearest', 'low', 'high']
const seed = Number(process.env.SHAKTI_CUDA_SEED ?? 1)

/** Row r of the twelve in which each schedule meets each fill, and both meet the others, and those each other. */
const row = (r: number): Row => {
  const [s, f] = [r % 4, r % 3]
  return {
    SCHEDULE: schedules[s]!,
    FILL: fills[f]!,
    STREAMS: streams[(s + f) % 3]!,
    COPIES: copies[(s + f) % 2]!,
    SEED: String(seed + r),
  }
}
const orders = Array.from({ length: 12 }, (_, r) => row(r))
/** Every other row gives each tensor memory of its own, to the byte, so that a step outside is seen; the others reuse it as users do. */
const exact = (r: number): Row => (r % 2 ? {} : { SHAKTI_CUDA_EXACT: '1' })
const roundings = Array.from({ length: 9 }, (_, r) => ({
  ...row(r + 2),
  PRODUCTS: products[Math.floor(r / 3)]!,
  APPROXIMATIONS: approximations[r % 3]!,
}))

const names = Object.keys(families)
/** The families that a row is tried with. */
const share = (r: number): string[] =>
  process.env.SHAKTI_CUDA_MODES === 'all' ? names : names.filter((_, i) => (i + r) % 3 === 0)

const trial = fileURLToPath(new URL('trial.ts', import.meta.url))

async function outcomes(
  wanted: readonly string[],
  settings: Row,
  more: Row = {},
): Promise<Outcomes> {
  const env: NodeJS.ProcessEnv = { ...process.env, SHAKTI_SIM_MEMORY: '16G', ...more }
  for (const [name, value] of Object.entries(settings)) env[`SHAKTI_SIM_${name}`] = value
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--conditions=@shakti/source', trial, ...wanted],
    { env, maxBuffer: 1 << 26 },
  )
  return JSON.parse(stdout) as Outcomes
}

/** What is wrong in them, and what has other bits than in `like`. */
function complaints(found: Outcomes, like: Outcomes = {}): string[] {
  return Object.entries(found).flatMap(([family, cases]) =>
    Object.entries(cases).flatMap(([name, { digest, wrong }]) => {
      if (wrong) return [`${family}, ${name}: ${wrong}`]
      const want = like[family]?.[name]?.digest
      return want !== undefined && want !== digest ? [`${family}, ${name}: other bits`] : []
    }),
  )
}

function expectNone(list: readonly string[]): void {
  if (list.length > 0) assert.unreachable(`${list.length} cases:\n${list.slice(0, 10).join('\n')}`)
}

const [gpu] = cudaDevices()
if (!gpu) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  let first: Outcomes = {}
  test('every family gives what the CPU gives, at the sizes around a warp, a block, a tile and a stage', async () => {
    first = await outcomes(names, gpu.name.includes('no GPU') ? orders[0]! : {}, exact(0))
    expectNone(complaints(first))
  })

  if (!gpu.name.includes('no GPU')) {
    test('a second run gives the same bits', async () => {
      expectNone(complaints(await outcomes(names, {}), first))
    })
  } else {
    const say = (settings: Row): string =>
      Object.entries(settings)
        .map(([name, value]) => `${name.toLowerCase()} ${value}`)
        .join(', ')
    orders.slice(1).forEach((settings, r) => {
      test(`the bits stay under ${say(settings)}`, async () => {
        expectNone(complaints(await outcomes(share(r), settings, exact(r)), first))
      })
    })
    roundings.slice(1).forEach((settings, r) => {
      test(`the results stay near the CPU's under ${say(settings)}`, async () => {
        expectNone(complaints(await outcomes(share(r), settings, exact(r))))
      })
    })

    test('each pair of settings of two kinds occurs', () => {
      for (const [rows, kinds] of [
        [orders, { SCHEDULE: 4, FILL: 3, STREAMS: 3, COPIES: 2 }],
        [roundings, { PRODUCTS: 3, APPROXIMATIONS: 3 }],
      ] as const) {
        for (const [a, n] of Object.entries(kinds))
          for (const [b, m] of Object.entries(kinds))
            if (a < b) {
              const pairs = new Set((rows as readonly Row[]).map((x) => `${x[a]} ${x[b]}`))
              assert.is(pairs.size, n * m, `${a} and ${b}`)
            }
      }
    })
  }
}

test.run()
