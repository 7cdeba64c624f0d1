// One work, all engines: they take turns at it, round after round, each time behind the machine's limit.
import { setTimeout as sleep } from 'node:timers/promises'
import { spreadOf, type Spread } from '../lib/stats.js'
import type { Limit, Limits } from './limits.js'
import { withOurs } from './ours.js'
import type { RunningPeer } from './peers.js'
import type { Work } from './works.js'

export interface PeerOutcome {
  readonly name: string
  /** Or why there is none. */
  readonly result: Spread | string
  /** Of a peer that can do the work in several, the fastest. */
  readonly way?: string | undefined
}

/** What one work came to. */
export interface Outcome {
  readonly work: Work
  readonly ours: Spread
  /** The round in the middle; why there is none; undefined for works without one. */
  readonly limit: Limit | string | undefined
  /** Ours of it: the median of the rounds, each beside the limit just seen. */
  readonly shareOfLimit: number | null
  /** Those that can do it. */
  readonly peers: readonly PeerOutcome[]
}

export interface Turns {
  /** For each engine, of all rounds together. */
  readonly seconds: number
  readonly rounds: number
  /** Told what goes on. */
  readonly say: (what: string) => void
}

// Who had the turn before may have threads that still spin, or garbage to collect: 10 to 40 ms of it were seen.
const settle = (): Promise<void> => sleep(50)

export async function measure(
  work: Work,
  running: readonly RunningPeer[],
  limits: Limits,
  { seconds, rounds, say }: Turns,
): Promise<Outcome> {
  const able = running.filter(({ peer }) => peer.can(work))
  const mine: number[] = []
  const theirs = able.map((): number[] => [])
  const whys = able.map((p) => p.absent)
  const ways = able.map((): string | undefined => undefined)
  const seen: Limit[] = []
  const shares: number[] = []
  let noLimit: string | undefined
  const amount = work.flops ?? work.bytes
  await withOurs(work, async (measureOurs) => {
    for (let turn = 1; turn <= rounds; turn++) {
      say(`limit, round ${turn} of ${rounds}`)
      await settle()
      const limit = await limits.of(work)
      say(`ours, round ${turn} of ${rounds}`)
      await settle()
      const times = await measureOurs(seconds / rounds)
      mine.push(...times)
      if (typeof limit === 'string') noLimit = limit
      else if (limit && amount) {
        seen.push(limit)
        shares.push(amount / (spreadOf(times).median / 1e3) / limit.perSecond)
      }
      for (const [i, peer] of able.entries()) {
        if (whys[i] !== undefined) continue
        say(`${peer.name}, round ${turn} of ${rounds}`)
        await settle()
        const result = await peer.measure(work, seconds / rounds)
        if (typeof result === 'string') whys[i] = result
        else {
          theirs[i]!.push(...result.ms)
          ways[i] = result.way
        }
      }
    }
  })
  seen.sort((a, b) => a.perSecond - b.perSecond)
  return {
    work,
    ours: spreadOf(mine),
    limit: seen[seen.length >> 1] ?? noLimit,
    shareOfLimit: shares.length > 0 ? spreadOf(shares).median : null,
    peers: able.map(({ name }, i) => ({
      name,
      result: whys[i] ?? spreadOf(theirs[i]!),
      way: ways[i],
    })),
  }
}
