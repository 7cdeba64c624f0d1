// What a command is, what it sees of the outside, and how it reads its options.

import type { ParseArgsConfig } from 'node:util'
import type { Readable } from 'node:stream'

export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
}

/** Where a command reads and writes; tests give their own. */
export interface Surroundings {
  readonly stdin: Readable
  readonly stdout: Output
  readonly stderr: Output
  /** Whether to colour what goes to `stdout`. */
  readonly colours: boolean
}

export interface Arguments {
  /** Values of options; those that may be given more than once are lists. */
  readonly values: Readonly<
    Record<string, string | boolean | readonly (string | boolean)[] | undefined>
  >
  readonly positionals: readonly string[]
}

export interface Command<Io extends Surroundings = Surroundings> {
  /** One line for the list of commands. */
  readonly summary: string
  readonly help: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  /** The exit code. */
  run(args: Arguments, io: Io): Promise<number>
}

/** Wrong arguments; the message says what would be right. */
export class UsageError extends Error {
  override name = 'UsageError'
}

export const OK = 0
/** It did not work, or what was compared differs. */
export const FAILED = 1
export const USAGE = 2
/** Ended by Ctrl-C, as shells have it. */
export const INTERRUPTED = 130

/** An option's text. */
export function text({ values }: Arguments, option: string): string | undefined {
  const value = values[option]
  return typeof value === 'string' ? value : undefined
}

/** Whether an option that takes no value is there. */
export function flag({ values }: Arguments, option: string): boolean {
  return values[option] === true
}

/** An option's number. */
export function decimal(args: Arguments, option: string): number | undefined {
  const given = text(args, option)
  if (given === undefined) return undefined
  if (/^-?\d{1,15}(\.\d{1,15})?(e-?\d{1,2})?$/.test(given)) return Number(given)
  throw new UsageError(`--${option} is ${JSON.stringify(given)}. A number is expected.`)
}

/** An option's text, one of a few. */
export function choice<T extends string>(
  args: Arguments,
  option: string,
  of: readonly T[],
): T | undefined {
  const given = text(args, option)
  if (given === undefined || of.includes(given as T)) return given as T | undefined
  throw new UsageError(
    `--${option} is ${JSON.stringify(given)}. One of ${of.join(', ')} is expected.`,
  )
}

/** An option's integer. */
export function integer(args: Arguments, option: string): number | undefined {
  const given = text(args, option)
  if (given === undefined) return undefined
  if (/^\d{1,15}$/.test(given)) return Number(given)
  throw new UsageError(`--${option} is ${JSON.stringify(given)}. An integer is expected.`)
}

/** An option's number of bytes: 500m, 2g. */
export function byteCount(args: Arguments, option: string): number | undefined {
  const given = text(args, option)
  if (given === undefined) return undefined
  const [, digits, unit] = /^(\d{1,9}(?:\.\d+)?)([kmg]?)b?$/i.exec(given) ?? []
  if (digits !== undefined)
    return Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit!.toLowerCase())
  throw new UsageError(
    `--${option} is ${JSON.stringify(given)}. A size such as 500m or 2g is expected.`,
  )
}

/** All values of an option that may be given more than once. */
export function list({ values }: Arguments, option: string): string[] | undefined {
  const value = values[option]
  return Array.isArray(value) ? value.map(String) : undefined
}
