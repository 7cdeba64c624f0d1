// The command `shakti-tokenizer`.

import { parseArgs } from 'node:util'
import { TokenizerError } from '../errors.js'
import { FAILED, OK, USAGE, UsageError } from './command.js'
import type { Arguments, Command, Surroundings } from './command.js'
import { compare } from './compare.js'
import { decode } from './decode.js'
import { encode } from './encode.js'
import { inspect } from './inspect.js'
import { train } from './train.js'

const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({ train, encode, decode, inspect, compare }),
)

const HELP = `shakti-tokenizer COMMAND ...

${[...COMMANDS].map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}`).join('\n')}

'shakti-tokenizer COMMAND --help' says more, with examples. Files that are not named come from standard input.
Exits with 0 when all is well, 1 when something failed or differs, 2 for wrong arguments.
`

/** Runs a command line; returns the exit code. */
export async function main(argv: readonly string[], io: Surroundings): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const on = name === undefined ? io.stderr : io.stdout
    on.write(HELP)
    return name === undefined ? USAGE : OK
  }
  const command = COMMANDS.get(name)
  if (command === undefined) {
    io.stderr.write(`shakti-tokenizer: ${name} is no command.\n\n${HELP}`)
    return USAGE
  }
  try {
    const args = parse(rest, command)
    if (args.values.help === true) {
      io.stdout.write(`${command.help}\n`)
      return OK
    }
    return await command.run(args, io)
  } catch (error) {
    return failed(name, error, io)
  }
}

function parse(args: readonly string[], { options }: Command): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { ...options, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  })
  return { values, positionals }
}

/** Errors that a user can mend are told in a line; others keep their stack. */
function failed(name: string, error: unknown, { stderr }: Surroundings): number {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS')) {
    stderr.write(
      `shakti-tokenizer ${name}: ${message}\n'shakti-tokenizer ${name} --help' says more.\n`,
    )
    return USAGE
  }
  const told = error instanceof TokenizerError || code !== ''
  stderr.write(`shakti-tokenizer ${name}: ${told ? message : (error as Error).stack}\n`)
  return FAILED
}
