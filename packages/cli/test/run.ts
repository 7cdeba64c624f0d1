// Commands with streams of their own.
import { Readable } from 'node:stream'
import { Interrupts } from '../src/io.js'
import type { Io } from '../src/io.js'
import { main } from '../src/main.js'

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Ctrl-C comes as soon as there is work. */
class AtOnce extends Interrupts {
  override begin(): AbortSignal {
    const signal = super.begin()
    this.interrupt()
    return signal
  }
}

/** @param onText sees what is written as it comes */
export async function run(
  argv: readonly string[],
  {
    input = '',
    cwd = '/',
    interrupted = false,
    onText,
  }: { input?: string; cwd?: string; interrupted?: boolean; onText?: (io: Io) => void } = {},
): Promise<Ran> {
  let [out, err] = ['', '']
  const io: Io = {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: {
      write: (text: string) => {
        out += text
        onText?.(io)
      },
    },
    stderr: { write: (text: string) => void (err += text) },
    colours: false,
    interrupts: interrupted ? new AtOnce() : new Interrupts(),
    cwd,
    env: {},
  }
  const code = await main(argv, io)
  return { code, out, err }
}
