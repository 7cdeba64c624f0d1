// npm run bench:peers -- [words...]: our works beside other engines', in the same run and on two threads each, and beside
// what the machine can do at all. At each work all take turns, round after round: a shared machine has its moods, and so
// all meet the same.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { manualSeed, setNumThreads } from '@shakti/tensor'
import { report, writeJson } from '../lib/report.js'
import { Limits } from './limits.js'
import { measure, type Outcome } from './measure.js'
import { peers, RunningPeer } from './peers.js'
import { threads } from './places.js'
import { block, columnsFor, rowsOf, summary } from './results.js'
import { headOf, progress } from './table.js'
import { works } from './works.js'

const help = `Times our works beside other engines' in one run, two threads each, and says what share of the machine's limit they reach.

npm run bench:peers -- [words...]   only works whose name holds one of the words
  --peers id,...                    only these peers: ${peers.map((p) => p.id).join(', ')};
                                    'torch' means every torch
  --install                         fetch the peers that are missing: Debian's packages with apt-get, a Debian 13 root with
                                    mmdebstrap and npm's packages, both in $SHAKTI_PEERS (default ~/.cache/shakti)
  --seconds s                       for each work and engine, of all rounds together (default 1)
  --rounds n                        how often all engines take turns at a work (default 4)
  --json                            the rows on standard output instead of the tables
  --list                            names of works only
  --help

A peer that is not there is shown as absent. Times are medians; ± is half the distance of the quartiles.
Rows go to bench/results/peers.json, the machine and the peers to peers.machine.json.

  npm run bench:peers -- attention --peers torch
  npm run bench:peers -- product linear --seconds 3`

function fail(message: string): never {
  console.error(`${message}\n\n${help}`)
  process.exit(2)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: 'string' },
    install: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(help)
  process.exit(0)
}
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)]
if (!(seconds > 0)) fail(`--seconds must be a number above 0, got '${values.seconds}'`)
if (!(Number.isInteger(rounds) && rounds > 0))
  fail(`--rounds must be an integer from 1, got '${values.rounds}'`)
const chosenWorks = works.filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
)
if (chosenWorks.length === 0) fail(`no work is named like ${positionals.join(' or ')}`)
if (values.list) {
  for (const { name } of chosenWorks) console.log(name)
  process.exit(0)
}
const ids = values.peers?.split(',') ?? []
const means = (word: string, id: string): boolean => id === word || id.startsWith(`${word}-`)
const unknown = ids.filter((word) => !peers.some(({ id }) => means(word, id)))
if (unknown.length > 0) fail(`no peer is called ${unknown.join(' or ')}`)
const chosenPeers = peers.filter(
  (peer) =>
    (ids.length === 0 || ids.some((word) => means(word, peer.id))) &&
    chosenWorks.some((w) => peer.can(w)),
)

if (values.install) {
  for (const { title, needs } of chosenPeers) {
    if (needs.missing() === undefined) continue
    try {
      needs.install()
    } catch (error) {
      console.error(`${title}: could not be fetched: ${(error as Error).message.split('\n')[0]}`)
    }
  }
}

manualSeed(1)
setNumThreads(threads)
const limits = new Limits()
const running: RunningPeer[] = []
for (const peer of chosenPeers) {
  progress(`starting ${peer.title}`)
  running.push(await RunningPeer.start(peer))
}
progress('')
const absent = running.filter((p) => p.absent !== undefined)
for (const { peer, name, absent: why } of absent)
  console.error(`${name} is absent: ${why}.\n  npm run bench:peers -- --install --peers ${peer.id}`)

const columns = columnsFor(
  chosenWorks.map((w) => w.name),
  running.map((p) => p.name),
)
const absentNames = new Set(absent.map((p) => p.name))
if (!values.json) console.log(`\n${headOf(columns)}`)
const outcomes: Outcome[] = []
for (const [i, work] of chosenWorks.entries()) {
  const at = `[${i + 1}/${chosenWorks.length}] ${work.name}`
  progress(at)
  const say = (what: string): void => progress(at, what)
  const outcome = await measure(work, running, limits, { seconds, rounds, say })
  outcomes.push(outcome)
  progress('')
  if (!values.json) console.log(block(outcome, columns, absentNames))
}
limits.stop()
for (const peer of running) peer.stop()

const rows = outcomes.flatMap(rowsOf)
if (values.json) console.log(JSON.stringify(rows, null, 2))
else {
  console.log(`\nBeside the best peer:\n\n${summary(outcomes)}`)
  if (absent.length > 0)
    console.log(`\n${absent.map(({ name, absent: why }) => `${name}: absent, ${why}`).join('\n')}`)
}
const out = (name: string): string =>
  join(dirname(fileURLToPath(import.meta.url)), '../../results', name)
const { results: _, ...machine } = report('peers', [])
writeJson(out('peers.json'), rows)
writeJson(out('peers.machine.json'), {
  ...machine,
  seconds,
  rounds,
  peers: running.map(({ peer: { id }, name, absent: why }) => ({
    id,
    name,
    ...(why ? { absent: why } : {}),
  })),
})
