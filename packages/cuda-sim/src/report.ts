// The report file: one JSON object a line.
import { readFileSync } from 'node:fs'

/** One line of PTX, counted */
export interface CounterLine {
  line: number
  text: string
  /** file:line of the .cu when it was compiled with -lineinfo, else empty */
  source: string
  /** Instructions issued by warps, and by threads */
  issued: number
  threads: number
  /** Sectors of 32 bytes (global) or wavefronts (shared) that it moved, and the fewest that its bytes need */
  moved: number
  ideal: number
}

/** Figures by name, such as `global.load_bytes` */
export type Counters = Record<string, number>

interface WithLines {
  counters: Counters
  lines: CounterLine[]
}

/** What ended a context */
export interface FaultReport {
  type: 'fault'
  kind: string
  code: number
  name: string
  kernel: string
  block: [number, number, number]
  thread: [number, number, number]
  line: number
  source: string
  message: string
}
/** A module that was refused */
export interface ModuleReport {
  type: 'module'
  code: number
  name: string
  message: string
}
/** All launches of one kernel, written at exit */
export interface KernelReport extends WithLines {
  type: 'kernel'
  name: string
  launches: number
}
/** One launch */
export interface LaunchReport extends WithLines {
  type: 'launch'
  kernel: string
  grid: [number, number, number]
  block: [number, number, number]
  /** Bytes of dynamic shared memory */
  shared: number
}
/** All copies of one kind, written at exit */
export interface CopiesReport {
  type: 'copies'
  route:
    'host to device' | 'device to host' | 'within a device' | 'between devices' | 'within the host'
  count: number
  bytes: number
}
/** What was left at exit */
export interface LeakReport {
  type: 'leak'
  what: string
  bytes?: number
  count?: number
}
export type ReportLine =
  FaultReport | ModuleReport | KernelReport | LaunchReport | CopiesReport | LeakReport

type Raw = Record<string, unknown> & { counters?: Record<string, unknown> & { lines?: unknown } }

/**
 * Reads a report file (`SHAKTI_SIM_REPORT`); a file that doesn't exist is an empty report, since nothing was to be told.
 * @throws SyntaxError for a line that is not JSON
 */
export function readReport(path: string): ReportLine[] {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const raw = JSON.parse(line) as Raw
      if (raw.counters) {
        const { lines, ...counters } = raw.counters
        return { ...raw, counters, lines } as unknown as ReportLine
      }
      return raw as unknown as ReportLine
    })
}
