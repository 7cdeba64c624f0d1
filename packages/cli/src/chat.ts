// shakti chat

import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { ShaktiError } from '@shakti/tensor'
import { TokenizerError } from '@shakti/tokenizer'
import { FAILED, flag, list, OK, paints, size, text } from '@shakti/tokenizer/command-line'
import {
  answerHelp,
  answerOptions,
  answerOptionsOf,
  Assistant,
  costOf,
  onTerminal,
} from './assistant.js'
import type { Answer } from './assistant.js'
import type { GenerateOptions } from '@shakti/vlm'
import { Conversation } from './conversation.js'
import type { Command, Io } from './io.js'
import { modelFolder, noMore } from './presets.js'

const commands = `/image FILE   show an image with the next question
/clear        begin anew
/stats        what the last answer cost, and what is remembered
/help         this
/exit         leave (or Ctrl-D)`

export const chat: Command = {
  summary: 'talk to a model, about images too',
  help: `shakti chat DIR [options]

Questions from the terminal, a line each, and streamed answers; what was read before is not read again. Ctrl-C stops an
answer. When the context is full the oldest turns go. Through a pipe, each line of standard input is a question.

  --image FILE               shown with the first question; may be repeated
  --system TEXT              said before the conversation
  --json                     one JSON object an answer: { question, text, finish, usage, timing }, times in milliseconds
${answerHelp}

In the chat
  ${commands.replaceAll('\n', '\n  ')}

Examples
  shakti chat models/1b --image photo.jpg
  shakti chat models/1b --temperature 0.7 --top-p 0.95 --system 'Answer in one sentence.'
  printf 'What is red?\\nAnd blue?\\n' | shakti chat models/1b --json`,
  options: {
    image: { type: 'string', multiple: true },
    system: { type: 'string' },
    ...answerOptions,
  },

  async run(args, io) {
    const folder = await modelFolder(args)
    noMore(args, 1)
    const options = answerOptionsOf(args)
    const assistant = await Assistant.load(folder, args, io, io.interrupts.begin())
    const { context } = assistant.model.config.decoder
    const room = Math.min(options.maxTokens ?? 256, context >> 2)
    const conversation = new Conversation(assistant, text(args, 'system'), room)
    for (const file of list(args, 'image') ?? []) await conversation.attach(file)
    io.interrupts.end()
    return new Chat(io, conversation, options, flag(args, 'json')).run()
  },
}

class Chat {
  readonly #terminal: boolean
  readonly #paint: ReturnType<typeof paints>
  #last: Answer | undefined
  #failures = 0

  constructor(
    readonly io: Io,
    readonly conversation: Conversation,
    readonly options: GenerateOptions,
    readonly json: boolean,
  ) {
    this.#terminal = (io.stdin as { isTTY?: boolean }).isTTY === true && io.stdout.isTTY === true
    this.#paint = paints(io.colours)
  }

  /** Until the input ends, or /exit. */
  async run(): Promise<number> {
    const lines = this.#open()
    if (this.#terminal) this.#say('/help lists what can be typed here, /exit leaves.')
    lines.prompt()
    let left = false
    for await (const line of lines) {
      try {
        left = !(await this.#take(line.trim()))
        if (left) break
      } catch (error) {
        if (!(error instanceof ShaktiError || error instanceof TokenizerError)) throw error
        this.#failures++
        this.io.stderr.write(`${error.message}\n`)
      }
      lines.prompt()
    }
    lines.close()
    if (this.#terminal && !left) this.io.stdout.write('\n') // behind the prompt that Ctrl-D answered
    // Someone at the terminal has seen it; a script has not.
    return this.#failures > 0 && !this.#terminal ? FAILED : OK
  }

  #open(): Interface {
    const { stdin, stdout } = this.io
    const lines = this.#terminal
      ? createInterface({
          input: stdin,
          output: stdout as NodeJS.WriteStream,
          prompt: this.#paint.bold('> '),
          completer: (line: string): [string[], string] => [
            [...commands.matchAll(/^\/\w+/gm)].map(([c]) => c).filter((c) => c.startsWith(line)),
            line,
          ],
        })
      : createInterface({ input: stdin, prompt: '' })
    // A terminal in raw mode has no signal: the key comes here.
    lines.on('SIGINT', () => {
      if (this.io.interrupts.interrupt()) return
      stdout.write('\n')
      this.#say('/exit or Ctrl-D leaves.')
      lines.prompt()
    })
    return lines
  }

  /** @returns false to leave */
  async #take(line: string): Promise<boolean> {
    if (line === '') return true
    if (!line.startsWith('/')) {
      await this.#ask(line)
      return true
    }
    const [, command = '', rest = ''] = /^(\/\S*)\s*(.*)$/.exec(line) ?? []
    switch (command) {
      case '/exit':
        return false
      case '/help':
        this.#say(commands)
        return true
      case '/clear':
        this.conversation.clear()
        this.#say('forgotten.')
        return true
      case '/stats':
        this.#say(this.#stats())
        return true
      case '/image': {
        const file = rest.replace(/^(['"])(.*)\1$/, '$2')
        if (file === '') throw new ShaktiError('chat', '/image needs a file.')
        const { width, height, patch } = await this.conversation.attach(file)
        this.#say(`${width} x ${height} pixels, patches of ${patch}; shown with the next question.`)
        return true
      }
      default:
        throw new ShaktiError('chat', `${command} is not known. /help lists what is.`)
    }
  }

  async #ask(question: string): Promise<void> {
    const { io, conversation, json } = this
    const { dropped, ...prompt } = conversation.ask(question)
    if (dropped > 0) this.#say(`the context is full: the oldest ${dropped} messages were dropped.`)
    const signal = io.interrupts.begin()
    try {
      const answer = await conversation.assistant.answer(prompt, this.options, signal, (piece) => {
        if (!json) io.stdout.write(onTerminal(piece))
      })
      conversation.answered(answer.text)
      this.#last = answer
      if (json) io.stdout.write(`${JSON.stringify({ question, ...answer })}\n`)
      else io.stdout.write(answer.finish === 'interrupted' ? ' [stopped]\n' : '\n')
    } catch (error) {
      conversation.forget()
      throw error
    } finally {
      io.interrupts.end()
    }
  }

  /** What is no answer; elsewhere than on a terminal it is kept apart from answers. */
  #say(line: string): void {
    if (this.#terminal) this.io.stdout.write(`${this.#paint.dim(line)}\n`)
    else this.io.stderr.write(`${line}\n`)
  }

  #stats(): string {
    const { kvBytes, imageBytes, positions, images } = this.conversation.assistant.prefixCache.stats
    const { context } = this.conversation.assistant.model.config.decoder
    const held = `remembered: ${positions} positions (${size(kvBytes)}) and ${images} images (${size(imageBytes)}); context ${context}`
    return this.#last ? `${costOf(this.#last)}\n${held}` : held
  }
}
