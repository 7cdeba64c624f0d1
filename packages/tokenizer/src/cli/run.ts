// A command line of several commands: help, arguments, exit codes, errors in a sentence.

import { parseArgs } from 'node:util'
import { FAILED, INTERRUPTED, OK, USAGE, UsageError } from './command.js'
import type { Arguments, Command, Surroundings } from './command.js'

export interface Program<Io extends Surroundings = Surroundings> {
  readonly name: string
  readonly commands: Readonly<Record<string, Command<Io>>>
  /** What stands below the list of commands. */
  readonly notes: string
  /** Whether an error is one that a user can mend; others are told with their stack. */
  readonly mendable: (error: Error) => boolean
}

/** Runs a command line; returns the exit code. */
export async function runCommandLine<Io extends Surroundings>(
  program: Program<Io>,
  argv: readonly string[],
  io: Io,
): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const on = name === undefined ? io.stderr : io.stdout
    on.write(helpOf(program))
    return name === undefined ? USAGE : OK
  }
  const command = Object.hasOwn(program.commands, name) ? program.commands[name] : undefined
  if (command === undefined) {
    io.stderr.write(`${program.name}: ${name} is no command.\n\n${helpOf(program)}`)
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
    return failed(program, name, error as Error, io)
  }
}

function helpOf<Io extends Surroundings>({ name, commands, notes }: Program<Io>): string {
  const longest = Math.max(...Object.keys(commands).map((command) => command.length))
  const rows = Object.entries(commands).map(
    ([command, { summary }]) => `  ${command.padEnd(longest + 2)}${summary}`,
  )
  return `${name} COMMAND ...

${rows.join('\n')}

'${name} COMMAND --help' says more, with examples. ${notes}
`
}

function parse<Io extends Surroundings>(
  args: readonly string[],
  { options }: Command<Io>,
): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' }, ...options },
  })
  return { values, positionals }
}

/** Errors that a user can mend are told in a line; others keep their stack. */
function failed<Io extends Surroundings>(
  { name: program, mendable }: Program<Io>,
  command: string,
  error: Error,
  { stderr }: Surroundings,
): number {
  const { code = '', message } = error as NodeJS.ErrnoException
  const is = (text: string): void => void stderr.write(`${program} ${command}: ${text}\n`)
  if (error.name === 'AbortError') {
    is('interrupted.')
    return INTERRUPTED
  }
  if (error instanceof UsageError || String(code).startsWith('ERR_PARSE_ARGS')) {
    is(`${message}\n'${program} ${command} --help' says more.`)
    return USAGE
  }
  is(
    mendable(error) || (typeof code === 'string' && code !== '')
      ? message
      : (error.stack ?? message),
  )
  return FAILED
}
