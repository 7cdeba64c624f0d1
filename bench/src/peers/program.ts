// A program that is asked by lines on its standard input and answers with lines of JSON.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  /** The whole environment: nothing of ours leaks into a peer's. */
  readonly env: Readonly<Record<string, string>>
}

// A model of full size is compiled and tried in several ways within one answer.
const patienceSeconds = 600

export class Program {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>
  #errors = ''

  constructor({ file, args, env }: Command) {
    this.#child = spawn(file, args, { env })
    this.#child.on('error', (error) => (this.#errors += `${error.message}\n`))
    this.#child.stderr.on('data', (part: Buffer) => {
      this.#errors = (this.#errors + part.toString()).slice(-10_000)
    })
    // Written to after its end: the missing answer tells.
    this.#child.stdin.on('error', () => {})
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /**
   * The next line of JSON that it says; other lines are passed over.
   * @throws Error with its last words when it ends before, or says nothing for ten minutes
   */
  async answer(): Promise<unknown> {
    const timer = setTimeout(() => {
      this.#errors += `no answer in ${patienceSeconds} s\n`
      this.stop()
    }, patienceSeconds * 1e3)
    try {
      for (;;) {
        const { value, done } = await this.#lines.next()
        if (done) throw new Error(await this.#lastWords())
        if (value.startsWith('{')) return JSON.parse(value)
      }
    } finally {
      clearTimeout(timer)
    }
  }

  ask(question: string): Promise<unknown> {
    this.#child.stdin.write(`${question}\n`)
    return this.answer()
  }

  stop(): void {
    this.#child.kill()
  }

  /** The line that names an error, else the last one, else how it ended. */
  async #lastWords(): Promise<string> {
    const { exitCode, signalCode, pid } = this.#child
    if (pid !== undefined && exitCode === null && signalCode === null)
      await new Promise((resolve) => this.#child.once('close', resolve))
    const lines = this.#errors.split('\n').filter((line) => line.trim() !== '')
    const line = lines.findLast((l) => /error|cannot|not found|no such/i.test(l)) ?? lines.at(-1)
    return line?.trim() ?? `ended with ${this.#child.signalCode ?? this.#child.exitCode}`
  }
}
