// Streaming decode: text comes out as soon as its characters are whole, never half of one.

/** Takes ids and gives text to what it was opened with. */
export interface IdRun {
  id(id: number): void
  end(): void
}

/**
 * Turns ids into text one at a time, as `generate` yields them. The pieces joined, `flush()` among them, are
 * exactly `decode` of all ids.
 *
 * ```ts
 * const stream = tokenizer.decodeStream()
 * for await (const id of ids) process.stdout.write(stream.step(id))
 * process.stdout.write(stream.flush())
 * ```
 */
export class DecodeStream {
  private text = ''
  private run: IdRun | undefined

  /** @internal */
  constructor(private readonly open: (emit: (text: string) => void) => IdRun) {}

  /** The text that `id` completes; '' while a character is still missing bytes. */
  step(id: number): string {
    this.run ??= this.open((text) => (this.text += text))
    this.run.id(id)
    return this.taken()
  }

  /** What is left: U+FFFD where the last character was never completed. The stream can be used again after it. */
  flush(): string {
    this.run?.end()
    this.run = undefined
    return this.taken()
  }

  private taken(): string {
    const { text } = this
    this.text = ''
    return text
  }
}
