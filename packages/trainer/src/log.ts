// Where numbers go: JSON lines, TensorBoard (tensorboard.ts), or several places at once.
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

export interface LogRecord {
  stage: string
  step: number
  [name: string]: number | string
}

export interface Logger {
  log(record: LogRecord): void
  close(): void
}

/**
 * One JSON object a line, appended. A line that a crash tore is cut off when the file is opened again. After a resume
 * the steps since the checkpoint come twice; the later line counts.
 */
export class JsonlLogger implements Logger {
  readonly path: string
  readonly #fd: number

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true })
    this.path = path
    this.#fd = openSync(path, 'a+')
    this.#cutTornLine()
  }

  #cutTornLine(): void {
    let end = fstatSync(this.#fd).size
    const chunk = Buffer.alloc(64 << 10)
    while (end > 0) {
      const start = Math.max(0, end - chunk.length)
      const n = readSync(this.#fd, chunk, 0, end - start, start)
      const newline = chunk.subarray(0, n).lastIndexOf(10)
      if (newline >= 0) {
        end = start + newline + 1
        break
      }
      end = start
    }
    ftruncateSync(this.#fd, end)
  }

  log(record: LogRecord): void {
    writeSync(this.#fd, `${JSON.stringify(record)}\n`)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

export function combineLoggers(...loggers: readonly Logger[]): Logger {
  return {
    log: (record) => loggers.forEach((l) => l.log(record)),
    close: () => loggers.forEach((l) => l.close()),
  }
}
