// The command `shakti`.

import { ShaktiError } from '@shakti/tensor'
import { TokenizerError } from '@shakti/tokenizer'
import { runCommandLine } from '@shakti/tokenizer/command-line'
import type { Program } from '@shakti/tokenizer/command-line'
import { bench } from './bench/index.js'
import { chat } from './chat.js'
import { describe } from './describe.js'
import { exportModel } from './export.js'
import { importModel } from './import.js'
import { init } from './init.js'
import { inspect } from './inspect.js'
import type { Io } from './io.js'
import { quantize } from './quantize.js'

const program: Program<Io> = {
  name: 'shakti',
  commands: {
    init,
    import: importModel,
    inspect,
    quantize,
    chat,
    describe,
    bench,
    export: exportModel,
  },
  notes: `Ctrl-C ends what is being done and leaves no partial file.
Exits with 0 when all is well, 1 when something failed, 2 for wrong arguments, 130 for Ctrl-C.`,
  mendable: (error) => error instanceof ShaktiError || error instanceof TokenizerError,
}

/** Runs a command line; returns the exit code. */
export function main(argv: readonly string[], io: Io): Promise<number> {
  return runCommandLine(program, argv, io)
}
