// What our command lines are made of: commands and their arguments, progress, tables. For @shakti/cli as well.

export {
  byteCount,
  choice,
  decimal,
  FAILED,
  flag,
  integer,
  INTERRUPTED,
  list,
  OK,
  text,
  USAGE,
  UsageError,
} from './command.js'
export type { Arguments, Command, Output, Surroundings } from './command.js'
export { Progress, Rate } from './progress.js'
export type { ProgressState } from './progress.js'
export { runCommandLine } from './run.js'
export type { Program } from './run.js'
export { decimals, duration, number, paints, printable, size, table } from './table.js'
export type { Paint } from './table.js'
