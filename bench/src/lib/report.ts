// Results as a table for people and as JSON for comparison.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform } from 'node:os'
import { dirname } from 'node:path'
import { deviceInfo } from '@shakti/tensor'
import type { Result } from './metabench.js'
import { plusMinus } from './stats.js'

export interface Report {
  readonly suite: string
  readonly date: string
  readonly commit: string
  readonly cpu: string
  readonly cores: number
  readonly isa: string
  readonly threads: number
  readonly node: string
  readonly platform: string
  readonly results: readonly Result[]
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    return (
      git('rev-parse', 'HEAD') +
      (git('status', '--porcelain', '--untracked-files=no') ? ' with changes' : '')
    )
  } catch {
    return 'unknown'
  }
}

export function report(suite: string, results: readonly Result[]): Report {
  const { cpu, isa, threads } = deviceInfo()
  return {
    suite,
    date: new Date().toISOString(),
    commit: commit(),
    cpu,
    cores: cpus().length,
    isa,
    threads,
    node: process.version,
    platform: `${platform()}-${arch()}`,
    results,
  }
}

export function writeJson(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify(value, null, 2) + '\n')
}

const digits = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)

/** One line a result. */
export function row(r: Result): string {
  const rate = r.gflops
    ? `${digits(r.gflops)} GFLOP/s`
    : r.gigabytesPerSecond
      ? `${digits(r.gigabytesPerSecond)} GB/s`
      : ''
  return [
    r.name.padEnd(44),
    r.mode.padEnd(6),
    `${digits(r.median)} µs`.padStart(14),
    `± ${plusMinus(r).toFixed(1)} %`.padStart(10),
    rate.padStart(16),
  ].join(' ')
}
