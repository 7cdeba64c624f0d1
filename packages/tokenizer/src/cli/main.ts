// The command `shakti-tokenizer`.

import { TokenizerError } from '../errors.js'
import type { Surroundings } from './command.js'
import { compare } from './compare.js'
import { decode } from './decode.js'
import { encode } from './encode.js'
import { inspect } from './inspect.js'
import { runCommandLine } from './run.js'
import type { Program } from './run.js'
import { train } from './train.js'

const program: Program = {
  name: 'shakti-tokenizer',
  commands: { train, encode, decode, inspect, compare },
  notes: `Files that are not named come from standard input.
Exits with 0 when all is well, 1 when something failed or differs, 2 for wrong arguments.`,
  mendable: (error) => error instanceof TokenizerError,
}

/** Runs a command line; returns the exit code. */
export function main(argv: readonly string[], io: Surroundings): Promise<number> {
  return runCommandLine(program, argv, io)
}
